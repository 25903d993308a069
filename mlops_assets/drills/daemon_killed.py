"""Dagster's daemon is killed: no sensor ticks any more, so no sensor can tell.

Here: the incident and what must be seen of it. Belongs here: nothing else.

The one drill that runs `mlops up` as it is: webserver, daemon and all as processes.
"""

import os
import signal
import time
from typing import TYPE_CHECKING

from dagster._core.scheduler.instigation import SensorInstigatorData

from mlops_assets.adapters import processes
from mlops_assets.adapters.settings import ROOT
from mlops_assets.automation.signs import heartbeat
from mlops_assets.drills.drill import Drill, Phase, Source, Wanted
from mlops_assets.drills.promises import ANOTHER_CHAMPION, TURNED_AWAY
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import Scene, just_before
from mlops_assets.drills.system import System
from mlops_assets.ml.silence import DAEMON_S

if TYPE_CHECKING:
    import psutil

START_SECONDS, LOOK_EVERY_S = 240.0, 15.0
DAEMON = "dagster._daemon"
MARKS: tuple[str, ...] = ()
"""Its command line changes: first `mlops up`, then what that becomes. The record alone names it."""


def play(scene: Scene) -> None:
    """Start all of it, kill the daemon, have the look from outside find it, start all of it again."""
    system = scene.system
    scene.known["good"] = system.champion().digest
    up = _up(scene)
    try:
        cursors = _cursors(system)
        pid, at = _daemon_of(up).pid, just_before()
        os.kill(pid, signal.SIGKILL)
        scene.inject(f"Dagster's daemon (process {pid}) is killed with SIGKILL", at)
        scene.until("`mlops watch` finds it", lambda: _found(scene), DAEMON_S + START_SECONDS)
        scene.practise("alerts")
        processes.end(up, MARKS)
        scene.notes.append("mended by hand: `mlops up` again")
        up = _up(scene)
        scene.practise("watch", "--patience", "5")
        scene.observe("every sensor goes on from where it was", _go_on(cursors, _cursors(system)), f"{cursors}"[:200])
    finally:
        processes.end(up, MARKS)


def _up(scene: Scene) -> processes.Record:
    """`mlops up`, once its daemon has left a heartbeat. The feed stands still meanwhile."""
    system, began = scene.system, time.time()
    words = system.sandbox.command("mlops_assets.cli.main", "up", MLOPS_FEED_UNTIL=system.landed)
    up = processes.spawn(words, system.sandbox.folder / "up.log", ROOT)
    scene.say("$ mlops up")
    if not scene.until("a heartbeat of the daemon", lambda: (heartbeat(system.instance) or 0) > began, START_SECONDS):
        processes.end(up, MARKS)
        raise DrillFailed(f"`mlops up` has no daemon: see {system.sandbox.folder / 'up.log'}")
    return up


def _daemon_of(up: processes.Record) -> "psutil.Process":
    """Raises DrillFailed when it has none."""
    import psutil

    for child in psutil.Process(up.pid).children(recursive=True):
        if DAEMON in processes.command_line(child):
            return child
    raise DrillFailed("`mlops up` runs no daemon")


def _found(scene: Scene) -> bool:
    """What cron does every minute, a little more often."""
    time.sleep(LOOK_EVERY_S)
    done = scene.system.mlops("watch", "--patience", "1")
    if done.code == 0:
        scene.system.commands.pop()
    return done.code != 0 and "daemon is silent" in done.output


def _cursors(system: System) -> dict[str, str]:
    """Sensor -> cursor."""
    found = {}
    for state in system.instance.all_instigator_state():
        if isinstance(data := state.instigator_data, SensorInstigatorData):
            found[state.name] = data.cursor or ""
    return found


def _go_on(before: dict[str, str], after: dict[str, str]) -> bool:
    """No cursor was forgotten."""
    return bool(before) and all(after.get(name) for name, cursor in before.items() if cursor)


DAEMON_KILLED = Drill(
    name="daemon_killed",
    injects="Dagster's daemon is killed with SIGKILL: no sensor ticks, no decision is acted on",
    runbook="silence",
    play=play,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="`mlops watch` tells people from outside that the daemon is silent, with the runbook",
            source=Source.ALERTS,
            facts={"key": "silence/daemon", "runbook": "silence.md", "severity": "critical", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="people are told that it is over",
            source=Source.ALERTS,
            facts={"key": "silence/daemon", "over": "yes"},
        ),
    ),
    forbidden=(ANOTHER_CHAMPION, TURNED_AWAY),
)
