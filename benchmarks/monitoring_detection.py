"""Clean half a year, and faults in it: when something was decided, by which layer, and whether it was right.

Here: ``replay``, ``detect`` and their figures. Belongs here: counting verdicts. Does not: making them
(``benchmarks.monitoring_verdicts``), faults (``benchmarks.monitoring_faults``).
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from benchmarks.monitoring_faults import FAULTS
from benchmarks.monitoring_verdicts import INFORMING, LAYERS, WINDOW_DAYS, Concluded, Watch
from benchmarks.monitoring_year import Fault, Lived, Year
from benchmarks.report import Row
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Action, Judgement, Verdict

FIRST, LAST = "2013-07-01", "2013-12-30"
"""Judged days. On 31 December the weather feed is out."""
STARTS = ("2013-07-09", "2013-08-10", "2013-09-11", "2013-10-13", "2013-11-14")
"""First days of the faults, 32 days apart: five weekdays; each lives for ``FAULT_DAYS``."""
FAULT_DAYS = 7
WITHIN = (1, 3, 7)
GOALS = {1: 0.85, 3: 0.92, 7: 0.97}
WEAK = ("sign flip", "concept drift", "label inversion", "stuck or lagged weather")
INCIDENTS = (
    *(f"2013-06-{day}" for day in range(24, 29)),
    *("2013-07-01", "2013-07-10", "2013-07-22", "2013-07-23", "2013-08-08", "2013-08-09", "2013-08-13"),
    *(f"2013-09-{day:02}" for day in range(3, 31)),
    *("2013-10-25", "2013-11-02", "2013-12-05", "2013-12-08", "2013-12-09", "2013-12-10", "2013-12-14", "2013-12-17"),
)
"""What truly happened: storms, the two outages of the weather feed, and September, in which half as many flights were
late as in the months before and after it."""
AFTERWARDS = 3
"""Days after an incident on which an alarm is about it."""


@dataclass(frozen=True)
class Episode:
    """Days on which one layer spoke, without a break of more than two days."""

    layer: str
    first: str
    last: str
    days: int

    @property
    def incident(self) -> str | None:
        """The true incident that it is about."""
        begins = [day for day in INCIDENTS if 0 <= _days(day, self.first) <= AFTERWARDS]
        return begins[-1] if begins else None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault at one severity from one day on."""

    name: str
    severity: str
    first: str
    detected_after: int | None
    """1 for the first day; None when nothing was decided about any of its days."""
    layers: tuple[str, ...]
    action: str
    reason: str
    right: bool | None
    retrained: bool
    """On any of its days a training was asked for."""


def replay(year: Year, watch: Watch) -> tuple[list[Lived], list[Concluded]]:
    """The clean days, with those before that the first ones look back at, and what was concluded about each."""
    lived = year.live(shift(FIRST, -WINDOW_DAYS), LAST)
    concluded: list[Concluded] = []
    for place in range(WINDOW_DAYS, len(lived)):
        before = [j for done in concluded[-10:] for j in done.judgements]
        concluded.append(watch.conclude(lived[place + 1 - WINDOW_DAYS : place + 1], before))
    return lived, concluded


def episodes(concluded: Sequence[Concluded], layers: Sequence[str]) -> list[Episode]:
    """What each layer spoke of."""
    found = []
    for layer in layers:
        days = [done.day for done in concluded if layer in done.speaking]
        while days:
            run = [days[0]]
            while len(days) > len(run) and _days(run[-1], days[len(run)]) <= 3:
                run.append(days[len(run)])
            found.append(Episode(layer, run[0], run[-1], len(run)))
            days = days[len(run) :]
    return sorted(found, key=lambda episode: episode.first)


def detect(year: Year, watch: Watch, lived: Sequence[Lived], concluded: Sequence[Concluded]) -> list[Case]:
    """Every fault from every start, on both processors."""
    wanted = [(fault, first) for fault in FAULTS for first in STARTS]
    days = {day.day: place for place, day in enumerate(lived)}
    clean = {done.day: done for done in concluded}

    def one(place: int) -> Case:
        fault, first = wanted[place]
        before = list(lived[days[first] + 1 - WINDOW_DAYS : days[first]])
        known = [j for day in before if day.day in clean for j in clean[day.day].judgements]
        faulty = year.live(first, shift(first, FAULT_DAYS - 1), fault, place)
        return _case(fault, first, _concluded(faulty, before, known, watch), clean)

    return in_turns(one, len(wanted))


def in_turns(one: Callable[[int], Any], count: int) -> list[Any]:
    """``one`` of every number, by two processes that share the memory of this one."""
    global _work
    _work = one
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_at, range(count), chunksize=1)


_work: Callable[[int], Any]


def _at(place: int) -> Any:
    return _work(place)


def _concluded(lived: list[Lived], before: list[Lived], known: list[Judgement], watch: Watch) -> list[Concluded]:
    made: list[Concluded] = []
    for place in range(len(lived)):
        seen = [*before, *lived[: place + 1]][-WINDOW_DAYS:]
        made.append(watch.conclude(seen, [*known, *(j for done in made for j in done.judgements)]))
    return made


def _case(fault: Fault, first: str, made: Sequence[Concluded], clean: Mapping[str, Concluded]) -> Case:
    """What is concluded for the same reasons without the fault does not count."""
    new = [(n, done) for n, done in enumerate(made, 1) if set(done.speaking) - set(clean[done.day].speaking)]
    heard = [(n, done) for n, done in new if done.action is not Action.NOTHING]
    after, done = heard[0] if heard else (None, None)
    return Case(
        name=fault.name,
        severity=fault.severity,
        first=first,
        detected_after=after,
        layers=done.speaking if done else (),
        action=str(done.action) if done else "",
        reason=done.reason if done else "",
        right=None if done is None else str(done.action) in fault.right,
        retrained=any(each.action is Action.RETRAIN for _, each in new),
    )


def clean_rows(concluded: Sequence[Concluded]) -> list[Row]:
    """False episodes of the layers that act."""
    acting = episodes(concluded, LAYERS)
    false = [episode for episode in acting if episode.incident is None]
    informing = episodes(concluded, INFORMING)
    return [
        Row(
            name="clean July to December: false episodes, all layers that act",
            value=float(len(false)),
            unit="episodes",
            goal="at most 2",
            met=len(false) <= 2,
            note="; ".join(f"{e.layer} {e.first}" for e in false),
        ),
        Row(
            name="clean July to December: episodes about true incidents", value=float(len(acting) - len(false)), unit=""
        ),
        Row(name="clean July to December: episodes of what only informs", value=float(len(informing)), unit=""),
    ]


def fault_rows(cases: Sequence[Case]) -> list[Row]:
    """Shares detected, weak spots, right actions."""
    rows = [_share(f"faults detected within {n} days", cases, n, GOALS[n]) for n in WITHIN]
    rows += [_share(f"{name}, within 7 days", [c for c in cases if c.name == name], 7, 0.9) for name in WEAK]
    heard = [case for case in cases if case.right is not None]
    right = sum(bool(case.right) for case in heard) / len(heard)
    broken = [case for case in cases if case.retrained and case.name != "concept drift"]
    return [
        *rows,
        Row(
            name="right action, of what was detected",
            value=right,
            unit="share",
            goal="at least 0.95",
            met=right >= 0.95,
        ),
        Row(
            name="trainings asked for on broken data or labels",
            value=float(len(broken)),
            unit=f"of {len(cases)}",
            goal="none",
            met=not broken,
            note="; ".join(f"{c.name}, {c.severity}, {c.first}" for c in broken[:3]),
        ),
    ]


def _share(name: str, cases: Sequence[Case], days: int, goal: float) -> Row:
    hit = sum(case.detected_after is not None and case.detected_after <= days for case in cases) / len(cases)
    return Row(name=name, value=hit, unit=f"of {len(cases)}", goal=f"at least {goal}", met=hit >= goal)


def fault_table(cases: Sequence[Case]) -> str:
    """Markdown: fault by severity."""
    lines = [
        "| fault | severity | 1 day | 3 days | 7 days | first seen by | action |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for name, severity in dict.fromkeys((case.name, case.severity) for case in cases):
        mine = [case for case in cases if (case.name, case.severity) == (name, severity)]
        shares = [sum(c.detected_after is not None and c.detected_after <= n for c in mine) / len(mine) for n in WITHIN]
        by = _counted(layer for case in mine for layer in case.layers[:1])
        lines.append(f"| {name} | {severity} | {' | '.join(f'{s:.2f}' for s in shares)} | {by} | "
                     f"{_counted(case.action for case in mine if case.action)} |")  # fmt: skip
    return "\n".join(lines)


def episode_table(concluded: Sequence[Concluded]) -> str:
    """Markdown: what each layer said of the clean half year."""
    reasons: Mapping[tuple[str, str], str] = {(j.monitor, j.day): j.reason for c in concluded for j in c.judgements}
    lines = ["| layer | first day | last day | days | true incident | what it said |", "|---|---|---|---:|---|---|"]
    for e in episodes(concluded, (*LAYERS, *INFORMING)):
        about = e.incident or ("" if e.layer in INFORMING else "**none**")
        said = reasons.get((e.layer, e.first), "")
        lines.append(f"| {e.layer} | {e.first} | {e.last} | {e.days} | {about} | {said} |")
    return "\n".join(lines)


def incident_table(concluded: Sequence[Concluded]) -> str:
    """Markdown: of every true incident of the judged days, which monitors were in alarm, and which of them spoke."""
    lines = ["| true incident | in alarm, days | spoke | decided |", "|---|---|---|---|"]
    for first, last in _true_incidents():
        about = [c for c in concluded if first <= c.day <= shift(last, AFTERWARDS)]
        alarms = _counted(j.monitor for c in about for j in c.judgements if j.verdict is Verdict.ALARM)
        spoke = ", ".join(dict.fromkeys(layer for c in about for layer in c.speaking))
        actions = _counted(str(c.action) for c in about if c.action is not Action.NOTHING)
        days = first if first == last else f"{first} to {last}"
        lines.append(f"| {days} | {alarms or 'nothing'} | {spoke or 'nothing'} | {actions or 'nothing'} |")
    return "\n".join(lines)


def _true_incidents() -> list[tuple[str, str]]:
    """First and last days of those that begin within the judged days."""
    found: list[tuple[str, str]] = []
    for day in (day for day in INCIDENTS if FIRST <= day <= LAST):
        if found and _days(found[-1][1], day) == 1:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _counted(names) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
