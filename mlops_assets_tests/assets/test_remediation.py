"""Remediation acts on a recorded decision, on nothing else, and on the champion it was about."""

import pytest

from mlops_assets.adapters.releases import Cause
from mlops_assets.assets import remediation
from mlops_assets.assets.address import REMEDIATION, key
from mlops_assets.assets.files import put_decision
from mlops_assets.contracts import Action, Arm, Decision
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets_tests.conftest import LIVE, Twins, checks_of, enthrone, why

NAME, DAY = "arrival_delay", "2013-03-24"


def decided(twins: Twins, action: Action, version: int = 1, target: int | None = None) -> None:
    made = Decision(day=DAY, action=action, reason="a made decision", version=version, target_version=target)
    put_decision(twins.memory.artifacts, twins.use_case, made)


@pytest.mark.parametrize("asset", ["rollback", "retrain", "quarantine", "incident"])
def test_without_a_decision_nothing_is_done_and_the_message_says_what_to_do_first(lived, asset):
    before = lived.promotions.all(NAME)
    result = lived.materialize([key(lived.use_case, REMEDIATION, asset)], DAY, fails=True)
    assert not result.success
    assert f"nothing was decided about {DAY}: materialize arrival_delay/monitoring/decision first" in why(result)
    assert lived.promotions.all(NAME) == before


@pytest.mark.parametrize(
    ("asset", "other"),
    [("rollback", Action.RETRAIN), ("retrain", Action.ROLL_BACK), ("quarantine", Action.NOTHING)],
)
def test_a_decision_for_something_else_is_named_with_the_way_around(lived, asset, other):
    decided(lived, other)
    before = lived.promotions.all(NAME)
    result = lived.materialize([key(lived.use_case, REMEDIATION, asset)], DAY, fails=True)
    assert f"the decision of {DAY} is {other} (a made decision), not" in why(result)
    assert "mlops rollback" in why(result)
    assert lived.promotions.all(NAME) == before


def test_a_rollback_of_a_champion_that_changed_meanwhile_moves_nothing(lived):
    enthrone(lived, LIVE[0])
    decided(lived, Action.ROLL_BACK, version=1, target=1)
    before = lived.promotions.all(NAME)
    result = lived.materialize([key(lived.use_case, REMEDIATION, "rollback")], DAY, fails=True)
    assert not result.success
    assert "asked to take back version 1, but champion is 2" in why(result)
    assert lived.promotions.all(NAME) == before
    assert lived.memory.registry.by_alias(NAME, Arm.CHAMPION).version == 2


def test_a_decided_rollback_restores_the_predecessor_once_and_people_are_told_once(lived):
    enthrone(lived, LIVE[0])
    decided(lived, Action.ROLL_BACK, version=2, target=1)
    for _ in range(2):
        result = lived.run("arrival_delay__rollback", DAY)
        assert checks_of(result)["rollback/server_answers_with_the_old_digest"]
    assert lived.memory.registry.by_alias(NAME, Arm.CHAMPION).version == 1
    kinds = [line.kind for line in lived.promotions.all(NAME) if line.day == DAY]
    assert sorted(kinds) == ["restored", "rolled_back"]
    assert [alert.key for alert in lived.memory.alerts.sent()] == [f"{NAME}/{DAY}/roll_back"]


def test_a_rollback_that_a_tick_has_made_is_seen_at_the_server_and_told_as_such(lived):
    enthrone(lived, LIVE[0])
    decided(lived, Action.ROLL_BACK, version=2, target=1)
    made = remediation.decided(lived.memory.artifacts, lived.use_case, DAY, Action.ROLL_BACK)
    line = remediation.roll_back(lived.releases, lived.use_case, made, "sensor:arrival_delay__remediation")
    result = lived.run("arrival_delay__rollback", DAY)
    assert checks_of(result)["rollback/server_answers_with_the_old_digest"]
    (event,) = result.asset_materializations_for_node("arrival_delay__remediation__rollback")
    told = {name: value.value for name, value in event.metadata.items()}
    assert (told["moved_at"], told["moved_in"]) == (line.at, "a sensor's tick or another run")
    assert told["digest"] == line.digest


def test_a_server_that_does_not_take_the_old_version_back_is_seen_and_the_history_stands(lived, monkeypatch):
    bundle = {"model.txt": b"other bytes", "signature.json": b"{}"}
    registry, digest = lived.memory.registry, bundle_digest(bundle)
    registry.register(NAME, "run", bundle, {}, digest, {"cutoff_day": LIVE[0]})
    cause = Cause(id="in", day=LIVE[1], by="operator:test", reason="to set the stage")
    lived.releases.enter(NAME, 2, digest, Arm.CHAMPION, cause=cause, kind="override")
    decided(lived, Action.ROLL_BACK, version=2, target=1)
    lived.endpoint.status(NAME)
    lived.endpoint.refuse(lived.memory.registry.version(NAME, 1).digest)
    monkeypatch.setattr(remediation, "SERVER_SECONDS", 0.1)
    result = lived.run("arrival_delay__rollback", DAY)
    assert result.success
    assert checks_of(result)["rollback/server_answers_with_the_old_digest"] is False
    assert lived.promotions.arms(NAME)[Arm.CHAMPION].version == 1


def test_a_held_day_is_recorded_and_moves_nothing(lived):
    decided(lived, Action.HOLD)
    before = lived.promotions.all(NAME)
    assert lived.run("arrival_delay__quarantine", DAY).success
    assert lived.memory.artifacts.list(f"{NAME}/remediation/quarantine") == [f"{DAY}.json"]
    assert lived.promotions.all(NAME) == before
