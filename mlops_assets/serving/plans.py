"""The short way from the rows of a request to the model's matrix, worked out once for each order of columns.

Here: ``Plan``. Belongs here: accepting what is right, all columns and rows at once. Does not: saying what is wrong: a
plan that meets anything odd gives no matrix, and ``serving.columns`` goes through the columns one by one and names it.
The two must agree on what is right (a test compares them), and to the last bit on the matrix.
"""

import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.bundles import Signature

PLAIN = frozenset({int, float, type(None)})
NUMBERS = frozenset({int, float})
ABOUT_A_ROW = ("event_time", "request_id")
"""Columns that every request may have besides the entity's id."""
LARGEST = float(np.finfo(np.float64).max)


class Plan:
    """How rows whose columns have these names become the matrix of one signature."""

    def __init__(self, signature: Signature, names: Sequence[str], *, nan_is_missing: bool) -> None:
        """``names`` hold every feature of the signature."""
        at = {name: position for position, name in enumerate(names)}
        fields = {field.name: field for field in signature.request_fields}
        fetched = {f"{view.name}__{feature}" for view in signature.views for feature in view.features}
        ruled = {f"{view.name}__{rule.feature}" for view in signature.views for rule in view.when_missing}
        numbers = [(i, f) for i, f in enumerate(signature.features) if f.kind == "number"]
        bounds = [fields.get(f.name) for _, f in numbers]
        self.about = [(at[name], name) for name in (signature.entity_id, *ABOUT_A_ROW) if name in at]
        """The columns that tell about a row and are no feature: positions and names."""
        self._width = len(signature.features)
        self._nan_is_missing = nan_is_missing
        self._from = [at[f.name] for _, f in numbers]
        self._to = np.array([i for i, _ in numbers])
        self._whole = self._from == list(range(len(names)))
        """The columns are the features, all of them numbers, in their order."""
        self._low = np.array([-LARGEST if b is None or b.minimum is None else b.minimum for b in bounds])
        self._high = np.array([LARGEST if b is None or b.maximum is None else b.maximum for b in bounds])
        self._needed = np.array([f.name not in fetched or f.name in ruled for _, f in numbers])
        """Where a missing value is a matter for a policy, or refused."""
        self._texts = [
            (at[f.name], i, {level: float(code) for code, level in enumerate(f.levels)}, f.name in fetched)
            for i, f in enumerate(signature.features)
            if f.kind == "category"
        ]
        limited = [(p, b.minimum, b.maximum) for p, b in zip(self._from, bounds, strict=True) if b is not None]
        self._limits = [
            (p, -LARGEST if low is None else low, LARGEST if high is None else high) for p, low, high in limited
        ]
        into = [*self._to.tolist(), *(i for _, i, _, _ in self._texts)]
        self._in_order = operator.itemgetter(*(into.index(i) for i in range(self._width))) if into[1:] else None
        self._numbers_of = operator.itemgetter(*self._from) if self._from[1:] else None

    def matrix(self, rows: Sequence[Sequence[Any]]) -> np.ndarray | None:
        """The matrix, shape (rows, features), float64, C order; None when a value is not plainly right."""
        if len(rows) == 1 and (matrix := self._matrix_of_one(rows[0])) is not None:
            return matrix
        picked = rows if self._whole else [[row[position] for position in self._from] for row in rows]
        if not set(map(type, itertools.chain.from_iterable(picked))) <= PLAIN:
            return None
        try:
            numbers = np.array(picked, dtype=np.float64).reshape(len(rows), len(self._from))
        except OverflowError:
            return None
        if np.count_nonzero((numbers < self._low) | (numbers > self._high)):
            return None
        if not self._missing_is_right(numbers, picked):
            return None
        if not self._texts:
            return numbers
        matrix = np.empty((len(rows), self._width), dtype=np.float64, order="C")
        matrix[:, self._to] = numbers
        for position, into, levels, optional in self._texts:
            codes = _codes(rows, position, levels, optional=optional)
            if codes is None:
                return None
            matrix[:, into] = codes
        return matrix

    def _matrix_of_one(self, row: Sequence[Any]) -> np.ndarray | None:
        """The same of one row without a gap, in half the time: eight calls of numpy cost more than 27 numbers do."""
        if self._numbers_of is None or self._in_order is None:
            return None
        numbers = self._numbers_of(row)
        try:
            # A sum is finite when every number is: NaN, infinities and what is larger than a float go the other way.
            if not (NUMBERS.issuperset(map(type, numbers)) and math.isfinite(sum(numbers))):
                return None
        except OverflowError:
            return None
        for position, low, high in self._limits:
            if not low <= row[position] <= high:
                return None
        codes = []
        for position, _, levels, _ in self._texts:
            if type(value := row[position]) is not str:
                return None
            codes.append(levels.get(value, math.nan))
        return np.array([self._in_order((*numbers, *codes))], dtype=np.float64)

    def _missing_is_right(self, numbers: np.ndarray, picked: Sequence[Sequence[Any]]) -> bool:
        absent = np.isnan(numbers)
        if not (count := np.count_nonzero(absent)):
            return True
        if np.count_nonzero(absent & self._needed):
            return False
        return self._nan_is_missing or sum(row.count(None) for row in picked) == count


def _codes(
    rows: Sequence[Sequence[Any]], position: int, levels: Mapping[Any, float], *, optional: bool
) -> list[float] | None:
    codes = []
    for row in rows:
        value = row[position]
        if type(value) is not str and not (value is None and optional):
            return None
        codes.append(levels.get(value, np.nan))
    return codes
