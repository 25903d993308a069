"""What a benchmark leaves: a table to read and a row per figure for programs.

Here: ``Row`` and ``write``. Belongs here: the two forms of a result. Does not: taking figures
(``benchmarks.measure``).
"""

import datetime as dt
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure."""

    name: str
    value: float | None
    """None when there is no figure, for instance because a time limit ended the candidate."""
    unit: str
    ratio: float | None = None
    """``value`` divided by the value of the row ``against``."""
    against: str | None = None
    goal: str | None = None
    """What the ratio (or the value) should be, in words: "at least 15"."""
    met: bool | None = None
    note: str = ""


def against(row: Row, other: Row) -> float | None:
    """The ratio of two figures; None when one is missing."""
    return None if row.value is None or not other.value else row.value / other.value


def write(name: str, title: str, rows: Sequence[Row], text: str, more: Mapping[str, Any] | None = None) -> None:
    """Print the table and write docs/benchmarks/<name>.md and <name>.json; ``text`` says what was measured and how.

    ``more`` goes into the JSON: figures behind the rows.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    machine = f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}"
    day = dt.datetime.now(dt.UTC).date().isoformat()
    table = _table(rows)
    page = f"# {title}\n\n{text.strip()}\n\n{table}\n\nMeasured on {day}, {machine}. Made by `make bench-{name}`.\n"
    (FOLDER / f"{name}.md").write_text(page)
    facts = {"benchmark": name, "day": day, "machine": machine, "rows": [msgspec.to_builtins(row) for row in rows]}
    facts |= msgspec.to_builtins(dict(more or {}))
    (FOLDER / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1) + b"\n")
    print(f"{title}\n\n{table}")


def _table(rows: Sequence[Row]) -> str:
    lines = ["| figure | value | unit | ratio | against | goal | note |", "|---|---:|---|---:|---|---|---|"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal}: {'met' if row.met else 'missed'}"
        cells = (row.name, _number(row.value), row.unit, _number(row.ratio), row.against or "", goal, row.note)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
