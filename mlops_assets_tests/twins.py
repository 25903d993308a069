"""The whole system with every part in memory: what the tests of the assets and of the command stand on.

Here: ``Twins`` (the shipped definitions on in-memory parts, runs and ticks on them) and reading a run. Belongs here:
putting parts together. Does not: what happens on them (``conftest``), assertions.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.adapters.alerts import MemoryAlerts
from mlops_assets.adapters.artifacts import MemoryArtifacts
from mlops_assets.adapters.endpoint import Endpoint, MemoryEndpoint
from mlops_assets.adapters.feature_store import FeatureStore, MemoryFeatureStore
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.online_reader import Key, OnlineReader, Snapshot
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.replay import Replay
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.source import LandedSource, NycFlights
from mlops_assets.adapters.tables import MemoryTables
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.contracts import Gates, UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import ViewInput
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.resources.mlflow import MemoryExperimentTracking
from mlops_assets.serving.configuration import served
from mlops_assets.serving.in_process import InProcessEndpoint
from mlops_assets.use_cases import USE_CASES

FIRST, LIVE_FROM, UNTIL = "2013-03-01", "2013-03-22", "2013-03-27"
LOOSE = Gates(min_auc=0.5, max_log_loss_ratio=1.2, max_calibration_error=0.3, champion_margin=0.2)


def small(use_case: UseCase) -> UseCase:
    """The use case with few rounds, few held-out days and gates that any honest model of three weeks passes.

    Drift is measured by scipy, which gives the same statistics: importing alibi-detect costs three seconds.
    """
    params = {**use_case.training.params, "min_data_in_leaf": 100, "num_leaves": 7, "learning_rate": 0.2}
    training = replace(use_case.training, params=params, rounds=20, early_stopping_rounds=10, validation_days=5)
    monitoring = replace(use_case.monitoring, drift_engine="scipy")
    return replace(use_case, training=training, gates=LOOSE, monitoring=monitoring)


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
    registry: MemoryRegistry
    traffic_log: MemoryTrafficLog
    alerts: MemoryAlerts


class Twins:
    """The definitions on twins, and what a test does with them."""

    def __init__(
        self, folder: Path, memory: Memory, endpoint: Endpoint | None = None, use_case: UseCase | None = None
    ) -> None:
        self.use_case = use_case or small(USE_CASES[0])
        self.domain = self.use_case.domain
        self.memory = memory
        self.source = LandedSource(folder / "landing", NycFlights())
        self.promotions = Promotions(memory.tables)
        self.releases = Releases(memory.registry, self.promotions)
        self.endpoint = endpoint or self._server(folder)
        self.instance = dg.DagsterInstance.ephemeral()
        dates = {"feed_from": FIRST, "live_from": LIVE_FROM, "feed_until": UNTIL}
        settings = Settings(state=folder, start_services=False, **dates)
        self.definitions = build_defs((self.use_case,), self._resources(), settings)
        self.runs: dict[str, dg.ExecuteInProcessResult] = {}
        """What sensors asked for, by run key."""
        self._cursors: dict[str, str | None] = {}

    def _server(self, folder: Path) -> Endpoint:
        reader, log = StoreReader(self.memory.feature_store), self.memory.traffic_log
        facts = [served(self.use_case)]
        return InProcessEndpoint(self.memory.registry, facts, folder / "serving", log, reader, TRANSFORMATIONS)

    def _resources(self) -> dict[str, Any]:
        parts = (self.source, self.memory.tables, self.memory.feature_store, self.endpoint)
        return {
            **vars(self.memory),
            "source": self.source,
            "promotions": self.promotions,
            "releases": self.releases,
            "endpoint": self.endpoint,
            "replay": Replay(*parts, (self.use_case,), live_from=LIVE_FROM),
            "experiment_tracking": MemoryExperimentTracking(),
        }

    def run(self, job: str, day: str, last: str | None = None, **options: Any) -> Any:
        """One run of a job in this process, of one day or of a range of days."""
        return self._execute(self.definitions.resolve_job_def(job), day, last, **options)

    def materialize(self, assets: Sequence[dg.AssetKey], day: str, last: str | None = None, **options: Any) -> Any:
        """One run of some assets, with their checks."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return self._execute(job, day, last, asset_selection=list(assets), **options)

    def _execute(self, job: Any, day: str, last: str | None, fails: bool = False, **options: Any) -> Any:
        days = {"partition_key": day} if last is None else {"tags": {RANGE_START: day, RANGE_END: last}}
        return job.execute_in_process(instance=self.instance, raise_on_error=not fails, **days, **options)

    def tick(self, sensor: str) -> list[dg.ExecuteInProcessResult]:
        """One tick of a sensor. What it requests is run as the daemon would: once for each run key."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self._cursors.get(sensor), definitions=self.definitions
        )
        found = self.definitions.get_sensor_def(sensor).evaluate_tick(context)
        self._cursors[sensor] = found.cursor
        requests = [request for request in found.run_requests or [] if request.run_key not in self.runs]
        for request in requests:
            self.runs[request.run_key] = self.definitions.resolve_job_def(request.job_name).execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                run_config=request.run_config,
                tags={**request.tags, "dagster/sensor_name": sensor},
            )
        return [self.runs[request.run_key] for request in requests]

    def happened(self, asset: dg.AssetKey, day: str, **metadata: Any) -> None:
        """Report a materialization that no run of this test made."""
        event = dg.AssetMaterialization(asset, partition=day, metadata=metadata)
        self.instance.report_runless_asset_event(event)

    def copied(self, folder: Path, endpoint: type[MemoryEndpoint] | None = MemoryEndpoint) -> "Twins":
        """The same state apart from the original, on an instance without events.

        Its server serves whatever the registry says; None: the real data plane, which loads bundles and logs traffic.
        """
        memory = Memory(**dict(zip(vars(self.memory), copy.deepcopy(tuple(vars(self.memory).values())), strict=True)))
        return Twins(folder, memory, endpoint and endpoint(memory.registry))


def new_twins(folder: Path) -> Twins:
    """Twins that have lived through nothing."""
    tables = MemoryTables()
    parts = (MemoryArtifacts(), MemoryRegistry(), MemoryTrafficLog(), MemoryAlerts())
    return Twins(folder, Memory(tables, MemoryFeatureStore(tables), *parts))


def checks_of(result: Any) -> dict[str, bool]:
    """``<asset's name>/<check>`` -> passed, of one run."""
    return {f"{e.asset_key.path[-1]}/{e.check_name}": e.passed for e in result.get_asset_check_evaluations()}


def why(result: Any) -> str:
    """What the failed steps of a run said, causes included."""
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return "\n".join(f.error.to_string() for f in failures if f.error) + "\n".join(
        str(f.user_failure_data.description) for f in failures if f.user_failure_data
    )
