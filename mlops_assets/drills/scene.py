"""What a drill acts on: the system, the instant of the injection, and what is known of it.

Here: ``Scene``. Belongs here: what every incident needs while it is played. Does not: the incidents.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mlops_assets.adapters.alerts import open_alerts
from mlops_assets.assets.files import decision_of
from mlops_assets.contracts import Action
from mlops_assets.drills.drill import Moment, Observed, Source
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.system import Done, System
from mlops_assets.drills.watch import Watch

POLL_S = 0.1
SERVER_SECONDS = 90
BY = "drill"
NOTICING = "silence__notice"
NOTICE_SECONDS, LOOK_EVERY_S = 240.0, 5.0
"""What is wrong for a minute is told."""


def just_before() -> float:
    """Now (epoch seconds), not later than a log writes that cuts its milliseconds off."""
    return time.time() - 0.001


@dataclass
class Scene:
    """One drill while it is played."""

    system: System
    watch: Watch
    known: dict[str, str] = field(default_factory=dict)
    """Facts that the promises name: ``good``, the digest of the champion before."""
    observed: list[Observed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the reader of the post-mortem should know."""
    injected: Moment | None = None

    def inject(self, what: str, at: float | None = None) -> None:
        """From this instant on the incident is there; ``at`` (epoch seconds) when it was there before this line."""
        self.injected = Moment(
            at=at or time.time(), source=Source.ASSETS, what=what, day=self.system.landed, reference="the drill"
        )
        self.say(f"INJECTED: {what}")

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        self.system.say(text)

    def observe(self, promise: str, seen: bool, where: str) -> None:
        """Put down what was looked up."""
        self.observed.append(Observed(promise=promise, seen=seen, where=where))

    def practise(self, *words: str, codes: tuple[int, ...] = (0,)) -> Done:
        """A command of the runbook, as the person on call types it; it must work."""
        done = self.system.mlops(*words)
        self.observe(f"`{done.line}` works", done.code in codes, f"exit code {done.code}: {done.output[-200:]}")
        return done

    def until(self, what: str, true: Callable[[], object], seconds: float = SERVER_SECONDS) -> bool:
        """Wait until something is so; False, on record, when it does not come to be in time."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() >= deadline:
                self.notes.append(f"{what} was waited for and did not come within {seconds:.0f} s")
                self.say(f"not within {seconds:.0f} s: {what}")
                return False
            time.sleep(POLL_S)
        return True

    def seen(self, source: Source, **facts: str) -> bool:
        """True when the last look at the server showed these facts."""
        last = self._last(source)
        return last is not None and all(last.facts.get(name) == value for name, value in facts.items())

    def answering(self) -> str:
        """The digest of the arm that answers the drill's caller; a canary may be it. Raises DrillFailed when none."""
        last = self._last(Source.ANSWERS)
        if last is None or not last.facts.get("digest"):
            raise DrillFailed("the server does not answer")
        return last.facts["digest"]

    def _last(self, source: Source) -> Moment | None:
        return next((moment for moment in reversed(self.watch.moments) if moment.source is source), None)

    def until_told(self, key: str) -> bool:
        """Tick the dead-man's sensor, as the daemon does, until people were told of something whose key begins so."""

        def told() -> bool:
            time.sleep(LOOK_EVERY_S)
            self.system.daemon.tick(NOTICING)
            return any(known.startswith(key) for known in open_alerts(self.system.deployment.alerts.sent()))

        return self.until(f"the dead-man's sensor telling of {key}", told, NOTICE_SECONDS)

    def live_until(self, what: str, true: Callable[[], bool], days: int) -> None:
        """Live day after day until something is so, and no longer than so many."""
        for _ in range(days):
            if true():
                return
            self.system.live()
        if not true():
            self.notes.append(f"{what} did not come within {days} days")

    def is_held(self) -> bool:
        """True when the decision about the newest day is to hold."""
        system = self.system
        decision = decision_of(system.deployment.artifacts, system.use_case, system.landed)
        return decision is not None and decision.action is Action.HOLD

    def kill(self, record: str) -> int:
        """Kill a service of the sandbox, at once and for good; its pid. Raises DrillFailed when it does not run."""
        import os
        import signal

        from mlops_assets.adapters import processes

        running = processes.running(self.system.settings.state / "services" / f"{record}.json")
        if running is None:
            raise DrillFailed(f"the {record} does not run")
        # All of its session: MLflow's server has a child that would go on listening.
        os.killpg(running.pid, signal.SIGKILL)
        return running.pid
