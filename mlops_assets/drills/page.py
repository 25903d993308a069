"""The page of all drills in docs/: what was injected, who noticed, how long it took, and what failed.

Here: ``written``. Belongs here: the table and the words around it. Does not: playing (``drills.practice``).
"""

import os
import platform
from collections.abc import Iterator, Sequence

from mlops_assets.drills.drill import Phase
from mlops_assets.drills.post_mortem import Facts
from mlops_assets.drills.practice import Practised

HEAD = """# Drills

Written by `make drills`: every incident injected into a sandboxed copy of a running system, with the shipped sensors,
thresholds and policies. Instants are those of the system's own records (Dagster's event log, the promotion history, the
alerts, what the model server says and answers); the drill only breaks things and does what the runbook tells a person.
The monitors judge whole days: of a drill that goes through days, the seconds are those in which the days were replayed,
and the day counts. `mlops drill --list` names the drills, `mlops drill NAME` plays one on a copy of your own system."""
COLUMNS = ("drill", "injected", "detected by", "detection", "decision", "recovery", "people told", "verdict", "runbook")
TIMED = (Phase.DETECTION, Phase.DECISION, Phase.RECOVERY, Phase.TOLD)


def written(practised: Sequence[Practised]) -> str:
    """The page."""
    rows = [f"| {' | '.join(_cells(one))} |" for one in practised]
    table = "\n".join([f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *rows])
    where = f"On {_copied(practised)}; {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}."
    return "\n\n".join([HEAD, where, table, *_failures(practised)]) + "\n"


def _cells(one: Practised) -> list[str]:
    drill, facts = one.drill, one.facts
    book = f"[{drill.runbook}](runbooks/{drill.runbook}.md)"
    if facts is None:
        return [f"`{drill.name}`", drill.injects, *["" for _ in range(5)], "**broke off**", book]
    times = [_time(facts, phase) for phase in TIMED]
    verdict = "as promised" if facts.passed else "**not as promised**"
    return [f"`{drill.name}`", drill.injects, facts.detected_by, *times, verdict, book]


def _time(facts: Facts, phase: str) -> str:
    if phase not in facts.seconds:
        return "-"
    day = f" (day {facts.days[phase]})" if phase in facts.days else ""
    return f"{facts.seconds[phase]:.1f} s{day}"


def _copied(practised: Sequence[Practised]) -> str:
    return " and ".join(dict.fromkeys(one.facts.made_from for one in practised if one.facts)) or "nothing"


def _failures(practised: Sequence[Practised]) -> Iterator[str]:
    failed = [one for one in practised if not one.passed]
    if failed:
        yield "## What failed"
        yield "\n".join(_failure(one) for one in failed)


def _failure(one: Practised) -> str:
    told = one.facts.missing if one.facts else ("the drill broke off before its end",)
    return f"- `{one.drill.name}`: {'; '.join(told)}"
