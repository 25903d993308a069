"""Silence: what should speak and does not.

Here: the signs of life of a deployment as facts, and one pure function that says what is silent. Belongs here: how long
is too long, and what is no silence: switched off by a person, at its planned end, only just started. Does not: looking
for signs (``automation.signs``), telling people (``automation.silence``, ``mlops watch``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

DAEMON_S = 120.0
"""Dagster's daemon leaves a heartbeat every 30 s; four are missing then."""
SENSOR_S, SENSOR_TICKS = 120.0, 10
"""A sensor is silent after so many of its least intervals, and not before the seconds: a tick may take 60."""
SERVER_S = 60.0
"""The servers of one machine are given as long to start."""
ROOT = "silence"
SENSORS, PARTITIONS = f"{ROOT}/sensor", f"{ROOT}/partitions"
TROUBLE = "trouble of the model server"
"""It answers, and not with what the registry says: no silence, but nobody would hear of it otherwise."""
FAILED_TICKS = 3
"""In a row; one alone is a registry that was down for a moment."""


@dataclass(frozen=True, kw_only=True)
class SensorSigns:
    """A sensor's own record. Instants here are seconds since 1970."""

    name: str
    on: bool
    """False: a person switched it off."""
    interval_s: float
    ticked_at: float | None = None
    """When its last tick ended; None: it never ticked."""
    failed_ticks: int = 0
    """In a row, up to now."""
    error: str = ""
    guards: bool = False
    """Without it something bad stays unanswered: a word is due when it is off."""


@dataclass(frozen=True, kw_only=True)
class CalendarSigns:
    """The days of one domain, and of the use cases on it."""

    owner: str
    landed: str | None = None
    """The last day that landed."""
    landed_at: float | None = None
    """When a day landed last, whichever."""
    ends: str | None = None
    """The last day that is meant to land."""
    fed: bool = True
    """False: whoever plays this calendar was switched off."""
    patience_s: float = 26 * 3600.0
    """How long after a day the next one may take."""
    missing: Mapping[str, Sequence[str]] | None = field(default_factory=dict)
    """Asset -> lately landed days that it lacks; None: a run is in progress that may be making them."""


@dataclass(frozen=True, kw_only=True)
class ServerSigns:
    """A server that was asked."""

    name: str
    """``TROUBLE``: what the model server says of itself while it answers."""
    problem: str = ""
    """What is wrong with it; empty: it is well."""
    since: float = 0.0
    """Since when it has been seen so."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Everything that was looked at, at one moment."""

    now: float
    awake_since: float = 0.0
    """Since when sensors can have ticked: what is older is the night in which nothing was on."""
    from_outside: bool = False
    """False: a sensor looks, so the daemon lives."""
    beat_at: float | None = None
    """Last heartbeat of the daemon; None: it left none."""
    server_patience_s: float = SERVER_S
    sensors: Sequence[SensorSigns] = ()
    calendars: Sequence[CalendarSigns] = ()
    servers: Sequence[ServerSigns] = ()


@dataclass(frozen=True, kw_only=True)
class Silence:
    """One thing that is silent."""

    key: str
    """Names the cause: as long as it is the same, people are told once."""
    title: str
    text: str
    critical: bool = True
    runbook: str = ROOT


def silences(signs: Signs) -> list[Silence]:
    """What is silent. Without the daemon no sensor ticks: that is told once, and not of each."""
    quiet = _daemon(signs)
    if not quiet:
        quiet = [silence for sensor in signs.sensors for silence in _sensor(signs, sensor)]
    quiet += [silence for calendar in signs.calendars for silence in _calendar(signs, calendar)]
    return quiet + [silence for server in signs.servers for silence in _server(signs, server)]


def over(signs: Signs, keys: Iterable[str]) -> list[str]:
    """Of silences that people were told of, those that are over; what cannot be judged now is not."""
    still = {silence.key for silence in silences(signs)}
    still |= {f"{PARTITIONS}/{calendar.owner}" for calendar in signs.calendars if calendar.missing is None}
    blind = (SENSORS,) if _daemon(signs) else ()
    return [key for key in keys if key.startswith(f"{ROOT}/") and key not in still and not key.startswith(blind)]


def _daemon(signs: Signs) -> list[Silence]:
    if not signs.from_outside or (signs.beat_at is not None and signs.now - signs.beat_at <= DAEMON_S):
        return []
    if signs.beat_at is None:
        text = (
            "it has left no heartbeat: it never ran on this state (`mlops up` starts it), or DAGSTER_HOME and "
            "MLOPS_STATE name other places"
        )
    else:
        text = f"its last heartbeat is {_span(signs.now - signs.beat_at)} old: no sensor ticks, no decision is acted on"
    return [Silence(key=f"{ROOT}/daemon", title="Dagster's daemon is silent", text=text)]


def _sensor(signs: Signs, sensor: SensorSigns) -> list[Silence]:
    key = f"{SENSORS}/{sensor.name}"
    if not sensor.on:
        text = "a person switched it off: what it watches is answered by nobody"
        off = Silence(key=f"{key}/off", title=f"the sensor {sensor.name} is switched off", text=text, critical=False)
        return [off] if sensor.guards else []
    if sensor.failed_ticks >= FAILED_TICKS:
        text = f"{sensor.failed_ticks} ticks failed one after the other; the last one: {sensor.error}"
        return [Silence(key=key, title=f"the sensor {sensor.name} fails", text=text)]
    if sensor.ticked_at is None:
        return []
    quiet_s = signs.now - max(sensor.ticked_at, signs.awake_since)
    if quiet_s <= max(SENSOR_S, SENSOR_TICKS * sensor.interval_s):
        return []
    text = f"it has not ticked for {_span(quiet_s)}; it should every {sensor.interval_s:g} s"
    return [Silence(key=key, title=f"the sensor {sensor.name} is silent", text=text)]


def _calendar(signs: Signs, calendar: CalendarSigns) -> list[Silence]:
    found = []
    if calendar.missing:
        lacks = "; ".join(f"{asset} lacks {', '.join(days)}" for asset, days in sorted(calendar.missing.items()))
        title = f"{calendar.owner}: partitions are missing"
        text = f"they should have come with their day, and no run is in progress: {lacks}"
        found.append(Silence(key=f"{PARTITIONS}/{calendar.owner}", title=title, text=text))
    at_its_end = calendar.ends is not None and calendar.landed is not None and calendar.landed >= calendar.ends
    if calendar.landed_at is None or at_its_end or not calendar.fed:
        return found
    quiet_s = signs.now - max(calendar.landed_at, signs.awake_since)
    if quiet_s > calendar.patience_s:
        text = f"nothing has landed for {_span(quiet_s)}; the last day is {calendar.landed}"
        found.append(Silence(key=f"{ROOT}/landing/{calendar.owner}", title=f"{calendar.owner}: no new day", text=text))
    return found


def _server(signs: Signs, server: ServerSigns) -> list[Silence]:
    if not server.problem or signs.now - server.since < signs.server_patience_s:
        return []
    text = f"for {_span(signs.now - server.since)}: {server.problem}"
    if server.name == TROUBLE:
        told = Silence(
            key=f"{ROOT}/trouble", title="the model server has a problem", text=text, runbook="server_problem"
        )
        return [told]
    return [Silence(key=f"{ROOT}/server/{server.name}", title=f"the {server.name} is silent", text=text)]


def _span(seconds: float) -> str:
    """A length of time in words.

    >>> _span(90), _span(7500), _span(200_000)
    ('90 s', '125 min', '56 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3 * 3600 else f"{seconds / 3600:.0f} h"
