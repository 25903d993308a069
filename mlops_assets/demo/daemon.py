"""Dagster's own sensor daemon, ticked by hand in this process.

``dagster dev`` gives every run a process of its own: ten seconds of start-up for a fraction of a second of work. The
demo plays hundreds of runs, so it ticks the daemon's own code in a fixed order and runs what the sensors request in
this process. Instance, cursors, ticks and runs are the same records that ``make ui`` shows and continues.

Here: the instance, the workspace, one tick of one sensor. Belongs here: Dagster's internals that the demo needs, in
one place. Does not: the story.
"""

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import _process_tick_generator
from dagster._time import get_current_timestamp
from sqlalchemy import Engine, event

LOCATION = "mlops_assets"
MODULE = "mlops_assets.definitions"


class _InProcess(WorkspaceLoadTarget):
    """The code location of workspace.yaml, loaded into this process: same names, so cursors and ticks carry over."""

    def create_origins(self) -> list[InProcessCodeLocationOrigin]:
        target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE)
        return [InProcessCodeLocationOrigin(target, location_name=LOCATION)]


class SensorFailed(RuntimeError):
    """A sensor's tick raised; the message is the sensor's own."""


class RunFailed(RuntimeError):
    """A run of the demo failed."""


class Daemon:
    """A context manager; inside it ``tick(sensor)`` evaluates one sensor and runs what it requests."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root, self._state = root, state
        self._stack = ExitStack()
        self._log = logging.getLogger("mlops_assets.demo")
        self._log.setLevel(logging.WARNING)

    def __enter__(self) -> Self:
        _trade_durability_for_speed()
        self.instance = self._stack.enter_context(open_instance(self._root, self._state, in_process=True))
        self._workspace = self._stack.enter_context(WorkspaceProcessContext(self.instance, _InProcess()))
        entries = self._workspace.create_request_context().get_code_location_entries().values()
        location = next(iter(entries)).code_location
        if location is None:
            raise RuntimeError(f"{MODULE} does not load: run `dagster definitions validate`")
        (repository,) = location.get_repositories().values()
        self._sensors = {sensor.name: sensor for sensor in repository.get_sensors()}
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def tick(self, name: str) -> bool:
        """Evaluate the sensor once, running what it requests to the end; True when it requested something.

        Raises SensorFailed when the sensor's own code raised.
        """
        sensor = self._sensors[name]
        self._make_due(sensor)
        retention = self.instance.get_tick_retention_settings(InstigatorType.SENSOR)
        arguments = (self._workspace, self._log, sensor, self._state_of(sensor), None, retention, None)
        for error in _process_tick_generator(*arguments):
            if error is not None:
                raise SensorFailed(f"{name}: {error.message}")
        ticks = self.instance.get_ticks(sensor.get_remote_origin_id(), sensor.selector_id, limit=1)
        if ticks and ticks[0].status is TickStatus.FAILURE:
            raise SensorFailed(f"{name}: {ticks[0].error.message if ticks[0].error else 'no message'}")
        self.refuse_failures()
        return bool(ticks) and ticks[0].status is TickStatus.SUCCESS

    @property
    def sensors(self) -> tuple[str, ...]:
        """Every sensor of the definitions."""
        return tuple(self._sensors)

    def refuse_failures(self) -> None:
        """Raise RunFailed when a run of this instance failed: in a play that is the end of it."""
        failed = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
        if failed:
            run = failed[0]
            raise RunFailed(f"run {run.run_id} of {run.job_name} failed: see `make ui` and the log in {self._state}")

    def last_skip(self, name: str) -> str:
        """Why the sensor's last tick requested nothing."""
        sensor = self._sensors[name]
        ticks = self.instance.get_ticks(sensor.get_remote_origin_id(), sensor.selector_id, limit=1)
        return (ticks[0].skip_reason if ticks else None) or "no reason given"

    def run(self, job: str, partition: str | None, run_config: dict[str, Any]) -> None:
        """Run a job as somebody at the launchpad would. Raises RunFailed."""
        from mlops_assets.definitions import defs

        result = defs.get_job_def(job).execute_in_process(
            run_config=run_config, instance=self.instance, partition_key=partition, raise_on_error=False
        )
        if not result.success:
            raise RunFailed(f"run {result.run_id} of {job} failed: see `make ui` and the log in {self._state}")

    def _make_due(self, sensor: Any) -> None:
        """Forget when the sensor was ticked last.

        Sooner than its least interval after that, Dagster does nothing and says nothing: a tick a second after a quick
        run looked as if the one before had been repeated.
        """
        state = self._state_of(sensor)
        data = state.instigator_data
        if isinstance(data, SensorInstigatorData):
            forgotten = data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
            self.instance.update_instigator_state(state.with_data(forgotten))

    def _state_of(self, sensor: Any) -> InstigatorState:
        stored = self.instance.get_instigator_state(sensor.get_remote_origin_id(), sensor.selector_id)
        if stored is not None:
            return stored
        fresh = InstigatorState(
            sensor.get_remote_origin(),
            InstigatorType.SENSOR,
            InstigatorStatus.DECLARED_IN_CODE,
            SensorInstigatorData(
                min_interval=sensor.min_interval_seconds,
                last_sensor_start_timestamp=get_current_timestamp(),
                sensor_type=sensor.sensor_type,
            ),
        )
        return self.instance.add_instigator_state(fresh)


def _trade_durability_for_speed() -> None:
    """Let SQLite in this process not wait for the disk: a killed demo loses nothing, a power cut may.

    Dagster commits three times an event, and a demo writes some 10,000 events: half of their time was fsync.
    """

    @event.listens_for(Engine, "connect")
    def no_waiting(connection: Any, _: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")


def open_instance(root: Path, state: Path, in_process: bool = False) -> dg.DagsterInstance:
    """The instance that dagster.yaml describes, with its storage under ``state``."""
    home = state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    overrides: dict[str, Any] = {"storage": {"sqlite": {"base_dir": str(home)}}}
    if in_process:
        overrides["run_launcher"] = _class("dagster._core.launcher.sync_in_memory_run_launcher.SyncInMemoryRunLauncher")
        overrides["run_coordinator"] = _class("dagster._core.run_coordinator.DefaultRunCoordinator")
        # Capturing the output of every step costs a process each and would swallow the demo's own lines.
        overrides["compute_logs"] = _class("dagster._core.storage.noop_compute_log_manager.NoOpComputeLogManager")
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), config_dir=str(root), overrides=overrides))


def _class(path: str) -> dict[str, str]:
    module, _, name = path.rpartition(".")
    return {"module": module, "class": name}
