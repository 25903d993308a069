"""The whole system with every part in memory, and the life it has led: what the tests of the assets stand on.

Belongs here: putting the twins together, running jobs on them. Does not: assertions.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.alerts import MemoryAlerts
from mlops_assets.adapters.artifacts import MemoryArtifacts
from mlops_assets.adapters.content_store import MemoryContentStore
from mlops_assets.adapters.endpoint import Endpoint, MemoryEndpoint
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.lineage_events import MemoryLineageEvents
from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.notifications import Notifier
from mlops_assets.adapters.online_reader import Key, OnlineReader, Snapshot
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.replay import Replay
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.source import LandedSource, NycFlights
from mlops_assets.adapters.studies import MemoryStudies
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.assets.models.workbench import bundle_of
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.contracts import Arm, Gates, ModelVersion, UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import ViewInput
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.resources.mlflow import MemoryExperimentTracking
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.in_process import InProcessEndpoint
from mlops_assets.serving.probe import InProcessProbe, Probe
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.postgres_server import postgres_address, postgres_server  # noqa: F401 - fixtures
from mlops_assets_tests.redis_server import redis_address, redis_server  # noqa: F401 - fixtures

FIRST, LAST = "2013-03-01", "2013-03-21"
LIVE = ("2013-03-22", "2013-03-23")
LOOSE = Gates(
    min_auc=0.5, max_log_loss_ratio=1.2, max_calibration_error=0.3, champion_margin=0.2, max_latency_ms=5000.0
)


def small(use_case: UseCase) -> UseCase:
    """The use case with few rounds, few held-out days and gates that any honest model passes."""
    params = {**use_case.training.params, "min_data_in_leaf": 100, "num_leaves": 7, "learning_rate": 0.1}
    training = replace(use_case.training, params=params, rounds=30, early_stopping_rounds=10, validation_days=5)
    return replace(use_case, training=training, gates=LOOSE)


class StoreReader(OnlineReader):
    """What the server reads, out of the feature store's twin."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        found = zip(keys, self._store.snapshots(view.name, [str(key) for key in keys]), strict=True)
        return {key: Snapshot(held[0].timestamp(), held[1]) for key, held in found if held}


@dataclass(frozen=True)
class Memory:
    """The parts that keep something."""

    tables: MemoryTables
    feature_store: MemoryFeatureStore
    artifacts: MemoryArtifacts
    content_store: MemoryContentStore
    studies: MemoryStudies
    registry: MemoryRegistry
    traffic_log: MemoryTrafficLog
    alerts: MemoryAlerts


class Twins:
    """The definitions on twins, and what a test does with them."""

    def __init__(
        self,
        folder: Path,
        memory: Memory,
        endpoint: Endpoint | None = None,
        use_case: UseCase | None = None,
        probe: Probe | None = None,
        segments: Sequence[UseCase] = (),
    ) -> None:
        self.use_case = use_case or small(USE_CASES[0])
        self.use_cases = (self.use_case, *segments)
        self.domain = self.use_case.domain
        self.memory = memory
        self.source = LandedSource(folder / "landing", NycFlights())
        self.production = MemoryRegistry()
        self.lineage_events = MemoryLineageEvents()
        self.notifier = Notifier(memory.alerts, folder / "alerts.delivered.json", ())
        self.promotions = Promotions(memory.tables)
        self.releases = Releases(memory.registry, self.promotions)
        self.endpoint = endpoint or self._server(folder)
        self.probe = probe or InProcessProbe(lambda: StoreReader(memory.feature_store), TRANSFORMATIONS)
        self.instance = dg.DagsterInstance.ephemeral()
        self.definitions = build_defs(
            self.use_cases, self._resources(), Settings(state=folder, start_services=False, live_from=LIVE[0])
        )

    def _server(self, folder: Path) -> Endpoint:
        models = [
            ServedModel(name=facts.name, entity_id=facts.entity_id, timezone=facts.timezone, fallback_score=0.24)
            for facts in self.use_cases
        ]
        reader, log = StoreReader(self.memory.feature_store), self.memory.traffic_log
        return InProcessEndpoint(self.memory.registry, models, folder / "serving", log, reader, TRANSFORMATIONS)

    def _resources(self) -> dict[str, Any]:
        parts = (self.source, self.memory.tables, self.memory.feature_store, self.endpoint)
        return {
            **vars(self.memory),
            "source": self.source,
            "production": self.production,
            "lineage_events": self.lineage_events,
            "notifier": self.notifier,
            "promotions": self.promotions,
            "releases": self.releases,
            "endpoint": self.endpoint,
            "replay": Replay(*parts, self.use_cases, live_from=LIVE[0]),
            "probe": self.probe,
            "experiment_tracking": MemoryExperimentTracking(),
        }

    def run(self, job: str, day: str, last: str | None = None, config: Any = None, fails: bool = False) -> Any:
        """One run of a job in this process, of one day or of a range of days."""
        return self._execute(self.definitions.resolve_job_def(job), day, last, run_config=config, fails=fails)

    def materialize(self, assets: Sequence[dg.AssetKey], day: str, last: str | None = None, **options: Any) -> Any:
        """One run of some assets, with their checks."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return self._execute(job, day, last, asset_selection=list(assets), **options)

    def _execute(self, job: Any, day: str, last: str | None, fails: bool = False, **options: Any) -> Any:
        days = {"partition_key": day} if last is None else {"tags": {RANGE_START: day, RANGE_END: last}}
        return job.execute_in_process(instance=self.instance, raise_on_error=not fails, **days, **options)

    def copied(self, folder: Path) -> "Twins":
        """The same state apart from the original, with a server that serves whatever the registry says."""
        memory = Memory(**dict(zip(vars(self.memory), copy.deepcopy(tuple(vars(self.memory).values())), strict=True)))
        return Twins(folder, memory, MemoryEndpoint(memory.registry))


def checks_of(result: Any) -> dict[str, bool]:
    """``<asset's name>/<check>`` -> passed, of one run."""
    return {f"{e.asset_key.path[-1]}/{e.check_name}": e.passed for e in result.get_asset_check_evaluations()}


def why(result: Any) -> str:
    """What the failed steps of a run said, causes included."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(f.error.to_string() for f in failures if f.error) + "\n".join(
        str(f.user_failure_data.description) for f in failures if f.user_failure_data
    )


def enthrone(twins: Twins, cutoff_day: str) -> ModelVersion:
    """The first version's bytes once more, as a version of another cut-off day, in the first one's place."""
    name = twins.use_case.name
    first = twins.memory.registry.version(name, 1)
    bundle = bundle_of(twins.memory.artifacts, twins.use_case, first.cutoff_day)
    added = twins.memory.registry.register(name, "run", bundle, {}, first.digest, {"cutoff_day": cutoff_day})
    cause = Cause(id=f"enthrone/{added.version}", day=LIVE[1], by="operator:test", reason="to set the stage")
    twins.releases.enter(name, added.version, added.digest, Arm.CHAMPION, cause=cause, kind="override")
    return added


def new_twins(folder: Path, segments: Sequence[UseCase] = ()) -> Twins:
    """Twins that have lived through nothing."""
    tables = MemoryTables()
    parts = (
        MemoryArtifacts(),
        MemoryContentStore(),
        MemoryStudies(),
        MemoryRegistry(),
        MemoryTrafficLog(),
        MemoryAlerts(),
    )
    return Twins(folder, Memory(tables, MemoryFeatureStore(tables), *parts), segments=segments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run assets: what takes a minute is told apart from what takes a blink."""
    for item in items:
        lives = not {"twins", "life", "divided"}.isdisjoint(getattr(item, "fixturenames", ()))
        if lives or item.path.parent.name == "assets":
            item.add_marker("graph")


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    """A system on which nothing has happened."""
    return new_twins(tmp_path)


@dataclass(frozen=True)
class Life:
    """A system that has lived: three weeks of history, a first champion, two live days; the runs, by job and day."""

    twins: Twins
    runs: Mapping[str, Any]


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Lived once, for all tests that only look. A test that changes something takes ``lived``."""
    twins = new_twins(tmp_path_factory.mktemp("life"))
    flights, own = twins.domain.name, twins.use_case.name
    twins.materialize([dg.AssetKey([flights, "datasets", name]) for name in ("aircraft", "airports")], LAST)
    runs = {"history": twins.run(f"{flights}__history", FIRST, LAST)}
    runs["train"] = twins.run(f"{own}__train", LAST)
    runs["conclude"] = twins.run(f"{own}__conclude", LAST)
    for day in LIVE:
        runs[day] = twins.run(f"{flights}__day", day)
    return Life(twins, runs)


@pytest.fixture
def lived(life: Life, tmp_path: Path) -> Twins:
    """A copy of the lived system, to do harm to."""
    return life.twins.copied(tmp_path)
