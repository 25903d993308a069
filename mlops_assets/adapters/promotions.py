"""The promotion history: which version entered or left which arm, when, by whom and on what evidence. Append-only.

Here: the table of transitions, and the questions that it answers (who holds an arm, who was champion then).
Belongs here: anything that is derived from the history alone. Does not: moving an arm (``releases``), the registry,
what the lines mean together (``ml.tenures``).

MLflow keeps no such history. The table is the intent; the registry's aliases follow it. It is one line after the
other whoever writes: a move that was decided on arms which somebody else has moved since is refused, not added.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.tables import TableMissing, TableMoved, Tables
from mlops_assets.contracts import Arm, Transition, to_json
from mlops_assets.ml.tenures import as_instant, as_of, holders, previous_champion

if TYPE_CHECKING:
    import pandas as pd

CANARY_BASIS_POINTS = "canary_basis_points"
"""Evidence of a canary's transition and tag of the registered model: its share of the traffic in 1/10,000."""

COLUMNS = tuple(f.name for f in fields(Transition))
VERSION = "version"
"""The one column that is a number."""
TRIES = 100
"""Writers that come between reading the history and adding to it. Each one that does has added a line itself."""


class HistoryMoved(RuntimeError):
    """Somebody else moved an arm while this move was being decided: it was not recorded, and nothing moved."""


def promotions_table(model: str) -> str:
    """The table's name."""
    return f"{model}/releases/promotions"


class Promotions:
    """The history of every model, one table each, in ``tables``."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def record(self, transitions: Sequence[Transition], seen: Mapping[Arm, Transition] | None = None) -> None:
        """Append lines about one model in one commit; a line whose ``event_id`` is there already is not repeated.

        ``seen`` is who held which arm when these lines were decided. Raises HistoryMoved, and appends nothing, when
        that has changed since. Their ``at`` is pushed behind the last line's where the clock did not move on, so that
        ``at`` alone orders the history.
        """
        if not transitions:
            return
        model = transitions[0].model
        for _ in range(TRIES):
            history = self.all(model)
            if {t.event_id for t in transitions} <= {line.event_id for line in history}:
                return
            if seen is not None:
                _refuse_if_moved(history, transitions[0], seen)
            ordered = _after(history[-1].at if history else "", transitions)
            try:
                self._tables.append_once(promotions_table(model), _frame(ordered), key="event_id", after=len(history))
                return
            except TableMoved:
                continue
        raise HistoryMoved(f"{TRIES} others wrote into the history of {model} one after the other: try again")

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

        ``moment`` is a day (its end, on the use case's calendar) or an instant with its zone (on the wall's clock).
        Raises ValueError for anything else.
        """
        return holders(as_of(self.all(model), moment)).get(Arm.CHAMPION)

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


def _refuse_if_moved(history: Sequence[Transition], wanted: Transition, seen: Mapping[Arm, Transition]) -> None:
    now = holders(history)
    if {arm: line.event_id for arm, line in now.items()} == {arm: line.event_id for arm, line in seen.items()}:
        return
    known = {line.event_id for line in seen.values()}
    other = next((line for line in reversed(history) if line.to_arm and line.event_id not in known), history[-1])
    raise HistoryMoved(
        f"refused to record {wanted.model} version {wanted.version} as {wanted.kind}: meanwhile {other.by} recorded "
        f"version {other.version} as {other.kind} ({other.reason}). Look at `mlops history` and decide again"
    )


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
