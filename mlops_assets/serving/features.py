"""From checked rows to the model's matrix: request fields, online values within their time to live, transformations.

Here: ``BatchFeatures``, which reads each view once for a whole batch and shares the result between arms. Belongs here:
what a missing, old or future online value means. Does not: the online store's format (``adapters.online_reader``),
the transformations (``ml.on_demand``), the encoding (``ml.encoding``).
"""

import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.adapters.online_reader import OnlineReader, OnlineStoreError, Snapshot
from mlops_assets.ml.bundles import RequestField, Signature, ViewInput
from mlops_assets.ml.encoding import encode
from mlops_assets.serving.validation import DecisionRow

Transformation = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class ViewColumns:
    """One view's values for every row of a batch."""

    columns: Mapping[str, Sequence[Any]]
    """``<view>__<feature>`` -> values; None where missing."""
    times: Sequence[str | None]
    missing: Sequence[int]
    """Values missing per row."""
    future: int
    """Rows whose values are younger than their event time."""


@dataclass(frozen=True)
class Assembled:
    """What one signature makes of a batch."""

    matrix: np.ndarray
    views: Mapping[str, ViewColumns]

    def missing(self, row: int) -> int:
        """Values that the views should have given that row and did not."""
        return sum(view.missing[row] for view in self.views.values())

    def times(self, row: int) -> dict[str, str | None]:
        """View -> instant of the values that row was given."""
        return {name: view.times[row] for name, view in self.views.items()}


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
            views = {view.name: self._view(view) for view in signature.views}
            columns: dict[str, Any] = request_columns([row.fields for row in self._rows], signature.request_fields)
            sent = dict(columns)
            for name in signature.transformations:
                columns |= self._transformations[name](sent)
            for view in views.values():
                columns |= view.columns
            self._assembled[recipe] = Assembled(encode(columns, signature.features), views)
        return self._assembled[recipe]

    def _view(self, view: ViewInput) -> ViewColumns:
        if view not in self._views:
            keys = [row.fields.get(view.join_key) for row in self._rows]
            self._views[view] = view_columns(view, keys, [row.at for row in self._rows], self._read(view, keys))
        return self._views[view]

    def _read(self, view: ViewInput, keys: Sequence[Any]) -> Mapping[Any, Snapshot]:
        if self.store_error is not None:
            return {}
        try:
            return self._online.read(view, keys)
        except OnlineStoreError as error:
            self.store_error = str(error)
            return {}


def request_columns(rows: Sequence[Mapping[str, Any]], fields: Sequence[RequestField]) -> dict[str, np.ndarray]:
    """The request fields as arrays: text as object, integers as int64, numbers as float64."""
    kinds = {"string": np.object_, "integer": np.int64, "number": np.float64}
    return {f.name: np.array([row[f.name] for row in rows], dtype=kinds[f.dtype]) for f in fields}


def view_columns(
    view: ViewInput, keys: Sequence[Any], instants: Sequence[float], found: Mapping[Any, Snapshot]
) -> ViewColumns:
    """The columns of one view for rows with these keys and event times.

    A value older than the view's time to live (0: no limit), counted from the row's event time, is missing, as it is
    in the training's point-in-time join. A value younger than the event time is used and counted: what is in the
    online store is known now; only a caller who predicts the past can meet one.
    """
    nothing = (None,) * len(view.features)
    values, times, missing, future = [], [], [], 0
    for key, at in zip(keys, instants, strict=True):
        snapshot = found.get(key)
        if snapshot is None or (view.ttl_seconds and at - snapshot.at > view.ttl_seconds):
            row, time = nothing, None
        else:
            row, time = tuple(map(snapshot.values.get, view.features)), instant(snapshot.at)
            future += snapshot.at > at
        values.append(row)
        times.append(time)
        missing.append(sum(value is None or value != value for value in row))
    columns = {f"{view.name}__{f}": column for f, column in zip(view.features, zip(*values, strict=True), strict=True)}
    return ViewColumns(columns, times, missing, future)


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
