"""The one form in which frames enter and leave tables.

Here: ``settled``, which gives a frame the types that every table keeps, its Arrow schema, and what every table checks
before a write. Belongs here: what both twins of ``adapters.tables`` and the feature store must agree on. Does not:
contracts of a dataset (``ml.datasets``).

Text is object with None; integers int64 (never missing: an integer that may be missing is a float64 with NaN, so that
a column has the same type on days with and without gaps); instants are UTC with microseconds; truth is bool.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops_assets.contracts import TableVersion
from mlops_assets.ml.digests import content_digest, content_digests
from mlops_assets.ml.schedules import INSTANT

if TYPE_CHECKING:
    import pyarrow as pa

DAY = "day"


class TableMissing(LookupError):
    """Nobody has written the table yet, or not that version of it."""


class TableMismatch(ValueError):
    """The rows do not fit the table or the days they are to replace."""


def settled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a fresh index and every column in one of the five types; columns that are so already are shared.

    Raises TypeError, naming the column, for instants without zone and for values that are of no such type.
    """
    columns = {str(name): _settled(frame[name]) for name in frame.columns}
    return pd.DataFrame(columns, index=frame.index, copy=False).set_axis(pd.RangeIndex(len(frame)), copy=False)


def arrow_schema(frame: pd.DataFrame) -> "pa.Schema":
    """The Arrow schema of a settled frame."""
    import pyarrow as pa

    kinds = {"object": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    instant = pa.timestamp("us", tz="UTC")
    return pa.schema([(name, kinds.get(str(dtype), instant)) for name, dtype in frame.dtypes.items()])


def checked(table: str, frame: pd.DataFrame, days: Sequence[str] | None) -> pd.DataFrame:
    """The frame in the tables' types and order. Raises TableMismatch when a row lies outside the days."""
    rows = settled(frame)
    if days is None:
        return rows
    strangers = sorted(set(rows[DAY].unique()) - set(days), key=str) if DAY in rows else ["no column day"]
    if strangers:
        raise TableMismatch(f"{table}: a write of {len(days)} days holds other ones: {strangers[:3]}")
    # A frame without rows may have any type there; the partition column is text.
    return by_day(rows.astype({DAY: object}, copy=False))


def fit(table: str, rows: pd.DataFrame, known: Mapping[str, Any]) -> None:
    """Raises TableMismatch when rows lack a column of the table or give it another type."""
    lost = [name for name in known if name not in rows.columns]
    changed = [name for name in known if name in rows.columns and len(rows) and rows[name].dtype != known[name]]
    if lost or changed:
        raise TableMismatch(
            f"{table}: columns missing: {lost or 'none'}; of another type: {changed or 'none'}. "
            "Write all columns with the types the table has, or write a table of a new name."
        )


def described(table: str, version: int, rows: pd.DataFrame, days: Sequence[str] | None) -> TableVersion:
    """The contract of what was just written."""
    if days is None:
        return TableVersion(table=table, version=version, rows=len(rows), digest=content_digest(rows))
    return TableVersion(
        table=table,
        version=version,
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        rows=len(rows),
        day_digests={**dict.fromkeys(sorted(set(days)), content_digest(rows.iloc[:0])), **content_digests(rows)},
    )


def differing_days(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """The days whose rows are not the same in both frames of one table; a column that was added later and holds
    nothing makes no difference."""
    added = [name for name in new.columns if name not in old.columns]
    filled = old.assign(**{name: pd.Series(None, old.index, _nullable(new[name].dtype)) for name in added})
    before, after = content_digests(filled), content_digests(new)
    return sorted(day for day in {*before, *after} if before.get(day) != after.get(day))


def _nullable(dtype: Any) -> Any:
    return "float64" if pd.api.types.is_numeric_dtype(dtype) else dtype


def news(current: pd.DataFrame, frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows of ``frame`` whose key ``current`` does not hold, the first of each key."""
    rows = settled(frame)
    return rows[~rows[key].isin(current[key])].drop_duplicates(key)


def untouched() -> pd.DataFrame:
    """What a daily table holds before its first write."""
    return pd.DataFrame({DAY: pd.Series(dtype=object)})


def missing(table: str, version: int | None) -> str:
    """What to say of a table that is not there."""
    wanted = f"table {table}" if version is None else f"version {version} of table {table}"
    return f"there is no {wanted}; materialize the asset of that key first"


def by_day(frame: pd.DataFrame) -> pd.DataFrame:
    """Ordered by day, within a day as before; the column day comes first."""
    names = [DAY, *(name for name in frame.columns if name != DAY)]
    # Numbers are put in order faster than text, and most frames are in order already.
    days, _ = pd.factorize(frame[DAY], sort=True)
    ordered = frame if (np.diff(days) >= 0).all() else frame.take(np.argsort(days, kind="stable"))
    chosen = ordered if names == list(ordered.columns) else ordered[names]
    return chosen.set_axis(pd.RangeIndex(len(frame)), copy=False)


def _settled(values: pd.Series) -> pd.Series:
    dtype = values.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return values.astype(INSTANT, copy=False)
    if pd.api.types.is_bool_dtype(dtype) and not values.isna().any():
        return values.astype("bool", copy=False)
    if pd.api.types.is_integer_dtype(dtype):
        # pandas' own Int64 says "may be missing": keep that promise on days without gaps too.
        return values.astype("float64" if pd.api.types.is_extension_array_dtype(dtype) else "int64", copy=False)
    if pd.api.types.is_float_dtype(dtype):
        return values.astype("float64", copy=False)
    return _text(values)


def _text(values: pd.Series) -> pd.Series:
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    if pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        kind = type(values[values.notna()].iloc[0]).__name__
        raise TypeError(
            f"column {values.name} ({values.dtype}) holds {kind}: a table keeps text, int64, float64, bool and "
            "instants with a time zone; convert it first"
        )
    return values.astype(object).where(values.notna(), None)
