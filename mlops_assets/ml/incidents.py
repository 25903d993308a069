"""When an incident opens, what a day adds to it, and when it is over: a state machine of pure functions.

Here: opening, joining, updating and closing, from facts alone. Belongs here: what makes two actions one incident, and
what its end is. Does not: deciding (``ml.policy``), words and timelines (``ml.incident_reports``), finding and keeping
the facts (``assets.incidents``).

| opened by | is over when |
|---|---|
| hold | its data checks were quiet on two judged days in a row |
| roll_back, or a person changed the champion | the version that was put in answered a whole day alone, and quietly |
| retrain, fall_back | the version that was trained became champion |
| the same, and that version was refused or never came | the monitors were quiet on two judged days in a row |
| any, and the verdict of its day was revised before anything moved | at once: nothing was to be done |

A day is added by replacing what it said before, so days may come late, twice and in any order.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_assets.contracts import (
    Action,
    Arm,
    Decision,
    Incident,
    IncidentDay,
    Judgement,
    Transition,
    Verdict,
)
from mlops_assets.ml.episodes import episode
from mlops_assets.ml.policy import BREACHES, DATA_CHECKS, DRIFTS

QUIET_DAYS = 2
"""Judged days in a row without an alarm of the cause after which it is over: as many as the shipped K-of-N takes to
raise one, so that a day between two storms does not end one incident and open the next."""
PATIENCE_DAYS = 7
"""Days after which a version that was asked for is not waited for any more: training takes minutes, a night at most."""
OUT = ("refused", "retired", "rolled_back")


@dataclass(frozen=True, kw_only=True)
class Closing:
    """Why an incident is over, and since which day."""

    day: str
    because: str


def cause_of(decision: Decision) -> tuple[str, ...]:
    """The monitors whose alarms an action stands on; none when no monitor spoke."""
    if decision.stands_on is not None:
        return tuple(sorted(decision.stands_on))
    wanted = DATA_CHECKS if decision.action is Action.HOLD else (*BREACHES, *DRIFTS)
    return tuple(sorted(j.monitor for j in decision.evidence if j.verdict is Verdict.ALARM and j.monitor in wanted))


def opened(use_case: str, decision: Decision, judgements: Sequence[Judgement], at: str) -> Incident:
    """The incident that an acting decision opens. ``judgements`` are those of the last days."""
    monitors = cause_of(decision)
    about = None if decision.action is Action.HOLD else decision.version
    runs = [episode(judgements, monitor, about, decision.day)[:1] for monitor in monitors]
    digests = [j.champion_digest for j in decision.evidence if j.champion_version == decision.version]
    return Incident(
        id=f"{decision.day}-{decision.action}",
        use_case=use_case,
        action=decision.action,
        opened_day=decision.day,
        opened_at=at,
        detected_day=min((day for run in runs for day in run), default=decision.day),
        reason=decision.reason,
        monitors=monitors,
        champion_version=decision.version,
        champion_digest=next(filter(None, digests), None),
        target_version=decision.target_version,
        evidence=decision.evidence,
    )


def belongs(incident: Incident, decision: Decision) -> bool:
    """True when the action is about the incident's cause: the same data checks, or trouble of the same champion."""
    if not decision.acts or not touches(incident, decision.day):
        return False
    if Action.HOLD in (incident.action, decision.action):
        return incident.action is decision.action and bool({*incident.monitors} & {*cause_of(decision)})
    return incident.champion_version == decision.version


def touches(incident: Incident, day: str) -> bool:
    """True when what is said of the day is part of its story."""
    return incident.detected_day <= day <= (incident.closed_day or day)


def reaching_back(incident: Incident, judgements: Sequence[Judgement]) -> Incident:
    """The incident, detected earlier when a day before it that is judged again belongs to the same run of alarms."""
    about = None if incident.action is Action.HOLD else incident.champion_version
    runs = [episode(judgements, monitor, about, incident.opened_day)[:1] for monitor in incident.monitors]
    first = min((day for run in runs for day in run), default=incident.detected_day)
    return replace(incident, detected_day=min(first, incident.detected_day))


def with_day(incident: Incident, said: IncidentDay, decision: Decision) -> Incident:
    """With what one day says, instead of what it said before; the cause of an action that belongs to it is its too."""
    others = (day for day in incident.days if day.day != said.day)
    mine = cause_of(decision) if belongs(incident, decision) else ()
    days = tuple(sorted([*others, said], key=lambda day: day.day))
    target = decision.target_version if mine and decision.target_version else incident.target_version
    monitors = tuple(sorted({*incident.monitors, *mine}))
    return replace(incident, days=days, monitors=monitors, target_version=target)


def with_moves(incident: Incident, history: Sequence[Transition]) -> Incident:
    """With what moved since it opened. A version that was asked for bears the opening day as its last day of data."""
    end = incident.closed_at or "9"
    found = [line for line in history if _since(incident, line) and line.at <= end]
    return replace(incident, moves=tuple(replace(line, evidence={}) for line in found))


def day_of(decision: Decision, answered: dict[str, int]) -> IncidentDay:
    """What a day says of the incidents that it touches."""
    said = decision.evidence
    return IncidentDay(
        day=decision.day,
        action=decision.action,
        reason=decision.reason,
        alarms=tuple(sorted(j.monitor for j in said if j.verdict is Verdict.ALARM)),
        quiet=tuple(sorted(j.monitor for j in said if j.verdict is Verdict.OK)),
        champion_version=decision.version,
        answered=answered,
        revised={j.monitor: str(j.revised_from) for j in said if j.revised_from},
    )


def closing(incident: Incident) -> Closing | None:
    """Why it is over, or None while it is not; an incident that was closed stays as it was."""
    if not incident.is_open or not incident.days:
        return None
    if withdrawn := _withdrawn(incident):
        return withdrawn
    if incident.action is Action.HOLD:
        return _quiet(incident, "its data checks were quiet")
    if put_in := replacement(incident):
        return _replaced(incident, put_in)
    return _without_a_new_champion(incident)


def closed(incident: Incident, end: Closing, at: str) -> Incident:
    """The incident, over."""
    return replace(incident, closed_day=end.day, closed_at=at, closed_because=end.because)


def replacement(incident: Incident) -> Transition | None:
    """The move that made another version champion since it opened: the last one."""
    moved = [m for m in incident.moves if m.to_arm == Arm.CHAMPION and m.version != incident.champion_version]
    return moved[-1] if moved else None


def challenger(incident: Incident) -> Transition | None:
    """The version that was trained because of it: the first one registered since, if it asked for one."""
    asked = any(day.action in (Action.RETRAIN, Action.FALL_BACK) for day in incident.days)
    return next((m for m in incident.moves if m.kind == "registered"), None) if asked else None


def first_whole_day(incident: Incident, put_in: Transition) -> IncidentDay | None:
    """The first day after a move on which nobody but that version answered in the champion's place."""
    later = (day for day in incident.days if day.day > put_in.day and day.answered)
    return next((day for day in later if set(day.answered) == {put_in.digest}), None)


def recovered_on(incident: Incident) -> str | None:
    """The first judged day after its last alarm on which the monitors of the cause were quiet."""
    judged = _judged(incident)
    last = max((day.day for day in judged if _alarmed(incident, day)), default="")
    return next((day.day for day in judged if day.day > last and day.day > incident.opened_day), None)


def _withdrawn(incident: Incident) -> Closing | None:
    changed = [m for m in incident.moves if m.kind in ("rolled_back", "restored", "registered", "override")]
    acts = any(day.action not in (Action.NOTHING, Action.WATCH) for day in incident.days)
    if acts or changed:
        return None
    told = "the verdict of its day was revised before anything moved: nothing was to be done"
    return Closing(day=incident.opened_day, because=told)


def _replaced(incident: Incident, put_in: Transition) -> Closing | None:
    mine = challenger(incident)
    if mine is not None and mine.version == put_in.version:
        told = f"version {put_in.version}, trained because of it, became champion"
        return Closing(day=max(put_in.day, incident.opened_day), because=told)
    whole = (day for day in incident.days if day.day > put_in.day and set(day.answered) == {put_in.digest})
    calm = next((day for day in whole if not _alarmed(incident, day)), None)
    if calm is None:
        return None
    told = f"version {put_in.version} answered the whole of {calm.day} alone, and no monitor of the cause alarmed"
    return Closing(day=calm.day, because=told)


def _without_a_new_champion(incident: Incident) -> Closing | None:
    trained, last = challenger(incident), incident.days[-1].day
    gone = trained and next((m for m in incident.moves if m.version == trained.version and m.kind in OUT), None)
    if trained is not None and gone is None:
        return None
    waited = last >= _later(incident.opened_day, PATIENCE_DAYS)
    if not incident.monitors:
        told = f"version {gone.version} was {gone.kind}: {gone.reason}" if gone else "no version came of it"
        return Closing(day=last, because=told) if gone or waited else None
    return _quiet(incident, "its monitors were quiet", f"; version {gone.version} was {gone.kind}" if gone else "")


def _quiet(incident: Incident, told: str, more: str = "") -> Closing | None:
    recent = _judged(incident)[-QUIET_DAYS:]
    if len(recent) < QUIET_DAYS or any(_alarmed(incident, day) for day in recent):
        return None
    return Closing(day=recent[-1].day, because=f"{told} on {QUIET_DAYS} judged days in a row{more}")


def _judged(incident: Incident) -> list[IncidentDay]:
    """Days on which a monitor of the cause gave a verdict."""
    return [day for day in incident.days if {*incident.monitors} & {*day.alarms, *day.quiet}]


def _since(incident: Incident, line: Transition) -> bool:
    """Of the opening day itself only what came after the decision, or from it: it may open after its own rollback."""
    by_decision = line.event_id.startswith(f"decision/{incident.opened_day}/")
    return line.day > incident.opened_day or (
        line.day == incident.opened_day and (by_decision or line.at >= incident.opened_at)
    )


def _alarmed(incident: Incident, day: IncidentDay) -> bool:
    return bool({*incident.monitors} & {*day.alarms})


def _later(day: str, days: int) -> str:
    return (dt.date.fromisoformat(day) + dt.timedelta(days=days)).isoformat()
