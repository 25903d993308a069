"""The model server is killed: first the process that answers, then the whole server.

Here: both incidents and what must be seen of them. Belongs here: nothing else.
"""

import os
import signal
import time

from mlops_assets.assets.address import MONITORING, table
from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.promises import ANOTHER_CHAMPION
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import NOTICING, Scene, just_before

QUIET_S = 2.0
"""Of answers before the kill and after the recovery."""


def play_worker(scene: Scene) -> None:
    """Kill the process that answers while it answers, and wait for the next one."""
    scene.known["good"] = scene.system.champion().digest
    _answers_for_a_while(scene)
    scene.known["answering"] = scene.answering()
    pid, before = _worker(scene), len(scene.watch.acknowledged)
    at = just_before()
    os.kill(pid, signal.SIGKILL)
    scene.inject(f"the server's worker (process {pid}) is killed with SIGKILL", at)
    scene.until("an answer", lambda: len(scene.watch.acknowledged) > before + 1)
    _answers_for_a_while(scene)
    nothing_is_lost(scene)


def play_server(scene: Scene) -> None:
    """Kill the whole server while it answers; people are told, and the next day's run starts it again."""
    system = scene.system
    scene.known["good"] = system.champion().digest
    _answers_for_a_while(scene)
    at = just_before()
    scene.inject(f"the model server (process {scene.kill('endpoint')}) is killed with SIGKILL", at)
    scene.until("its port is silent", lambda: scene.seen(Source.ANSWERS, answered="no"))
    scene.until_told("silence/server")
    scene.practise("watch", "--patience", "1", codes=(1,))
    scene.practise("status", codes=(1,))
    scene.practise("alerts")
    day = system.live()
    _answers_for_a_while(scene)
    system.daemon.tick(NOTICING)
    lived = system.deployment.tables.read(table(system.use_case, MONITORING, "traffic"), day, day)
    scene.observe(f"{day} is answered by the same digest", set(lived["digest"]) == {scene.known["good"]}, "traffic")
    nothing_is_lost(scene)


def nothing_is_lost(scene: Scene) -> None:
    """Every answer that left the server is in its log."""
    acknowledged = list(scene.watch.acknowledged)
    log = scene.system.deployment.traffic_log
    kept = {record.request_id for record in log.read(scene.system.use_case.domain.first_day)}
    lost = [request for request in acknowledged if request not in kept]
    told = f"{len(acknowledged)} answers acknowledged, {len(lost)} of them not in the server's log"
    scene.observe("no acknowledged answer is lost", not lost and bool(acknowledged), told)


def _answers_for_a_while(scene: Scene) -> None:
    scene.until("the champion answers", lambda: scene.seen(Source.ANSWERS, answered="yes"))
    time.sleep(QUIET_S)


def _worker(scene: Scene) -> int:
    """The process that listens to callers. Raises DrillFailed when the server has none."""
    import psutil

    from mlops_assets.adapters import processes

    server = processes.running(scene.system.settings.state / "services" / "endpoint.json")
    for child in psutil.Process(server.pid).children(recursive=True) if server else ():
        if {"mlops_assets.serving.worker", "mlops_assets.serving.front"} & set(processes.command_line(child)):
            return child.pid
    raise DrillFailed("the server has no worker")


WORKER_KILLED = Drill(
    name="worker_killed",
    injects="the process of the model server that answers is killed with SIGKILL while it answers",
    runbook="server_problem",
    play=play_worker,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the server's supervisor says that its worker ended, and starts it again",
            source=Source.SERVER_LOG,
            says="ended with code -9",
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="callers are answered by the same digest",
            source=Source.ANSWERS,
            facts={"answered": "yes", "digest": "{answering}"},
        ),
    ),
    forbidden=(ANOTHER_CHAMPION,),
)

SERVER_KILLED = Drill(
    name="server_killed",
    injects="the whole model server, supervisor and all, is killed with SIGKILL while it answers",
    runbook="silence",
    play=play_server,
    days=1,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="the dead-man's sensor tells people that the server is silent, with the runbook",
            source=Source.ALERTS,
            facts={"key": "silence/server/model server", "runbook": "silence.md", "severity": "critical", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the next run starts it, and callers are answered by the same digest",
            source=Source.ANSWERS,
            facts={"answered": "yes", "digest": "{good}"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="people are told that it is over",
            source=Source.ALERTS,
            facts={"key": "silence/server/model server", "over": "yes"},
        ),
    ),
    forbidden=(
        ANOTHER_CHAMPION,
        Forbidden(promise="something is rolled back", source=Source.HISTORY, facts={"kind": "rolled_back"}),
    ),
)
