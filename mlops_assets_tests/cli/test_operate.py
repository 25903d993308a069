"""An operator's commands: each moves what it says, and leaves a line with name and reason."""

import pytest

from mlops_assets.assets.files import put_judgement
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Arm, Judgement, Verdict
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.ml.references import FACTS_FILE, SAMPLE_FILE
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into
from mlops_assets_tests.conftest import FIRST, LIVE, enthrone

MODEL = "arrival_delay"
WHO = ("--by", "ann", "--reason", "to see")


def another(twins):
    """A second version, of other bytes."""
    bundle = {"model.txt": b"tree\n", "signature.json": b"{}"}
    registry = twins.memory.registry
    reference = {name: registry.document(MODEL, 1, name) for name in (SAMPLE_FILE, FACTS_FILE)}
    return registry.register(MODEL, "run-2", bundle, reference, bundle_digest(bundle), {"cutoff_day": FIRST})


def test_promote_makes_the_version_champion_on_record(lived, acts):
    version = another(lived)
    result = acts("promote", version.version, *WHO)
    assert result.exit_code == 0, result.output
    assert f"version {version.version}  override: - -> champion" in result.stdout
    (line,) = [line for line in lived.promotions.all(MODEL) if line.kind == "override"]
    assert (line.by, line.reason, line.day) == ("operator:ann", "to see", LIVE[-1])
    assert lived.memory.registry.by_alias(MODEL, Arm.CHAMPION).version == version.version


def test_override_puts_the_version_into_its_canary_with_its_share(lived, acts):
    version = another(lived)
    result = acts("override", version.version, *WHO, "--day", LIVE[0])
    assert result.exit_code == 0, result.output
    held = lived.promotions.arms(MODEL)
    assert held[Arm.CANARY].version == version.version
    assert held[Arm.CHAMPION].version == 1
    assert lived.promotions.all(MODEL)[-1].day == LIVE[0]
    assert lived.endpoint.status(MODEL).arm(Arm.CANARY).basis_points == lived.use_case.release.first_share


def test_override_starts_no_canary_that_nobody_would_notice_failing(lived, acts):
    version, before = another(lived), lived.promotions.all(MODEL)
    blind = Judgement(monitor="performance", day=LIVE[0], verdict=Verdict.UNKNOWN, reason="12 outcomes")
    put_judgement(lived.memory.artifacts, lived.use_case, blind)
    result = acts("override", version.version, *WHO, "--day", LIVE[0])
    assert result.exit_code == 1
    assert "no alarm is armed: performance gave no verdict since" in result.stderr
    assert "(12 outcomes)" in result.stderr
    assert lived.promotions.all(MODEL) == before


def test_promote_goes_on_without_an_alarm_and_says_so(lived, acts):
    bundle = {"model.txt": b"another tree\n", "signature.json": b"{}"}
    bare = lived.memory.registry.register(MODEL, "run-3", bundle, {}, bundle_digest(bundle), {"cutoff_day": FIRST})
    result = acts("promote", bare.version, *WHO)
    assert result.exit_code == 0, result.output
    assert f"no alarm is armed: the drift reference of version {bare.version} cannot be read" in result.stderr
    assert lived.promotions.arms(MODEL)[Arm.CHAMPION].version == bare.version


def test_rollback_goes_back_and_waits_for_the_server(lived, tmp_path):
    enthrone(lived, FIRST)
    mlops = typed_into(deployment_of(lived, settings_of(tmp_path)))
    result = mlops("rollback", *WHO)
    assert result.exit_code == 0, result.output
    first = lived.memory.registry.version(MODEL, 1)
    assert lived.promotions.arms(MODEL)[Arm.CHAMPION].version == 1
    assert lived.endpoint.status(MODEL).arm(Arm.CHAMPION).digest == first.digest
    moved = {line.kind: line.version for line in lived.promotions.all(MODEL) if line.by == "operator:ann"}
    assert moved == {"rolled_back": 2, "restored": 1}


def test_rollback_without_an_earlier_champion_is_refused(acts, lived):
    before = lived.promotions.all(MODEL)
    result = acts("rollback", *WHO)
    assert result.exit_code == 1
    assert "Error" in result.stderr
    assert lived.promotions.all(MODEL) == before


@pytest.mark.parametrize("day", ["nonsense", "2013-02-30", "2012-12-31", "2014-01-01"])
def test_no_move_is_recorded_on_a_day_that_is_not_on_the_calendar(acts, lived, day):
    before = lived.promotions.all(MODEL)
    for command in (("promote", 1), ("override", 1), ("rollback",)):
        result = acts(*command, *WHO, "--day", day)
        assert result.exit_code == 2
        assert day in result.stderr
    assert lived.promotions.all(MODEL) == before


def test_a_move_is_made_on_a_day_that_landed_and_after_the_last_move(acts, lived):
    assert acts("promote", another(lived).version, *WHO).exit_code == 0
    before = lived.promotions.all(MODEL)
    moved = before[-1].day
    late = acts("rollback", *WHO, "--day", shift(LIVE[-1], 200))
    assert late.exit_code == 2
    assert "has not landed; the last day is" in late.stderr
    early = acts("rollback", *WHO, "--day", shift(moved, -1))
    assert early.exit_code == 2
    assert f"before the newest move, on {moved}" in early.stderr
    assert lived.promotions.all(MODEL) == before


@pytest.mark.parametrize("text", ["", "  ", "ok\n2013-05-13  v2   signed_off  operator:ceo: approved", "a\x1b[2Kb"])
def test_name_and_reason_are_words_in_one_line(acts, lived, text):
    before = lived.promotions.all(MODEL)
    for command in (("promote", 1), ("override", 1), ("rollback",), ("sign-off", 1), ("transfer", 1)):
        for half in (("--by", text, "--reason", "why"), ("--by", "ann", "--reason", text)):
            assert acts(*command, *half).exit_code == 2
    assert lived.promotions.all(MODEL) == before


def test_a_version_that_holds_the_arm_already_is_not_said_to_have_moved(acts, lived):
    before = lived.promotions.all(MODEL)
    again = acts("promote", 1, *WHO)
    assert again.exit_code == 1
    assert "version 1 is champion already, since" in again.stderr
    assert lived.promotions.all(MODEL) == before


def test_nobody_moves_a_version_without_name_and_reason(acts, lived):
    before = lived.promotions.all(MODEL)
    for command in (("promote", 1), ("override", 1), ("rollback",)):
        for half in (WHO[:2], WHO[2:]):
            assert acts(*command, *half).exit_code == 2
    assert lived.promotions.all(MODEL) == before
