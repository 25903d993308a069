"""Experiment tracking: one MLflow run for each Dagster run that uses it, linked both ways, with Dagster's own ending.

Here: the resource over dagster-mlflow's ``MlFlow``, its twin in memory, and what ends an MLflow run.
Belongs here: anything that ties a Dagster run to an MLflow run. Does not: requests to MLflow's server
(``adapters.experiments``), the registry, when the ending is looked after (``automation.mlflow_status``).

dagster-mlflow starts an MLflow run whenever it is initialised and leaves it RUNNING unless a hook closes it (the UI's
button and most sensors start jobs without hooks); under the multiprocess executor, and wherever a process just exits,
it calls failed runs FINISHED; a run left active in a process receives the next run's numbers. Here a run starts at
first use, is let go by every process that used it, and gets its status from Dagster's event log: at once where the
log tells the end already, by ``settle`` where only Dagster knows later (other processes, a kill).
Importing mlflow costs 3 to 4 s: only functions do it.
"""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from mlops_assets.adapters.experiments import Experiments
from mlops_assets.resources.run_endings import ENDINGS, OVER, ending_so_far

RUN_TAG = "mlflow/run_id"
URL_TAG = "mlflow/url"
SETTLED_TAG = "mlflow/settled"
"""Tag of a Dagster run: ``no`` from before its MLflow run starts until MLflow tells the ending that Dagster tells."""
LET_GO = "RUNNING"
"""Status with which a process leaves a run that is not over: other processes, or ``settle``, will end it."""


class TrackedRun(ABC):
    """The MLflow run of one Dagster run, as an asset sees it."""

    def __init__(self, run_id: str, url: str) -> None:
        self.run_id = run_id
        self.url = url

    @abstractmethod
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters. MLflow refuses to change the value of one."""

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics, perhaps of one step of the training."""

    @abstractmethod
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags of the run."""

    def metadata(self) -> dict[str, dg.MetadataValue]:
        """For the metadata of a materialization: the run's id and the way to its page."""
        return {"mlflow_run_id": dg.MetadataValue.text(self.run_id), "mlflow_run": dg.MetadataValue.url(self.url)}


class MlflowRun(TrackedRun):
    """A run on the MLflow server, through dagster-mlflow."""

    def __init__(self, mlflow: Any, run_id: str, url: str) -> None:
        super().__init__(run_id, url)
        self.mlflow = mlflow
        """dagster-mlflow's object: every function of mlflow, on this run."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """As in TrackedRun."""
        self.mlflow.log_params(dict(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As in TrackedRun."""
        self.mlflow.log_metrics(dict(metrics), step=step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """As in TrackedRun."""
        self.mlflow.set_tags(dict(tags))

    def let_go(self, ending: str | None) -> None:
        """End this process's part in the run, with the run's final status where it is known."""
        active = self.mlflow.active_run()
        if active and active.info.run_id == self.run_id:
            self.mlflow.end_run(ending or LET_GO)


class MemoryRun(TrackedRun):
    """A run in the memory of one process."""

    def __init__(self, run_id: str, url: str) -> None:
        super().__init__(run_id, url)
        self.params: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = {}

    def log_params(self, params: Mapping[str, Any]) -> None:
        """As in TrackedRun."""
        changed = [key for key, value in params.items() if self.params.setdefault(key, value) != value]
        if changed:
            raise ValueError(f"parameters never change their value: {', '.join(changed)}")

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """As in TrackedRun."""
        self.metrics.update(metrics)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """As in TrackedRun."""
        self.tags.update(tags)


class ExperimentTracking(dg.ConfigurableResource):
    """MLflow runs for Dagster runs; an asset that never asks for one starts none."""

    tracking_uri: str = Field(description="Address of the MLflow server.")
    experiment: str = Field(default="mlops_assets", description="Name of the MLflow experiment that holds the runs.")
    ui_url: str = Field(default="http://127.0.0.1:3000", description="Address of Dagster's web server, for links.")

    _tracked: TrackedRun | None = PrivateAttr(default=None)

    def run(self, context: dg.AssetExecutionContext) -> TrackedRun:
        """The MLflow run of this Dagster run, started by the first asset that asks for it.

        Raises RegistryUnavailable when the server does not answer.
        """
        if self._tracked is None:
            self.settle(context.instance)
            self._tracked = self._start(context)
        self._tracked.set_tags(asset_tags(context))
        return self._tracked

    def _start(self, context: dg.AssetExecutionContext) -> TrackedRun:
        # Before the MLflow run exists: whatever happens from here on, ``settle`` will look for it.
        context.instance.add_run_tags(context.run.run_id, {SETTLED_TAG: "no"})
        experiments = Experiments(self.tracking_uri, self.experiment)
        run_id = experiments.find_or_create(context.run.run_id, run_name(context), run_tags(context, self.ui_url))
        url = experiments.url(run_id)
        context.instance.add_run_tags(context.run.run_id, {RUN_TAG: run_id, URL_TAG: url})
        return MlflowRun(self._activate(context, run_id), run_id, url)

    def _activate(self, context: dg.AssetExecutionContext, run_id: str) -> Any:
        """dagster-mlflow's object, with ``run_id`` the active run of this thread."""
        import mlflow

        while (stale := mlflow.active_run()) and stale.info.run_id != run_id:
            context.log.warning(f"MLflow run {stale.info.run_id} was still active in this process: let go")
            mlflow.end_run(LET_GO)
        settings = {
            "mlflow_tracking_uri": self.tracking_uri,
            "experiment_name": self.experiment,
            "mlflow_run_id": run_id,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            from dagster_mlflow.resources import MlFlow

            return MlFlow(_MlflowContext(context.log, _NoJob(), context.run.run_id, settings))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Let the MLflow run go, with its final status where Dagster's log already tells it."""
        tracked, self._tracked = self._tracked, None
        if not isinstance(tracked, MlflowRun) or context.instance is None or context.run is None:
            return
        try:
            tracked.let_go(ending_so_far(context.instance, context.run))
        except Exception as error:  # the work is done: a server that went away must not fail it
            log = context.log or logging.getLogger(__name__)
            log.warning(f"MLflow run {tracked.run_id} gets its ending from the sensor later: {error}")

    def settle(self, instance: dg.DagsterInstance) -> list[str]:
        """Give every MLflow run whose Dagster run is over the ending that Dagster tells; what was settled, in words.

        Raises RegistryUnavailable; what is not settled then comes up again at the next call.
        """
        waiting = instance.get_run_records(dg.RunsFilter(statuses=OVER, tags={SETTLED_TAG: "no"}), limit=100)
        return [self._settle(instance, record) for record in waiting]

    def _settle(self, instance: dg.DagsterInstance, record: dg.RunRecord) -> str:
        run = record.dagster_run
        experiments = Experiments(self.tracking_uri, self.experiment)
        run_id = run.tags.get(RUN_TAG) or experiments.find(run.run_id)
        told = experiments.end(run_id, ENDINGS[run.status], record.end_time) if run_id else "never started"
        instance.add_run_tags(run.run_id, {SETTLED_TAG: "yes"})
        return f"MLflow run {run_id or ''} of Dagster run {run.run_id}: {told}"


class MemoryExperimentTracking(ExperimentTracking):
    """Runs in the memory of one process, for tests and trials: ``runs`` keeps them by Dagster run id."""

    tracking_uri: str = "memory"
    _runs: dict[str, MemoryRun] = PrivateAttr(default_factory=dict)

    def _start(self, context: dg.AssetExecutionContext) -> TrackedRun:
        run_id = f"memory-{context.run.run_id}"
        return self._runs.setdefault(context.run.run_id, MemoryRun(run_id, f"{self.ui_url}/runs/{run_id}"))

    def settle(self, instance: dg.DagsterInstance) -> list[str]:
        """As in ExperimentTracking."""
        return []


@dataclass(frozen=True)
class _NoJob:
    """In place of the Dagster run: dagster-mlflow would rename every MLflow run to its job, ``__ASSET_JOB``."""

    job_name: None = None


@dataclass(frozen=True)
class _MlflowContext:
    """What dagster-mlflow's object reads of the context of a resource."""

    log: Any
    dagster_run: _NoJob
    run_id: str
    resource_config: Mapping[str, Any]


def partition_of(context: dg.AssetExecutionContext) -> str | None:
    """The partition, or the range as ``first...last``, that this asset is materialized for; None without."""
    if context.has_partition_key:
        return context.partition_key
    if context.has_partition_key_range:
        span = context.partition_key_range
        return f"{span.start}...{span.end}"
    return None


def run_name(context: dg.AssetExecutionContext) -> str:
    """The MLflow run's name: the asset that started it and its partition say more than ``__ASSET_JOB``."""
    return " ".join(filter(None, (context.asset_key.to_user_string(), partition_of(context))))


def run_tags(context: dg.AssetExecutionContext, ui_url: str) -> dict[str, str]:
    """The way from an MLflow run to its Dagster run."""
    run = context.run
    link = f"{ui_url}/runs/{run.run_id}"
    return {
        "dagster_job": run.job_name,
        "dagster_run_url": link,
        "mlflow.note.content": f"Dagster run [{run.run_id}]({link}) of job `{run.job_name}`",
    }


def asset_tags(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Which asset, and which partition of it, uses the MLflow run. One tag for each asset of the run."""
    asset = context.asset_key.to_user_string()
    partition = partition_of(context) or ""
    return {"dagster_asset": asset, "dagster_partition": partition, f"dagster_asset/{asset}": partition}
