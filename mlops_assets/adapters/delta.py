"""One Delta table: opening it, making it, reading a version, committing to it.

Here: what ``adapters.tables.DeltaTables`` does with deltalake. Belongs here: Delta's own habits and how they are met.
Does not: names of tables, retries (``adapters.conflicts``), types of columns (``adapters.frames``).
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from mlops_assets.adapters.delta_scan import known_columns, query
from mlops_assets.adapters.delta_upkeep import LOG
from mlops_assets.adapters.frames import DAY, arrow_schema, fit, settled

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

FEW_DAYS = 31
ROW_GROUP = 2**20
"""Rows up to which a data file has one row group, which no two threads share."""


def exists(path: str) -> bool:
    """True when there is a table."""
    from deltalake import DeltaTable

    return DeltaTable.is_deltatable(path)


class Handles(threading.local):
    """The tables that a thread has opened, by path.

    A table of ten years opens in 16 ms, a handle that has seen it follows in one. It is the thread's own, because a
    commit is judged by the snapshot that was read: another's look would move it.
    """

    def __init__(self) -> None:
        """Nothing is open."""
        self._known: dict[str, tuple[tuple[int, int] | None, DeltaTable]] = {}

    def newest(self, path: str) -> "DeltaTable":
        """The table as it is now; a handle that was given before moves with it. Raises DeltaError without a table."""
        from deltalake import DeltaTable

        made, handle = self._known.get(path, (None, None))
        if handle is not None and made == _birth(path):
            handle.update_incremental()
            return handle
        self._known[path] = (_birth(path), DeltaTable(path))
        return self._known[path][1]


def _birth(path: str) -> tuple[int, int] | None:
    """What tells a table from another one that was made at the same place later; None without a table."""
    try:
        first = (Path(path) / "_delta_log" / f"{0:020}.json").stat()
    except FileNotFoundError:
        return None
    return first.st_ino, first.st_mtime_ns


def create(path: str, rows: pd.DataFrame, *, partitioned: bool) -> None:
    """An empty table where there is none. Of two creators at once one makes it, the other is told and goes on."""
    from deltalake import DeltaTable
    from deltalake.exceptions import CommitFailedError

    if exists(path):
        return
    try:
        partition = [DAY] if partitioned else None
        DeltaTable.create(path, arrow_schema(rows), mode="ignore", partition_by=partition, configuration=LOG)
    except CommitFailedError:
        if not exists(path):
            raise


def days_where(days: Sequence[str] | None) -> str:
    """The predicate that selects those days, or every row (None)."""
    return "true" if days is None else f"{DAY} IN ({', '.join(repr(day) for day in sorted(days))})"


def commit(table: str, delta: "DeltaTable", rows: pd.DataFrame, where: str, said: Mapping[str, str]) -> int:
    """Replace the rows that ``where`` selects in this snapshot; returns the version.

    Always with a predicate: an overwrite without one does not see what others appended since, and two of them on
    an empty table left the rows of both. Raises CommitFailedError when another writer came first.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    known = empty(delta)
    fit(table, rows, dict(known.dtypes))
    rows = known if rows.empty else rows
    write_deltalake(
        delta,
        pa.Table.from_pandas(rows, schema=arrow_schema(rows), preserve_index=False),
        mode="overwrite",
        predicate=where,
        schema_mode=_mode(rows, known),
        commit_properties=CommitProperties(custom_metadata=dict(said)),
    )
    return delta.version()


def append(table: str, delta: "DeltaTable", rows: pd.DataFrame, said: Mapping[str, str]) -> None:
    """Add rows to this snapshot. Raises CommitFailedError when anybody else appended to it since.

    Appends of Delta do not see each other, and two of the same row left it twice. An application transaction makes
    them: of two that name the same application on one snapshot the second is refused, whatever its number.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake

    known = empty(delta)
    fit(table, rows, dict(known.dtypes))
    alone = Transaction(APPENDS, delta.version() + 1)
    write_deltalake(
        delta,
        pa.Table.from_pandas(rows, schema=arrow_schema(rows), preserve_index=False),
        mode="append",
        schema_mode=_mode(rows, known),
        commit_properties=CommitProperties(custom_metadata=dict(said), app_transactions=[alone]),
    )


def _mode(rows: pd.DataFrame, known: pd.DataFrame) -> Literal["merge"] | None:
    return "merge" if set(rows.columns) - set(known.columns) else None


APPENDS = "append_once"


def empty(delta: "DeltaTable") -> pd.DataFrame:
    """No rows, with the table's columns and types."""
    import pyarrow as pa

    return settled(pa.schema(delta.schema()).empty_table().to_pandas())


def rows_of(
    delta: "DeltaTable",
    first_day: str | None = None,
    last_day: str | None = None,
    columns: Sequence[str] | None = None,
    days: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The rows from first to last day, or of exactly those days, ordered by day and as written."""
    daily = delta.metadata().partition_columns
    bounds = [f"{DAY} {sign} '{day}'" for sign, day in ((">=", first_day), ("<=", last_day)) if day]
    bounds += [] if days is None else [days_where(days)]
    wanted = known_columns(delta) if columns is None else list(dict.fromkeys([*columns, *daily]))
    in_order = not (daily and _wide(first_day, last_day, days) and _a_file_a_day(delta))
    # Text, whole numbers and so on come out of a table in the types that it took in: nothing is left to settle.
    found = query(delta, wanted, bounds, in_order=in_order)
    if daily:
        found = _by_day(found)
    names = [*daily, *(name for name in wanted if name not in daily)] if columns is None else list(columns)
    return found.select(names).to_pandas()


def _by_day(found: "pa.Table") -> "pa.Table":
    """Ordered by day, within a day as before."""
    days = found[DAY].combine_chunks().dictionary_encode()
    ranks = np.argsort(np.argsort(days.dictionary.to_numpy(zero_copy_only=False)))
    # Small numbers are put in order by counting.
    ranked = ranks.astype(np.min_scalar_type(len(ranks)))[days.indices.to_numpy()]
    return found if (ranked[1:] >= ranked[:-1]).all() else found.take(np.argsort(ranked, kind="stable"))


def _wide(first_day: str | None, last_day: str | None, days: Sequence[str] | None) -> bool:
    """True for many days, of which two threads read faster than one."""
    if days is not None:
        return len(days) > FEW_DAYS
    spanned = date.fromisoformat(last_day or "9999-12-31") - date.fromisoformat(first_day or "0001-01-01")
    return spanned.days > FEW_DAYS


def _a_file_a_day(delta: "DeltaTable") -> bool:
    """True when rows of a day are those of one row group: they arrive as written, whichever thread reads them."""
    files = _files(delta)
    return len({day for day, _, _ in files}) == len(files) and all(rows <= ROW_GROUP for _, _, rows in files)


def files_by_day(delta: "DeltaTable") -> dict[str, frozenset[str]]:
    """Day -> the data files that hold its rows; from the log alone."""
    files: dict[str, set[str]] = {}
    for day, path, _ in _files(delta):
        files.setdefault(day, set()).add(path)
    return {day: frozenset(paths) for day, paths in files.items()}


def rows_by_day(delta: "DeltaTable") -> dict[str, int]:
    """Day -> number of its rows; from the log alone, as every writer of ours records it."""
    counts: dict[str, int] = {}
    for day, _, rows in _files(delta):
        counts[day] = counts.get(day, 0) + rows
    return counts


def _files(delta: "DeltaTable") -> list[tuple[str, str, int]]:
    """(day, path, rows) of every data file of a daily table."""
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
    columns = (f"partition.{DAY}", "path", "num_records")
    return list(zip(*(actions[name].to_pylist() for name in columns), strict=True))
