"""A running system to measure the loop on: the sample's state, ``dagster dev`` with its daemon, the real servers.

Here: starting and ending it, asking its web server for a run, reading instants out of its records. Does not belong
here: what is measured (``benchmarks.loop``).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
from dagster import DagsterEventType
from dagster._core.scheduler.instigation import InstigatorTick, InstigatorType

from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.demo.daemon import open_instance
from mlops_assets.demo.sample import free_ports

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "mlops_assets"}
LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
START_S, END_S, POLL_S = 300.0, 60.0, 0.05


class LoopBroken(RuntimeError):
    """Something that was waited for did not come."""


def until(what: str, true: Callable[[], Any], seconds: float) -> Any:
    """What ``true`` says once it says something. Raises LoopBroken."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > deadline:
            raise LoopBroken(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_S)
    return found


class System:
    """A context manager: inside it, the system of the sample runs under ``dagster dev``, with ports of its own."""

    def __init__(self, folder: Path) -> None:
        registry, endpoint, ui = (f"http://127.0.0.1:{port}" for port in free_ports(3))
        self.settings = Settings(
            state=folder / "state", registry_uri=registry, endpoint_url=endpoint, ui_url=ui, sample=True
        )
        self._log = folder / "loop.log"
        self._dev: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "System":
        """Play the sample: history, a champion, a live day, a second version. Then start everything on its state."""
        with self._log.open("ab") as log:
            played = subprocess.run(self._mlops("sample"), cwd=ROOT, env=self._environment, stdout=log, stderr=log)
            if played.returncode:
                raise LoopBroken(f"the sample failed:\n{self._told}")
            # What ignores SIGINT hands that down: nobody could end it as Ctrl-C does.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._dev = subprocess.Popen(
                self._mlops("up"), cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until("the web server", self._answers, START_S)
            self.instance = open_instance(ROOT, self.settings.state)
            until("a first tick", lambda: self.ticks("arrival_delay__remediation"), START_S)
            until("quiet", self.quiet, START_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.instance.dispose()
        self._end()

    def _end(self) -> None:
        if self._dev is not None:
            self._dev.send_signal(signal.SIGINT)
            self._dev.wait(END_S)
        subprocess.run(self._mlops("stop"), cwd=ROOT, env=self._environment, capture_output=True, check=False)

    def _mlops(self, command: str) -> list[str]:
        return [sys.executable, "-m", "mlops_assets.cli.main", command]

    @property
    def _environment(self) -> dict[str, str]:
        """Of this system alone: no setting of whoever measures comes through."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "DAGSTER_"))}
        return {
            **outside,
            "MLOPS_STATE": str(self.settings.state),
            "MLOPS_REGISTRY_URI": self.settings.registry_uri,
            "MLOPS_ENDPOINT_URL": self.settings.endpoint_url,
            "MLOPS_UI_URL": self.settings.ui_url,
            "MLOPS_SAMPLE": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "FEAST_USAGE": "False",
            "PYTHONWARNINGS": "ignore",
        }

    @property
    def _told(self) -> str:
        """The end of what its processes said."""
        return self._log.read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        if self._dev is None or self._dev.poll() is not None:
            raise LoopBroken(f"dagster dev ended at its start:\n{self._told}")
        try:
            return httpx.get(f"{self.settings.ui_url}/server_info", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def quiet(self) -> bool:
        """No run is in progress."""
        waiting = [dg.DagsterRunStatus(name) for name in ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")]
        return self.instance.get_runs_count(dg.RunsFilter(statuses=waiting)) == 0

    def materialize(self, asset: dg.AssetKey, day: str) -> None:
        """Ask the web server for a run of one asset, as its button does."""
        selector = {**REPOSITORY, "jobName": "__ASSET_JOB", "assetSelection": [{"path": list(asset.path)}]}
        tags = [{"key": "dagster/partition", "value": day}]
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        body = {"query": LAUNCH, "variables": {"params": params}}
        told = httpx.post(f"{self.settings.ui_url}/graphql", json=body, timeout=60, trust_env=False).json()
        if told.get("errors") or told["data"]["launchRun"]["__typename"] != "LaunchRunSuccess":
            raise LoopBroken(f"the run of {asset.to_user_string()} was refused: {told}")

    def made_at(self, asset: dg.AssetKey, after: float) -> float | None:
        """When the asset was last materialized, if that was after an instant (epoch seconds)."""
        event = self.instance.get_latest_materialization_event(asset)
        return event.timestamp if event and event.timestamp > after else None

    def run_of(self, run_key: str) -> dg.RunRecord | None:
        """The run that was requested with that key."""
        records = self.instance.get_run_records(dg.RunsFilter(tags={"dagster/run_key": run_key}), limit=1)
        return records[0] if records else None

    def began_at(self, run_id: str) -> float | None:
        """When the first step of a run began to work."""
        logs = self.instance.all_logs(run_id, of_type={DagsterEventType.STEP_START})
        return min((log.timestamp for log in logs), default=None)

    def ticks(self, sensor: str) -> list[InstigatorTick]:
        """The last ticks of a sensor, newest first."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        mine = [state for state in states if state.name == sensor]
        if not mine:
            return []
        newest = max(mine, key=lambda state: getattr(state.instigator_data, "last_tick_timestamp", None) or 0.0)
        return list(self.instance.get_ticks(newest.instigator_origin_id, newest.selector_id, limit=20))
