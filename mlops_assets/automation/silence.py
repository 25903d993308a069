"""The dead-man's sensor: tells people of partitions, sensors and servers that have gone silent, and when that is over.

Here: one look at the signs of life, every half minute. Belongs here: what is remembered between two looks. Does not:
what is silence (``ml.silence``), where signs are found (``automation.signs``). No sensor notices the death of the
daemon that ticks it: ``mlops watch`` does, from outside.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from mlops_assets.adapters.alerts import Alerts, Severity, open_alerts, runbook_at
from mlops_assets.adapters.endpoint import Endpoint
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.settings import Settings
from mlops_assets.automation.signs import calendar_signs, sensor_signs, server_problems
from mlops_assets.contracts import UseCase, from_json, to_json
from mlops_assets.ml.silence import DAEMON_S, ServerSigns, Signs, Silence, over, silences

RUNBOOK = "silence"
LOOK_S = 30
"""What is looked for takes minutes to be silent."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What one look leaves for the next."""

    awake_since: float
    looked_at: float
    problems: Mapping[str, float] = field(default_factory=dict)
    """Server -> since when it has been seen silent."""


def silence_sensor(
    settings: Settings, use_cases: Sequence[UseCase], clock: Callable[[], float] = time.time
) -> dg.SensorDefinition:
    """The sensor of this module; it needs the resources ``releases``, ``endpoint`` and ``alerts``."""

    @dg.sensor(
        name="silence__notice",
        description="Tells people when partitions do not come, sensors do not tick or servers do not answer.",
        minimum_interval_seconds=LOOK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        metadata={"runbook": runbook_at(settings.runbooks, RUNBOOK)},
    )
    def silence__notice(
        context: dg.SensorEvaluationContext,
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
        alerts: dg.ResourceParam[Alerts],
    ) -> dg.SkipReason:
        instance, repository = context.instance, context.repository_def
        if repository is None:
            raise ValueError("this sensor looks at its own definitions: evaluate it with them")
        problems = server_problems(instance, releases.registry, endpoint, use_cases)
        known = remembered(context.cursor, clock(), problems)
        sensors = sensor_signs(instance, repository, use_cases)
        signs = Signs(
            now=known.looked_at,
            awake_since=known.awake_since,
            sensors=sensors,
            calendars=calendar_signs(instance, repository, use_cases, settings, sensors),
            servers=server_signs(problems, known),
        )
        context.update_cursor(to_json(known))
        return dg.SkipReason(said(tell(alerts, signs), settings.runbooks))

    return silence__notice


def remembered(cursor: str | None, now: float, problems: Mapping[str, str]) -> Remembered:
    """What is to be remembered of this look. After a pause in which nobody looked everything begins anew."""
    before = from_json(Remembered, cursor) if cursor else None
    if before is None or now - before.looked_at > DAEMON_S:
        before = Remembered(awake_since=now, looked_at=now)
    since = {name: before.problems.get(name, now) for name, problem in problems.items() if problem}
    return Remembered(awake_since=before.awake_since, looked_at=now, problems=since)


def server_signs(problems: Mapping[str, str], known: Remembered) -> list[ServerSigns]:
    """The servers, each with what is wrong with it and since when."""
    now = known.looked_at
    return [ServerSigns(name=n, problem=told, since=known.problems.get(n, now)) for n, told in problems.items()]


def tell(alerts: Alerts, signs: Signs) -> list[Silence]:
    """Put on record what is silent and what is so no more; what is silent now."""
    found = silences(signs)
    for silence in found:
        severity = Severity.CRITICAL if silence.critical else Severity.WARNING
        alerts.alert(silence.key, severity, silence.title, silence.text, runbook=silence.runbook)
    for key in over(signs, open_alerts(alerts.sent())):
        alerts.resolve(key, "it speaks again")
    return found


def said(found: Sequence[Silence], runbooks: str) -> str:
    """One look in a line."""
    if not found:
        return "everything speaks that should"
    books = dict.fromkeys(runbook_at(runbooks, silence.runbook) for silence in found)
    return "; ".join([*(f"{s.title}: {s.text}" for s in found), f"runbook: {', '.join(books)}"])
