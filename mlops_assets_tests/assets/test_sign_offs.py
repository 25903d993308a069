"""A version that needs a person's yes waits, is moved on by the yes, and is rolled back without asking anybody."""

from dataclasses import replace

from mlops_assets.adapters.releases import Cause
from mlops_assets.adapters.version_cards import version_facts
from mlops_assets.assets.address import MODELS, MONITORING, RELEASES, key
from mlops_assets.assets.files import release_decision_of
from mlops_assets.assets.models.workbench import MANIFEST, manifest_at, place
from mlops_assets.contracts import Arm, Step, to_json
from mlops_assets.ml.model_cards import write_card
from mlops_assets.ml.sign_offs import SIGNED_AS, SIGNED_OFF
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, Twins, enthrone, why

REQUIRED = ("ann",)


def asking(lived: Twins, tmp_path) -> Twins:
    """The lived system, taken back to before its first release, with a use case that asks ann to sign."""
    release = replace(lived.use_case.release, sign_off=REQUIRED)
    return Twins(tmp_path / "asking", lived.memory, lived.endpoint, replace(lived.use_case, release=release))


def another_first_version(twins: Twins) -> None:
    """Nobody is champion, and the bundle on the workbench comes from another training run: it is a new version."""
    artifacts, use_case = twins.memory.artifacts, twins.use_case
    first = twins.memory.registry.version("arrival_delay", 1)
    cause = Cause(id="out", day=LAST, by="operator:test", reason="to set the stage")
    twins.releases.leave("arrival_delay", 1, first.digest, cause=cause, kind="retired")
    manifest = replace(manifest_at(artifacts, use_case, LAST), mlflow_run_id="another")
    artifacts.put(f"{place(use_case, 'model', LAST)}/{MANIFEST}", to_json(manifest).encode())
    twins.materialize([key(use_case, MODELS, name) for name in ("model_card", "registered_version")], LAST)


def sign(twins: Twins, version: int) -> None:
    digest = twins.memory.registry.version("arrival_delay", version).digest
    cause = Cause(id="yes", day=LIVE[0], by="operator:ann", reason="I read its card", evidence={SIGNED_AS: "ann"})
    twins.releases.announce("arrival_delay", version, digest, cause=cause, kind=SIGNED_OFF)


def test_a_first_version_waits_for_its_signature_and_the_next_day_moves_it_on(lived, tmp_path):
    twins = asking(lived, tmp_path)
    another_first_version(twins)
    artifacts, use_case = twins.memory.artifacts, twins.use_case
    assert release_decision_of(artifacts, use_case, 2).step is Step.PAUSE
    twins.materialize([key(use_case, RELEASES, "canary_analysis"), key(use_case, RELEASES, "champion")], LAST)
    assert twins.promotions.arms("arrival_delay") == {}
    regret = key(use_case, MONITORING, "challenger_regret")
    twins.materialize([regret], LIVE[0])
    assert "waits for the sign-off of ann" in release_decision_of(artifacts, use_case, 2).reason
    sign(twins, 2)
    twins.materialize([regret], LIVE[1])
    assert release_decision_of(artifacts, use_case, 2).step is Step.TO_CHAMPION
    twins.materialize([key(use_case, RELEASES, "champion")], LAST)
    assert twins.promotions.arms("arrival_delay")[Arm.CHAMPION].version == 2


def test_the_signature_stands_in_history_and_card_with_the_digest(lived, tmp_path):
    twins = asking(lived, tmp_path)
    facts, _ = version_facts(twins.memory.registry, twins.promotions, twins.use_case, 1)
    assert "Missing: ann." in write_card(facts)
    sign(twins, 1)
    line = twins.promotions.all("arrival_delay")[-1]
    assert (line.kind, line.by, line.digest) == (SIGNED_OFF, "operator:ann", facts.manifest.model_digest)
    facts, _ = version_facts(twins.memory.registry, twins.promotions, twins.use_case, 1)
    card = write_card(facts)
    assert "| operator:ann | ann |" in card
    assert "Nobody is missing." in card
    assert twins.promotions.arms("arrival_delay")[Arm.CHAMPION].version == 1


def test_production_gets_the_version_only_with_the_signature(lived, tmp_path):
    twins = asking(lived, tmp_path)
    result = twins.run("arrival_delay__transfer", LAST, fails=True)
    assert "waits for the sign-off of ann before it goes to production" in why(result)
    assert twins.production.versions("arrival_delay") == []
    sign(twins, 1)
    assert twins.run("arrival_delay__transfer", LAST).success
    assert len(twins.production.versions("arrival_delay")) == 1


def test_a_rollback_never_waits(lived, tmp_path):
    twins = asking(lived, tmp_path)
    enthrone(twins, FIRST)
    cause = Cause(id="back", day=LIVE[1], by="sensor:remediation", reason="worse on the same rows")
    line = twins.releases.roll_back("arrival_delay", cause=cause)
    assert (line.kind, line.version) == ("restored", 1)
