"""A candidate about which nothing is known yet is paused: not refused, and never moved on."""

from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MONITORING, key
from mlops_assets.contracts import Arm
from mlops_assets_tests.conftest import LIVE, Twins

NAME = "arrival_delay"


def in_shadow(twins: Twins, day: str) -> int:
    """The first version's bytes and documents once more, as a version that entered the shadow that day."""
    registry = twins.memory.registry
    first = registry.version(NAME, 1)
    files = {p.removeprefix("bundle/"): c for p, c in registry.files[NAME, 1].items() if p.startswith("bundle/")}
    documents = {path: registry.document(NAME, 1, path) for path in registry.documents(NAME, 1)}
    added = registry.register(NAME, "another", files, documents, first.digest, {"cutoff_day": day})
    cause = Cause(id="in", day=day, by="operator:test", reason="to set the stage")
    twins.releases.enter(NAME, added.version, added.digest, Arm.SHADOW, cause=cause)
    return added.version


def test_a_day_judged_again_on_which_the_challenger_scored_nothing_pauses_it(lived):
    version = in_shadow(lived, LIVE[1])
    before = lived.promotions.all(NAME)
    result = lived.materialize([key(lived.use_case, MONITORING, "challenger_regret")], LIVE[1])
    (event,) = result.asset_materializations_for_node("arrival_delay__monitoring__challenger_regret")
    (verdict,) = event.metadata["verdicts"].value
    assert (verdict["version"], verdict["step"]) == (version, "pause")
    assert verdict["reason"] == (
        "inconclusive: the paired rows could not be measured (no outcome is known yet of a row that it scored)"
    )
    assert event.metadata["step"].value == "pause"
    assert lived.promotions.all(NAME) == before
