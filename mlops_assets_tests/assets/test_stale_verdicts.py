"""A verdict about a candidate that a person has made champion meanwhile leaves the champion where it is."""

from dataclasses import dataclass, field

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.artifacts import MemoryArtifacts
from mlops_assets.adapters.endpoint import MemoryEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.assets.address import RELEASES, key
from mlops_assets.assets.files import put_release_decision
from mlops_assets.assets.releases import answers_by_version, build_releases
from mlops_assets.contracts import Arm, ReleaseDecision, Step
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.use_cases import USE_CASES

USE_CASE = USE_CASES[0]
CUTOFF = "2013-04-03"


@dataclass
class Forced:
    """Version 1 was champion until a person forced version 2 in."""

    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)

    def __post_init__(self) -> None:
        self.releases = Releases(self.registry, Promotions(MemoryTables()))
        for number in (1, 2):
            bundle = {"model.txt": str(number).encode()}
            digest = bundle_digest(bundle)
            facts = {"cutoff_day": CUTOFF}
            self.registry.register(USE_CASE.name, f"run{number}", bundle, {"card.md": b"#"}, digest, facts)
            cause = Cause(id=f"force/{number}", day=CUTOFF, by="operator:test", reason="force it in")
            self.releases.enter(USE_CASE.name, number, digest, Arm.CHAMPION, cause=cause, kind="override")

    def judged(self, step: Step, asset: str) -> dg.ExecuteInProcessResult:
        """Materialize the asset that carries ``step`` out for version 2."""
        verdict = ReleaseDecision(day=CUTOFF, version=2, step=step, reason="said before it was forced in")
        put_release_decision(self.artifacts, USE_CASE, verdict)
        resources = {
            "artifacts": self.artifacts,
            "releases": self.releases,
            "endpoint": MemoryEndpoint(self.registry),
            "tables": MemoryTables(),
        }
        config = {"config": {"version": 2, "day": CUTOFF}}
        address = key(USE_CASE, RELEASES, asset)
        return dg.materialize(
            build_releases(USE_CASE),
            selection=[address],
            partition_key=CUTOFF,
            resources=resources,
            run_config={"ops": {address.to_python_identifier(): config}},
            instance=dg.DagsterInstance.ephemeral(),
        )

    @property
    def held(self) -> dict[str, int]:
        return dict(self.registry.model(USE_CASE.name).aliases)


@pytest.mark.parametrize(
    ("step", "asset"), [(Step.REFUSE, "canary_analysis"), (Step.TO_CANARY, "canary"), (Step.TO_SHADOW, "shadow")]
)
def test_a_stale_verdict_does_not_take_the_champion_away(step: Step, asset: str) -> None:
    forced = Forced()
    assert forced.judged(step, asset).success
    assert forced.held == {Arm.CHAMPION: 2}


def test_a_day_that_only_the_fallback_answered_has_digests_of_the_tables_type() -> None:
    answered = pd.DataFrame({"arm": ["fallback"] * 3, "version": [float("nan")] * 3, "digest": [None] * 3})
    counts = answers_by_version(answered, "2013-04-04")
    assert counts["digest"].dtype == object
    assert counts.to_dict("records")[0]["answers"] == 3
