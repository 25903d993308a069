"""The system in a sandbox, running: its registry and server as processes, the shipped sensors ticked one by one.

Here: ``System``, and what a person or the calendar does in it. Belongs here: doing, through the doors that everybody
uses: the feed, the launchpad, the command. Does not: breaking anything (the drills), looking (``drills.records``).
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self

import dagster as dg

from mlops_assets.adapters.deployment import Deployment, deployed
from mlops_assets.adapters.services import ensure_services, stop_services
from mlops_assets.adapters.settings import ROOT
from mlops_assets.assets.address import DATASETS, MODELS, automation, key
from mlops_assets.assets.partitions import shift
from mlops_assets.automation.feed import IN_PROGRESS
from mlops_assets.automation.jobs import DAY, TRAIN
from mlops_assets.automation.walk import last_day
from mlops_assets.contracts import Arm, ModelVersion, UseCase
from mlops_assets.demo.daemon import Daemon, RunFailed, SensorFailed
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.sandbox import Sandbox

COMMAND_SECONDS, START_SECONDS, LONGEST_ERROR = 300, 240.0, 200
"""Ten times what a quiet machine needs: a drill is not about a busy one."""
TOO_LONG = 124
MOST_ROUNDS = 6
"""Rounds of the sensors after a day; more would mean that they ask each other for ever."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that was run as a person runs it."""

    line: str
    code: int
    output: str


class PatientDaemon(Daemon):
    """The daemon of a system in which runs may fail: that is what a drill is about."""

    def refuse_failures(self) -> None:
        """Failed runs stay where they are, in Dagster's log, for the system's own sensors to see."""


class System:
    """A context manager; inside it the sandbox's services run, and end with it."""

    def __init__(self, sandbox: Sandbox, say: Callable[[str], None]) -> None:
        self.sandbox, self.settings, self.say = sandbox, sandbox.settings, say
        self.use_case: UseCase = sandbox.settings.use_cases[0]
        self.deployment: Deployment = deployed(sandbox.settings)
        self.commands: list[Done] = []
        """What a person did, in order."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(stop_services, self.settings)
        try:
            self.start_services()
            self.daemon = self._stack.enter_context(PatientDaemon(ROOT, self.settings.state))
            self._cancel_copied_runs()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start_services(self, **other: Any) -> None:
        """Start what does not answer, whoever is to start it by the settings; ``other`` settings are for this start."""
        wanted = replace(self.settings, start_services=True, **other)
        ensure_services(wanted, until_pid=os.getpid(), timeout_seconds=START_SECONDS)

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance."""
        return self.daemon.instance

    @property
    def landed(self) -> str:
        """The last landed day. Raises DrillFailed when nothing landed."""
        found = last_day(self.instance, key(self.use_case.domain, DATASETS, "landing"))
        if found is None:
            raise DrillFailed("nothing has landed")
        return found

    @property
    def next_day(self) -> str:
        """The day that the feed lands next."""
        return shift(self.landed, 1)

    def champion(self) -> ModelVersion:
        """Who is champion by the history. Raises DrillFailed without one."""
        held = self.deployment.promotions.arms(self.use_case.name).get(Arm.CHAMPION)
        if held is None:
            raise DrillFailed(f"{self.use_case.name} has no champion: nothing can be drilled")
        return self.deployment.registry.version(held.model, held.version)

    def question(self) -> Mapping[str, Any]:
        """What a caller asks: a decision that the server answered before. Raises DrillFailed when there is none."""
        log, name = self.deployment.traffic_log, self.use_case.name
        days = [day for day in log.days(name) if day <= self.landed]
        asked = (
            next((record for record in reversed(log.read(days[-1], name)) if record.request), None) if days else None
        )
        if asked is None:
            raise DrillFailed("the server has answered nothing yet: live a day first")
        return asked.request

    def live(self) -> str:
        """The next day lands and is lived; then everything that the sensors make of it. The day."""
        day, feed = self.next_day, automation(self.use_case.domain, "feed")
        self.say(f"{day} is lived")
        if not self.daemon.tick(feed):
            raise DrillFailed(f"{day} does not land: {self.daemon.last_skip(feed)}")
        self.settle()
        return day

    def settle(self) -> None:
        """Tick every sensor but the feed until none asks for anything."""
        feed = automation(self.use_case.domain, "feed")
        for _ in range(MOST_ROUNDS):
            asked = [self._ticked(name) for name in self.daemon.sensors if name != feed]
            if not any(asked):
                return

    def _ticked(self, sensor: str) -> bool:
        """One tick; one that fails is on Dagster's record, and may be what the drill is about."""
        try:
            return self.daemon.tick(sensor)
        except SensorFailed as error:
            self.say(f"a tick failed: {str(error)[:LONGEST_ERROR]}")
            return False

    def day_again(self, day: str) -> None:
        """Materialize a day's partition anew, as a person in the UI would; then what the sensors make of it."""
        self.say(f"{day} is materialized again")
        self.run(automation(self.use_case.domain, DAY), day, {})
        self.settle()

    def train(self, because: str, **knobs: Any) -> ModelVersion:
        """A training from the launchpad on the data so far, with these knobs; then the sensors. The new version."""
        self.say(f"a model is trained: {because}")
        model = key(self.use_case, MODELS, "model").to_python_identifier()
        config = {"ops": {model: {"config": {"because": because, **knobs}}}}
        self.daemon.run(automation(self.use_case, TRAIN), self.landed, config)
        self.settle()
        return self.deployment.registry.versions(self.use_case.name)[-1]

    def materialize(self, assets: Sequence[dg.AssetKey], day: str, config: Mapping[str, Any] | None = None) -> bool:
        """One partition of some assets, as a person in the UI would; False when the run failed."""
        from mlops_assets.definitions import defs

        job = defs.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(
            run_config=config or {},
            instance=self.instance,
            partition_key=day,
            asset_selection=list(assets),
            raise_on_error=False,
        )
        return done.success

    def run(self, job: str, partition: str | None, config: dict[str, Any]) -> bool:
        """A run as from the launchpad; False when it failed."""
        try:
            self.daemon.run(job, partition, config)
        except RunFailed as error:
            self.say(str(error))
            return False
        return True

    def mlops(self, *words: str) -> Done:
        """The command ``mlops`` as a person types it, on this sandbox."""
        line = " ".join(["mlops", *(f'"{word}"' if " " in word else word for word in words)])
        self.say(f"$ {line}")
        self.commands.append(_run(line, self.sandbox.command("mlops_assets.cli.main", *words)))
        return self.commands[-1]

    def _cancel_copied_runs(self) -> None:
        """Runs that were in progress when the copy was made have no process here."""
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(IN_PROGRESS))):
            self.say(f"the copy was made while {run.job_name} ran: canceled here")
            self.instance.report_run_canceled(run, message="the process of this run is that of the original")


def _run(line: str, command: Sequence[str]) -> Done:
    """A command to its end; one that takes too long is ended, and that is what came of it."""
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        done = subprocess.run(command, timeout=COMMAND_SECONDS, check=False, **options)
    except subprocess.TimeoutExpired:
        return Done(line=line, code=TOO_LONG, output=f"not done after {COMMAND_SECONDS} s")
    return Done(line=line, code=done.returncode, output=done.stdout.strip())
