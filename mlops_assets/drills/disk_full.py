"""The disk under the server's log is full: no answer can be put on record, so none is given.

Here: the incident and what must be seen of it. Belongs here: nothing else.

The log's own limit (MLOPS_TRAFFIC_LOG_MEGABYTES) makes it full: to SQLite, and so to the server, it is the same error
as a disk without room, and a drill needs no disk of its own for it.
"""

import math
from collections.abc import Iterator

from mlops_assets.adapters.endpoint import EndpointDown, EndpointRefused
from mlops_assets.adapters.services import stop_services
from mlops_assets.adapters.tables import TableMissing
from mlops_assets.assets.address import MONITORING, automation, key, table
from mlops_assets.assets.monitoring.retention import ARCHIVE
from mlops_assets.automation.jobs import UPKEEP
from mlops_assets.drills.drill import Drill, Forbidden, Phase, Source, Wanted
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.scene import Scene, just_before
from mlops_assets.drills.system import System

ROWS, MOST_REQUESTS = 200, 200
KEEP_DAYS = 1


def play(scene: Scene) -> None:
    """Fill the log, live a day with it full, make room as the nightly upkeep does, live the day again."""
    system = scene.system
    scene.known["good"] = system.champion().digest
    _restart_with_a_small_log(system)
    scene.until("the champion answers", lambda: scene.seen(Source.ANSWERS, answered="yes", digest=scene.known["good"]))
    _fill(scene)
    scene.until("callers are turned away", lambda: scene.seen(Source.ANSWERS, answered="no"))
    scene.until_told("silence/trouble")
    day = system.live()
    scene.practise("status")
    scene.practise("alerts")
    scene.notes.append(
        f"mended by hand: {KEEP_DAYS} day stays in the log, older answers go to the archive; then the day"
    )
    _make_room(system)
    scene.until("callers are answered", lambda: scene.seen(Source.ANSWERS, answered="yes"))
    system.day_again(day)
    _nothing_is_lost(scene)


def _restart_with_a_small_log(system: System) -> None:
    """The same server with room for one more megabyte."""
    size = (system.settings.serving / "traffic.db").stat().st_size
    stop_services(system.settings)
    system.start_services(traffic_log_megabytes=math.ceil(size / 2**20) + 1)


def _fill(scene: Scene) -> None:
    """Ask until an answer is refused; that is the injection."""
    system, question = scene.system, dict(scene.system.question())
    endpoint, name = system.deployment.endpoint, system.use_case.name
    question |= {"event_time": f"{system.use_case.domain.first_day}T12:00:00Z"}
    for k in range(MOST_REQUESTS):
        rows = [{**question, "request_id": f"drill-fill-{k}-{i}"} for i in range(ROWS)]
        try:
            endpoint.predict(name, rows)
        except (EndpointRefused, EndpointDown) as error:
            scene.inject(f"the log is full after {k * ROWS} more answers: {error}", at=just_before())
            return
        scene.watch.acknowledged.extend(row["request_id"] for row in rows)
    raise DrillFailed(f"the log took {MOST_REQUESTS * ROWS} more answers and is not full")


def _make_room(system: System) -> None:
    retention = key(system.use_case, MONITORING, "log_retention").to_python_identifier()
    config = {"ops": {retention: {"config": {"keep_days": KEEP_DAYS}}}}
    system.run(automation(system.use_case.domain, UPKEEP), None, config)


def _nothing_is_lost(scene: Scene) -> None:
    acknowledged, kept = list(scene.watch.acknowledged), set(_kept(scene.system))
    lost = [request for request in acknowledged if request not in kept]
    told = f"{len(acknowledged)} answers acknowledged, {len(lost)} of them neither in the log nor in a table"
    scene.observe("no acknowledged answer is lost", not lost and bool(acknowledged), told)


def _kept(system: System) -> Iterator[str]:
    """Every request id on record, wherever it lies."""
    for record in system.deployment.traffic_log.read():
        yield record.request_id
    for name in ("traffic", ARCHIVE):
        try:
            yield from system.deployment.tables.read(table(system.use_case, MONITORING, name))["request_id"]
        except TableMissing:
            continue


DISK_FULL = Drill(
    name="disk_full",
    injects="the server's log has no room left, as on a full disk, while the days go on",
    runbook="server_problem",
    play=play,
    days=1,
    wanted=(
        Wanted(
            phase=Phase.DETECTION,
            promise="callers are told 503 and why, instead of an answer that is not on record",
            source=Source.ANSWERS,
            facts={"answered": "no", "status": "503"},
            says="could not be logged",
        ),
        Wanted(
            phase=Phase.DETECTION,
            promise="the server says that its log is full",
            source=Source.SERVER,
            says="full",
        ),
        Wanted(
            phase=Phase.TOLD,
            promise="people are told, with the runbook of a problem of the server",
            source=Source.ALERTS,
            facts={"key": "silence/trouble", "runbook": "server_problem.md", "over": "no"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="with room again, callers are answered by the same digest without a restart",
            source=Source.ANSWERS,
            facts={"answered": "yes", "digest": "{good}"},
        ),
        Wanted(
            phase=Phase.RECOVERY,
            promise="the server has no problem any more",
            source=Source.SERVER,
            facts={"problems": "", "champion": "{good}"},
        ),
    ),
    forbidden=(
        Forbidden(
            promise="a model is trained because of it",
            source=Source.DECISIONS,
            facts={"action": "retrain"},
        ),
        Forbidden(
            promise="a champion is rolled back because of it",
            source=Source.HISTORY,
            facts={"kind": "rolled_back"},
        ),
    ),
)
