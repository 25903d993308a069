"""A checked request on its way to its answer.

Here: ``PredictRequest``. Belongs here: what is known of a request besides its rows. Does not: reading one
(``serving.validation``, ``serving.columns``), answering it (``serving.data_plane``).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_assets.serving.arms import ModelState, now
from mlops_assets.serving.validation import DecisionRow

PATIENCE_HEADER = "x-request-timeout-ms"
LONGEST_NUMBER = 10
"""Digits of it that are read: Python refuses thousands."""
Answer = list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class PredictRequest:
    """A checked request, with the state that will answer it."""

    state: ModelState
    rows: Sequence[DecisionRow]
    arrived: float
    """``time.perf_counter()`` when its body was complete."""
    received_at: str = field(default_factory=now)
    explain: bool = False
    """The caller wants to know why."""
    patience_s: float | None = None
    """How long after its arrival the caller still wants the answer."""

    @property
    def late(self) -> bool:
        """True when nobody waits any more."""
        return self.patience_s is not None and time.perf_counter() - self.arrived > self.patience_s

    def under(self, seed: str, *, again: bool, arrived: float) -> "PredictRequest":
        """The same request, each row without an id of the caller's under an id that ``seed`` and its place make.

        ``again``: such ids may be in the log already, like those that callers give.
        """
        return replace(self, rows=[_under(row, seed, i, again) for i, row in enumerate(self.rows)], arrived=arrived)


def _under(row: DecisionRow, seed: str, position: int, again: bool) -> DecisionRow:
    if row.given_id:
        return row
    made = f"{seed}-{position:x}"
    # A row of features without an entity is its own.
    entity = made if row.entity_id == row.request_id else row.entity_id
    return row._replace(request_id=made, given_id=again, entity_id=entity)
