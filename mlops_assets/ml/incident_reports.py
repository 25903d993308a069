"""An incident in words: its timeline, how long it took, and the report that people are sent to.

Here: from the record of an incident to its timeline, its durations and its markdown. Belongs here: wording for people.
Does not: when it opens and closes (``ml.incidents``), finding the facts, sending.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.contracts import Action, Incident, IncidentDay, Judgement, Moment, Phase, Transition
from mlops_assets.ml.incidents import challenger, first_whole_day, recovered_on, replacement

ORDER = tuple(Phase)
STILL = (Action.NOTHING, Action.WATCH)


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long an incident took; None where something did not happen, or not yet."""

    days_to_detect: int
    """From the first alarm to the decision that acted on it."""
    seconds_to_act: float | None
    """From the opening to the first move, on the wall's clock."""
    days_to_recover: int | None
    """From the decision to the first quiet judged day after the last alarm."""
    days_open: int | None
    """From the decision to the end."""


def durations(incident: Incident) -> Durations:
    """The times of an incident."""
    recovered = recovered_on(incident)
    first = min((move.at for move in _moves_of(incident)), default=None)
    return Durations(
        days_to_detect=_days(incident.detected_day, incident.opened_day),
        seconds_to_act=None if first is None else max(_seconds(incident.opened_at, first), 0.0),
        days_to_recover=_days(incident.opened_day, recovered) if recovered else None,
        days_open=_days(incident.opened_day, incident.closed_day) if incident.closed_day else None,
    )


def timeline(incident: Incident) -> list[Moment]:
    """What happened, in order."""
    return sorted(_moments(incident), key=lambda moment: (moment.day, ORDER.index(moment.phase), moment.at))


def _moments(incident: Incident) -> Iterator[Moment]:
    if incident.monitors:
        told = f"first alarm of {' and '.join(incident.monitors)}"
        yield Moment(phase=Phase.DETECTED, day=incident.detected_day, text=told)
    yield from _decisions(incident)
    yield from (Moment(phase=Phase.ACTED, day=move.day, text=_move(move), at=move.at) for move in _moves_of(incident))
    yield from incident.answers
    put_in = replacement(incident)
    if put_in and (whole := first_whole_day(incident, put_in)):
        told = f"{sum(whole.answered.values())} answers, all by version {put_in.version}"
        yield Moment(phase=Phase.VERIFIED, day=whole.day, text=told)
    if recovered := recovered_on(incident):
        yield Moment(phase=Phase.RECOVERED, day=recovered, text=f"{' and '.join(incident.monitors)} quiet")
    if incident.closed_day:
        yield Moment(phase=Phase.CLOSED, day=incident.closed_day, text=incident.closed_because, at=incident.closed_at)


def _moves_of(incident: Incident) -> list[Transition]:
    """Moves of the versions that it is about: somebody may try another one meanwhile."""
    others = (replacement(incident), challenger(incident))
    about = {incident.champion_version, incident.target_version, *(move.version for move in others if move)}
    return [move for move in incident.moves if move.version in about]


def _decisions(incident: Incident) -> Iterator[Moment]:
    """The days on which something was to be done, or on which that changed; and the verdicts that were revised."""
    before = Action.NOTHING
    for day in incident.days:
        for monitor, said in day.revised.items():
            now = "alarm" if monitor in day.alarms else "ok" if monitor in day.quiet else "unknown"
            yield Moment(phase=Phase.REVISED, day=day.day, text=f"{monitor}: {said} became {now}, outcomes came late")
        if day.action not in STILL or day.action is not before:
            at = incident.opened_at if day.day == incident.opened_day else ""
            yield Moment(phase=Phase.DECIDED, day=day.day, text=f"{day.action}: {day.reason}", at=at)
        before = day.action


def incident_report(incident: Incident, runbook: str = "") -> str:
    """Markdown: what it is about, its timeline, the verdicts that opened it, its versions, where to look."""
    took = durations(incident)
    state = f"closed on {incident.closed_day}: {incident.closed_because}" if incident.closed_day else "open"
    lines = [
        f"# {incident.use_case}, {incident.opened_day}: {incident.action}",
        "",
        f"**{state[0].upper()}{state[1:]}.** {incident.reason}",
        "",
        f"Time to detect {took.days_to_detect} days, to act {_told(took.seconds_to_act, 's')}, to recover "
        f"{_told(took.days_to_recover, 'days')}.",
        "",
        "## Timeline",
        "",
        "| day | phase | what | at |",
        "|---|---|---|---|",
        *[f"| {m.day} | {m.phase} | {_cell(m.text)} | {m.at} |" for m in timeline(incident)],
        "",
        "## Verdicts that it opened on",
        "",
        "| monitor | day | verdict | reason | numbers |",
        "|---|---|---|---|---|",
        *[_row(judgement) for judgement in incident.evidence],
        "",
        *_days_table(incident.days, incident.monitors),
        *_versions(incident),
        "## Where to look",
        "",
        *_links(incident, runbook),
    ]
    return "\n".join(lines) + "\n"


def _row(judgement: Judgement) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in judgement.numbers.items() if value is not None)
    return f"| {judgement.monitor} | {judgement.day} | {judgement.verdict} | {_cell(judgement.reason)} | {numbers} |"


def _days_table(days: Sequence[IncidentDay], monitors: Sequence[str]) -> Iterator[str]:
    """The cause, day by day."""
    yield from ("## Day by day", "", "| day | decided | alarms of the cause | other alarms | champion |")
    yield "|---|---|---|---|---|"
    for day in days:
        mine, others = ([name for name in day.alarms if (name in monitors) == own] for own in (True, False))
        champion = "none" if day.champion_version is None else str(day.champion_version)
        yield f"| {day.day} | {day.action} | {', '.join(mine)} | {', '.join(others)} | {champion} |"
    yield ""


def _versions(incident: Incident) -> Iterator[str]:
    if not incident.versions:
        return
    yield from ("## Versions", "", "| version | digest | data up to | training set | code | trained because |")
    yield "|---|---|---|---|---|---|"
    for v in incident.versions:
        cells = (v.digest[:12], v.cutoff_day, v.training_set_digest[:12], v.code_commit[:12], _cell(v.trained_because))
        yield f"| {v.version} | {' | '.join(cells)} |"
    yield ""


def _links(incident: Incident, runbook: str) -> Iterator[str]:
    """Paths are those of Dagster's own pages."""
    if runbook:
        yield f"- runbook: {runbook}"
    day, name = incident.opened_day, incident.use_case
    for monitor in (*incident.monitors, "decision"):
        yield f"- [{monitor}](/assets/{name}/monitoring/{monitor}?partition={day})"
    yield from (f"- [run {run}](/runs/{run})" for run in incident.runs)
    yield from (f"- alert: {key}" for key in incident.told)
    yield f"- `mlops why {day}`, `mlops incidents show {incident.id}`"
    yield from (f"- `mlops lineage {v.version}`" for v in incident.versions)


def _move(line: Transition) -> str:
    return f"version {line.version} {line.kind}: {line.from_arm or 'out'} -> {line.to_arm or 'out'}, by {line.by}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _told(value: float | None, unit: str) -> str:
    return "not yet" if value is None else f"{value:.3g} {unit}"


def _days(first: str, last: str) -> int:
    return (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days


def _seconds(first: str, last: str) -> float:
    return (dt.datetime.fromisoformat(last) - dt.datetime.fromisoformat(first)).total_seconds()


def summary(incident: Incident) -> Mapping[str, str]:
    """One incident in a line: id, state, cause and times."""
    took = durations(incident)
    return {
        "incident": incident.id,
        "state": "open" if incident.is_open else f"closed {incident.closed_day}",
        "cause": ", ".join(incident.monitors) or "the calendar",
        "champion": "none" if incident.champion_version is None else str(incident.champion_version),
        "to detect": f"{took.days_to_detect} days",
        "to act": _told(took.seconds_to_act, "s"),
        "to recover": _told(took.days_to_recover, "days"),
    }
