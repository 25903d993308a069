"""Requests that come as columns: from named columns of plain values to checked rows.

Here: ``Table``, which the protocols of other servers are read into, and ``rows_of``. Belongs here: which columns a
model takes, and what each may hold. Does not: a protocol (``serving.open_inference``, ``serving.invocations``), rows
of ``/predict`` (``serving.validation``).

A caller sends one of two things. **Decisions** are what ``/predict`` takes: the request fields, an event time, and the
server fetches the rest. **Features** are everything the model eats, by name: nothing is fetched or computed, as other
servers of models do it. The columns tell which: a name that only a feature has makes them features.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mlops_assets.ml.bundles import ModelFeature, RequestField, Signature
from mlops_assets.ml.missing import completed
from mlops_assets.serving.arms import ModelState
from mlops_assets.serving.given import Given
from mlops_assets.serving.plans import ABOUT_A_ROW, Plan
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.validation import (
    DecisionRow,
    Envelope,
    parse_rows,
    refuse_repeated_ids,
    row_of_features,
    unnamed_rows,
)

MOST_PLANS = 64
"""Orders of columns of which the short way is kept, for each state of a model."""


class Table(NamedTuple):
    """A request's rows under its columns' names, every row as long as the names are many."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    """Text, numbers, or None."""

    def columns(self) -> dict[str, Sequence[Any]]:
        """The same by columns."""
        if not self.rows:
            return dict.fromkeys(self.names, ())
        return dict(zip(self.names, zip(*self.rows, strict=True), strict=True))


def rows_of(model: str, table: Table, state: ModelState, max_rows: int, *, nan_is_missing: bool) -> list[DecisionRow]:
    """The rows of a request, every one of them checked.

    ``nan_is_missing``: NaN says what None says; otherwise it is refused. Raises Refusal, which names row and column.
    """
    if not 1 <= len(table.rows) <= max_rows:
        raise Refusal(422, "rows", f"{len(table.rows)} rows in one request: send at least 1 and at most {max_rows}")
    signature = state.reference
    plan = _plan(table.names, state, nan_is_missing=nan_is_missing)
    if signature is None or not (plan or _are_features(table.names, signature)):
        return _decisions(model, table, state, max_rows)
    given = _given(table, plan, state.recipe, signature, nan_is_missing=nan_is_missing)
    if not plan or not plan.about:
        return unnamed_rows(len(table.rows), state.timezone, given)
    told = ({name: row[i] for i, name in plan.about} for row in table.rows)
    rows = [row_of_features(i, known, signature.entity_id, state.timezone, given) for i, known in enumerate(told)]
    refuse_repeated_ids(rows)
    return rows


def _decisions(model: str, table: Table, state: ModelState, max_rows: int) -> list[DecisionRow]:
    try:
        rows = msgspec.json.encode([dict(zip(table.names, row, strict=True)) for row in table.rows])
    except OverflowError:
        raise Refusal(422, "rows", "a whole number is too large: none of more than 64 bits is read") from None
    return parse_rows(Envelope(model=model, rows=msgspec.Raw(rows)), state.form, state.timezone, max_rows)


def _plan(names: tuple[str, ...], state: ModelState, *, nan_is_missing: bool) -> Plan | None:
    """The short way, kept for each order of columns; None when the columns are not the model's features."""
    key = (names, nan_is_missing)
    if key in state.plans:
        return state.plans[key]
    signature = state.reference
    if signature is None or not _are_features(names, signature) or _misnamed(names, signature) is not None:
        return None
    if len(state.plans) >= MOST_PLANS:
        state.plans.clear()
    return state.plans.setdefault(key, Plan(signature, names, nan_is_missing=nan_is_missing))


def _given(table: Table, plan: Plan | None, recipe: str, signature: Signature, *, nan_is_missing: bool) -> Given:
    """The features, checked: all at once where they are right, column by column to say what is wrong."""
    matrix = plan.matrix(table.rows) if plan else None
    if matrix is None:
        return Given(_checked(table.columns(), signature, nan_is_missing=nan_is_missing))
    return Given(table.columns, {recipe: matrix})


def kinds_of(state: ModelState) -> dict[str, str]:
    """What every column that the model knows holds: string, integer or number. For forms that know text alone."""
    kinds = {name: field.dtype for name, field in state.form.fields.items()}
    if state.reference is not None:
        told = {"category": "string", "number": "number"}
        kinds = {f.name: told[f.kind] for f in state.reference.features} | kinds
    return {**kinds, **dict.fromkeys(ABOUT_A_ROW, "string")}


def _are_features(names: Sequence[str], signature: Signature) -> bool:
    asked, sent = {field.name for field in signature.request_fields}, set(names)
    return any(feature.name in sent and feature.name not in asked for feature in signature.features)


def _misnamed(names: Sequence[str], signature: Signature) -> Refusal | None:
    """What is wrong with the columns' names, if anything is."""
    features, sent = {feature.name for feature in signature.features}, set(names)
    known = features | {signature.entity_id, *ABOUT_A_ROW}
    if unknown := [name for name in names if name not in known]:
        return Refusal(422, unknown[0], f"is no feature of {signature.model}: leave it away, or send decisions instead")
    if missing := [feature.name for feature in signature.features if feature.name not in sent]:
        return Refusal(422, missing[0], f"the column is missing ({len(missing)} are): send every feature of the model")
    return None


def _checked(columns: Mapping[str, Sequence[Any]], signature: Signature, *, nan_is_missing: bool) -> dict[str, Any]:
    """The columns of the model's features: text as it is, numbers as float64 with NaN where missing."""
    if (misnamed := _misnamed(list(columns), signature)) is not None:
        raise misnamed
    fields = {field.name: field for field in signature.request_fields}
    fetched = {f"{view.name}__{feature}" for view in signature.views for feature in view.features}
    checked: dict[str, Any] = {}
    for feature in signature.features:
        values, name = columns[feature.name], feature.name
        if feature.kind == "category":
            checked[name] = _texts(feature, values, optional=name in fetched)
        else:
            checked[name] = _numbers(
                feature, values, fields.get(name), optional=name in fetched, nan_is_missing=nan_is_missing
            )
    for view in signature.views:
        filled, without = completed(view, checked)
        for name, mask in without.items():
            raise Refusal(422, f"rows[{int(np.argmax(mask))}].{name}", "the value is missing: send a number")
        checked |= filled
    return checked


def _texts(feature: ModelFeature, values: Sequence[Any], *, optional: bool) -> Sequence[Any]:
    for i, value in enumerate(values):
        if value is None and not optional:
            raise Refusal(422, f"rows[{i}].{feature.name}", "the value is missing: send a string")
        if not isinstance(value, str | None):
            raise Refusal(422, f"rows[{i}].{feature.name}", f"{_shown(value)} is not a string: send one")
    return values


def _numbers(
    feature: ModelFeature,
    values: Sequence[Any],
    field: RequestField | None,
    *,
    optional: bool,
    nan_is_missing: bool,
) -> np.ndarray:
    if not set(map(type, values)) <= {int, float, type(None)}:
        i, wrong = next((i, v) for i, v in enumerate(values) if type(v) not in (int, float, type(None)))
        raise Refusal(422, f"rows[{i}].{feature.name}", f"{_shown(wrong)} is not a number: send one")
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:
        raise Refusal(422, feature.name, "a number is too large for a float64") from None
    low, high = (None, None) if field is None else (field.minimum, field.maximum)
    outside = (
        np.isinf(numbers)
        | (numbers < (-np.inf if low is None else low))
        | (numbers > (np.inf if high is None else high))
    )
    if outside.any():
        i = int(np.argmax(outside))
        limits = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
        raise Refusal(422, f"rows[{i}].{feature.name}", f"{_shown(values[i])} is no number that fits: send one{limits}")
    absent = np.isnan(numbers)
    if absent.any():
        for i in np.flatnonzero(absent).tolist():
            if values[i] is not None and not nan_is_missing:
                raise Refusal(422, f"rows[{i}].{feature.name}", "NaN is not a number: send null for a missing value")
            if not optional:
                raise Refusal(422, f"rows[{i}].{feature.name}", "the value is missing: send a number")
    return numbers


def _shown(value: Any) -> str:
    return f"{value!r:.40}"
