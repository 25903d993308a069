"""The promotion history: which version entered or left which arm, when, by whom and on what evidence. Append-only.

Here: the table of transitions, and the questions that it answers (who holds an arm, who was champion then).
Belongs here: anything that is derived from the history alone. Does not: moving an arm (``releases``), the registry.

MLflow keeps no such history. The table is the intent; the registry's aliases follow it.
"""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.contracts import Arm, Transition, to_json

if TYPE_CHECKING:
    import pandas as pd

CANARY_BASIS_POINTS = "canary_basis_points"
"""Evidence of a canary's transition and tag of the registered model: its share of the traffic in 1/10,000."""

COLUMNS = tuple(f.name for f in fields(Transition))
VERSION = "version"
"""The one column that is a number."""
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


def promotions_table(model: str) -> str:
    """The table's name."""
    return f"{model}/releases/promotions"


class Promotions:
    """The history of every model, one table each, in ``tables``."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, transitions: Sequence[Transition]) -> None:
        """Append lines about one model in one commit; a line whose ``event_id`` is there already is not repeated.

        Their ``at`` is pushed behind the last line's where the clock did not move on, so that ``at`` alone orders
        the history.
        """
        if not transitions:
            return
        model = transitions[0].model
        history = self.all(model)
        ordered = _after(history[-1].at if history else "", transitions)
        self._tables.append_once(promotions_table(model), _frame(ordered), key="event_id")

    def all(self, model: str) -> list[Transition]:
        """The whole history, oldest first; empty for a model nobody registered."""
        try:
            frame = self._tables.read(promotions_table(model), columns=COLUMNS)
        except TableMissing:
            return []
        lines = [_line({str(name): value for name, value in row.items()}) for row in frame.to_dict(orient="records")]
        return sorted(lines, key=lambda line: (line.at, line.event_id))

    def find(self, model: str, event_id: str) -> Transition | None:
        """The line of one event, or None."""
        return next((line for line in self.all(model) if line.event_id == event_id), None)

    def arms(self, model: str) -> dict[Arm, Transition]:
        """Who holds which arm now: the line that put it there."""
        return holders(self.all(model))

    def champion_at(self, model: str, moment: str) -> Transition | None:
        """The line that made the version champion that was champion at a moment, or None.

        ``moment`` is a day (its end, on the use case's calendar) or an instant that ends in Z (on the wall's clock).
        """
        by_day = len(moment) == len("2013-01-01")
        until = moment if by_day else as_instant(moment)
        return holders(t for t in self.all(model) if (t.day if by_day else t.at) <= until).get(Arm.CHAMPION)

    def previous_champion(self, model: str) -> Transition | None:
        """The line that made champion the version a rollback goes to, or None.

        It is the version that was champion last before the present one, leaving out those that were rolled back
        themselves since.
        """
        return previous_champion(self.all(model))

    def canary_basis_points(self, model: str) -> int:
        """The share of the traffic that the present canary answers, in 1/10,000; 0 without a canary."""
        canary = self.arms(model).get(Arm.CANARY)
        return int(canary.evidence.get(CANARY_BASIS_POINTS, 0)) if canary else 0


def holders(lines: Iterable[Transition]) -> dict[Arm, Transition]:
    """Who holds which arm after these lines, oldest first."""
    held: dict[Arm, Transition] = {}
    for line in lines:
        leaves = Arm(line.from_arm) if line.from_arm else None
        if leaves and leaves in held and held[leaves].version == line.version:
            del held[leaves]
        if line.to_arm:
            held[Arm(line.to_arm)] = line
    return held


def previous_champion(lines: Sequence[Transition]) -> Transition | None:
    """The newest line that made champion a version other than the present one, whose tenure was not rolled back."""
    present = holders(lines).get(Arm.CHAMPION)
    passed_over = {present.version} if present else set()
    for line in reversed(lines):
        if line.kind == "rolled_back":
            passed_over.add(line.version)
        if line.to_arm == Arm.CHAMPION and line.version not in passed_over:
            return line
    return None


def as_instant(text: str) -> str:
    """An instant in the history's own form, so that texts compare as times."""
    return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC).strftime(INSTANT)


def _after(last: str, transitions: Sequence[Transition]) -> list[Transition]:
    ordered = []
    for transition in transitions:
        at = as_instant(transition.at)
        if at <= last:
            at = as_instant(str(datetime.datetime.fromisoformat(last) + datetime.timedelta(microseconds=1)))
        ordered.append(replace(transition, at=at))
        last = at
    return ordered


def _frame(transitions: Sequence[Transition]) -> "pd.DataFrame":
    import pandas as pd

    rows = [{c: getattr(t, c) for c in COLUMNS} | {"evidence": to_json(t.evidence)} for t in transitions]
    # Arms are str by inheritance only, and an empty column has no type of its own: say what the table keeps.
    texts = {c: [None if row[c] is None else str(row[c]) for row in rows] for c in COLUMNS if c != VERSION}
    numbers = {VERSION: [int(row[VERSION]) for row in rows]}
    return pd.DataFrame({name: pd.Series((texts | numbers)[name], dtype=_kind(name)) for name in COLUMNS})


def _kind(column: str) -> str:
    return "int64" if column == VERSION else "object"


def _line(row: Mapping[str, Any]) -> Transition:
    return Transition(**{**row, VERSION: int(row[VERSION]), "evidence": json.loads(row["evidence"])})
