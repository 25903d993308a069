"""From checked rows to the model's matrix: request fields, online values within their time to live, transformations.

Here: ``BatchFeatures``, which reads each view once for a whole batch and shares the result between arms. Belongs here:
what a missing, old or future online value means. Does not: reading the online store (``adapters.online_reader``), what
a policy makes of a missing value (``ml.missing``), transformations (``ml.on_demand``), the encoding (``ml.encoding``).
"""

import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlops_assets.adapters.online_reader import OnlineReader, OnlineStoreError, Snapshot
from mlops_assets.ml.bundles import RequestField, Signature, ViewInput
from mlops_assets.ml.encoding import encode
from mlops_assets.ml.missing import completed
from mlops_assets.serving.validation import DecisionRow

Transformation = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


ABSENT_KEY, STALE, NULL, STORE_ERROR = "absent_key", "stale", "null", "store_error"
"""Why a value is missing. Plain text: an enum's hash alone would cost more than counting does."""


class ViewColumns(NamedTuple):
    """One view's values for every row of a batch."""

    columns: Mapping[str, Sequence[Any]]
    """``<view>__<feature>`` -> values; None where missing."""
    times: Sequence[str | None]
    missing: Sequence[int]
    """Values missing per row."""
    future: int
    """Rows whose values are younger than their event time."""
    gaps: Mapping[tuple[tuple[str, ...], str], int]
    """(features, why they are missing) -> rows that miss exactly these."""
    age_s: float | None
    """Of the newest values that the store holds for these rows, counted from the row's event time."""
    barred: Mapping[int, str]
    """Row -> why it must not be scored: a feature is missing whose policy is to fail."""


@dataclass(frozen=True)
class Assembled:
    """What one signature makes of a batch."""

    matrix: np.ndarray
    views: Mapping[str, ViewColumns]
    barred: Mapping[int, str]
    """Rows whose score must not be used, and why."""

    def missing(self, row: int) -> int:
        """Values that the views should have given that row and did not."""
        return sum([view.missing[row] for view in self.views.values()]) if self.views else 0

    def times(self, row: int) -> dict[str, str | None]:
        """View -> instant of the values that row was given."""
        return {name: view.times[row] for name, view in self.views.items()} if self.views else {}


class BatchFeatures:
    """The features of one batch of rows, each view read once whichever arms ask for it."""

    def __init__(
        self, rows: Sequence[DecisionRow], online: OnlineReader, transformations: Mapping[str, Transformation]
    ) -> None:
        """Nothing is read yet."""
        self._rows = rows
        self._online = online
        self._transformations = transformations
        self._views: dict[ViewInput, ViewColumns] = {}
        self._assembled: dict[str, Assembled] = {}
        self.store_error: str | None = None
        """Why the online store could not be read: its values are missing then, and counted so."""

    def assemble(self, signature: Signature, recipe: str) -> Assembled:
        """The matrix for a signature; signatures with the same ``recipe`` share it.

        Raises ml.encoding.MissingColumn when a feature comes from nowhere, and whatever a transformation raises.
        """
        if recipe not in self._assembled:
            self._read([view for view in signature.views if view not in self._views])
            views = {view.name: self._views[view] for view in signature.views}
            columns: dict[str, Any] = request_columns([row.fields for row in self._rows], signature.request_fields)
            sent = dict(columns)
            for name in signature.transformations:
                columns |= self._transformations[name](sent)
            barred: dict[int, str] = {}
            for view in views.values():
                columns |= view.columns
                barred |= view.barred
            self._assembled[recipe] = Assembled(encode(columns, signature.features), views, barred)
        return self._assembled[recipe]

    def _read(self, views: Sequence[ViewInput]) -> None:
        """Read these views in one go."""
        wanted = [(view, [row.fields.get(view.join_key) for row in self._rows]) for view in views]
        instants = [row.at for row in self._rows]
        for (view, keys), found in zip(wanted, self._found(wanted), strict=True):
            self._views[view] = view_columns(view, keys, instants, found)

    def _found(self, wanted: Sequence[tuple[ViewInput, Sequence[Any]]]) -> Sequence[Mapping[Any, Snapshot] | None]:
        if self.store_error is None:
            try:
                return self._online.read_views(wanted)
            except OnlineStoreError as error:
                self.store_error = str(error)
        return [None] * len(wanted)


def request_columns(rows: Sequence[Mapping[str, Any]], fields: Sequence[RequestField]) -> dict[str, np.ndarray]:
    """The request fields as arrays: text as object, integers as int64, numbers as float64."""
    kinds = {"string": np.object_, "integer": np.int64, "number": np.float64}
    return {f.name: np.array([row[f.name] for row in rows], dtype=kinds[f.dtype]) for f in fields}


def view_columns(
    view: ViewInput, keys: Sequence[Any], instants: Sequence[float], found: Mapping[Any, Snapshot] | None
) -> ViewColumns:
    """The columns of one view for rows with these keys and event times; ``found`` is None when nothing could be read.

    A value older than the view's time to live (0: no limit), counted from the row's event time, is missing, as it is
    in the training's point-in-time join. A value younger than the event time is used and counted: what is in the
    online store is known now; only a caller who predicts the past can meet one.
    """
    held = {key: _held(view, snapshot) for key, snapshot in found.items()} if found else {}
    absent = _nothing(view, STORE_ERROR if found is None else ABSENT_KEY)
    rows, times, ages, future = [], [], [], 0
    gaps: dict[tuple[tuple[str, ...], str], int] = {}
    for key, at in zip(keys, instants, strict=True):
        row = held.get(key, absent)
        if row.at is not None:
            age = at - row.at
            ages.append(age)
            future += age < 0
            if view.ttl_seconds and age > view.ttl_seconds:
                row = _nothing(view, STALE)
        if row.gaps:
            gaps[row.gaps, row.reason] = gaps.get((row.gaps, row.reason), 0) + 1
        rows.append(row)
        times.append(None if row.at is None else instant(row.at))
    values = zip(*[row.values for row in rows], strict=True)
    columns: dict[str, Any] = dict(zip(_names(view), values, strict=True))
    barred: Mapping[int, str] = {}
    if view.when_missing:
        filled, barred = _completed(view, columns, keys, rows)
        columns |= filled
    missing = [len(row.gaps) for row in rows]
    return ViewColumns(columns, times, missing, future, gaps, min(ages, default=None), barred)


class _Held(NamedTuple):
    """What the store holds of one key, as a row of a view."""

    at: float | None
    values: tuple[Any, ...]
    gaps: tuple[str, ...]
    """Features whose value is missing."""
    reason: str


def _held(view: ViewInput, snapshot: Snapshot) -> _Held:
    values = tuple(map(snapshot.values.get, view.features))
    gaps = tuple(f for f, value in zip(view.features, values, strict=True) if value is None or value != value)
    return _Held(snapshot.at, values, gaps, NULL)


@functools.lru_cache(maxsize=256)
def _nothing(view: ViewInput, reason: str) -> _Held:
    return _Held(None, (None,) * len(view.features), view.features, reason)


@functools.lru_cache(maxsize=256)
def _names(view: ViewInput) -> tuple[str, ...]:
    return tuple(f"{view.name}__{feature}" for feature in view.features)


def _completed(
    view: ViewInput, columns: Mapping[str, Sequence[Any]], keys: Sequence[Any], rows: Sequence[_Held]
) -> tuple[Mapping[str, Any], dict[int, str]]:
    """The columns that policies change, and the rows that they bar with the reason."""
    filled, without = completed(view, columns)
    barred: dict[int, str] = {}
    for name, mask in without.items():
        for row in np.flatnonzero(mask).tolist():
            why = rows[row].reason.replace("_", " ")
            barred[row] = (
                f"{name} of {view.join_key} {keys[row]!r} is missing ({why}), and there is no score without it"
            )
    return filled, barred


@functools.lru_cache(maxsize=4096)
def instant(seconds: float) -> str:
    """An epoch as ISO 8601 UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")


def specimen(signature: Signature) -> DecisionRow:
    """A row that a signature accepts, with the least values: for trying a model before it answers anybody."""
    fields = {f.name: _least(f) for f in signature.request_fields} | {signature.entity_id: "specimen"}
    return DecisionRow("specimen", False, "specimen", 0.0, instant(0.0), instant(0.0)[:10], fields)


def _least(field: RequestField) -> Any:
    if field.dtype == "string":
        return "specimen"
    least = field.minimum if field.minimum is not None else min(0.0, field.maximum or 0.0)
    return math.ceil(least) if field.dtype == "integer" else least
