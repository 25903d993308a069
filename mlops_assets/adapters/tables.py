"""Tables: versioned rows, replaced by day, one commit at a time.

Here: the interface ``Tables``, the real one (Delta Lake) and its in-memory twin. Belongs here: how rows are kept.
Does not: what the rows mean (``ml``), types of columns (``adapters.frames``).

A table is named by its asset key, joined by "/". A daily table is partitioned by its column ``day`` (ISO date). A
write replaces exactly the days it names, also when it has no rows for them, in one commit that says who wrote it; so
a run repeated, or killed and repeated, leaves the same rows. Two writers at once end one after the other: the later
one is told by Delta that its snapshot is old, and tries again.
"""

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlops_assets.adapters.conflicts import TableMoved, retried, unmoved
from mlops_assets.adapters.frames import (
    DAY,
    TableMismatch,
    TableMissing,
    arrow_schema,
    below,
    by_day,
    checked,
    described,
    fit,
    missing,
    news,
    settled,
)
from mlops_assets.contracts import TableVersion

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["DeltaTables", "MemoryTables", "TableMismatch", "TableMissing", "TableMoved", "Tables"]


class Tables(abc.ABC):
    """All tables of a deployment."""

    @abc.abstractmethod
    def replace(
        self, table: str, frame: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        """Make ``frame`` the rows of exactly those days, or of the whole table (None, for a table without days).

        The first write makes the table. ``commit`` (run id, code version) is kept with the version. New columns may
        be added; older rows have none in them. Raises TableMismatch when a row lies outside the days, a column of
        the table is missing or has another type; TypeError for a column of no type that tables keep.
        """

    @abc.abstractmethod
    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        """Add those rows whose ``key`` the table does not hold yet, in one commit; returns how many were added.

        For histories of hundreds of lines: the table (without days) is read and written whole. ``after`` is how many
        rows the writer saw (-1: any): when the table holds another number, nothing is added and TableMoved is raised.
        """

    @abc.abstractmethod
    def read(
        self,
        table: str,
        first_day: str | None = None,
        last_day: str | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Rows of the days from first to last (both included; None is open), ordered by day and as written.

        ``day`` is the first column of a daily table. Raises TableMissing when the table or that version of it does
        not exist.
        """

    @abc.abstractmethod
    def version(self, table: str) -> int | None:
        """The current version, or None without the table."""

    @abc.abstractmethod
    def days(self, table: str, version: int | None = None) -> list[str]:
        """The days that have rows, in order; empty without the table."""

    @abc.abstractmethod
    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """What each version was written with, newest first: ``version`` and the entries of ``commit``."""


class MemoryTables(Tables):
    """The twin: every version of every table in this process."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[pd.DataFrame, dict[str, str]]]] = {}
        self._daily: dict[str, bool] = {}

    def replace(
        self, table: str, frame: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        """As in Tables."""
        rows = checked(table, frame, days)
        versions = self._versions.setdefault(table, [(rows.iloc[:0], {})])
        current = versions[-1][0]
        daily = self._daily.setdefault(table, days is not None)
        fit(table, rows, dict(current.dtypes))
        kept = current.iloc[:0] if days is None else current[~current[DAY].isin(list(days))]
        parts = [part for part in (kept, rows) if len(part)] or [rows]
        merged = settled(pd.concat(parts, ignore_index=True).reindex(columns=list(rows.columns)))
        versions.append((by_day(merged) if daily else merged, dict(commit)))
        return described(table, len(versions) - 1, rows, days)

    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        current = self._versions[table][-1][0] if table in self._versions else frame.iloc[:0]
        unmoved(table, len(current), after)
        added = news(current, frame, key)
        if len(added) or table not in self._versions:
            self.replace(table, below(current, added), None, commit or {})
        return len(added)

    def read(
        self,
        table: str,
        first_day: str | None = None,
        last_day: str | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """As in Tables."""
        versions = self._versions.get(table, [])
        if not versions or (version is not None and not 0 <= version < len(versions)):
            raise TableMissing(missing(table, version))
        frame = versions[-1 if version is None else version][0]
        frame = frame[frame[DAY] >= first_day] if first_day else frame
        frame = frame[frame[DAY] <= last_day] if last_day else frame
        return frame[list(columns) if columns else list(frame.columns)].reset_index(drop=True)

    def version(self, table: str) -> int | None:
        return len(self._versions[table]) - 1 if table in self._versions else None

    def days(self, table: str, version: int | None = None) -> list[str]:
        if not self._daily.get(table, False):
            return []
        return sorted(self.read(table, version=version)[DAY].unique())

    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        written = enumerate(self._versions.get(table, []))
        commits: list[Mapping[str, Any]] = [{"version": n, **commit} for n, (_, commit) in written]
        return commits[::-1][:limit]


class DeltaTables(Tables):
    """Delta Lake tables in folders under one root, through deltalake (no Spark, no DuckDB extension)."""

    def __init__(self, root: Path | str) -> None:
        self._root = str(root)

    def replace(
        self, table: str, frame: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        """As in Tables."""
        rows = checked(table, frame, days)
        where = "true" if days is None else f"{DAY} IN ({', '.join(repr(day) for day in sorted(days))})"
        self._create(table, rows, partitioned=days is not None)
        version = retried(lambda: self._commit(table, self._open(table), rows, where, commit))
        return described(table, version, rows, days)

    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        """As in Tables."""
        rows = checked(table, frame, None)
        self._create(table, rows, partitioned=False)

        def append() -> int:
            delta = self._open(table)
            current = _frame(delta)
            unmoved(table, len(current), after)
            added = news(current, rows, key)
            if len(added):
                self._commit(table, delta, settled(below(current, added)), "true", commit or {})
            return len(added)

        return retried(append)

    def read(
        self,
        table: str,
        first_day: str | None = None,
        last_day: str | None = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """As in Tables."""
        return _frame(self._open(table, version), first_day, last_day, columns)

    def read_arrow(
        self, table: str, version: int | None, columns: Sequence[str], between: tuple[str, Any, Any]
    ) -> "pa.Table":
        """Rows whose instant lies between two ((column, first, last), None is open), as Arrow, in no order.

        Raises TableMissing.
        """
        column, first, last = between
        bounds = [(column, sign, value) for sign, value in ((">=", first), ("<=", last)) if value is not None]
        return self._open(table, version).to_pyarrow_table(filters=bounds or None, columns=list(columns))

    def version(self, table: str) -> int | None:
        return self._open(table).version() if self._exists(table) else None

    def days(self, table: str, version: int | None = None) -> list[str]:
        if not self._exists(table):
            return []
        return sorted({partition[DAY] for partition in self._open(table, version).partitions() if DAY in partition})

    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """As in Tables; with Delta's own entries (``timestamp``, ``operationMetrics``) beside them."""
        return list(self._open(table).history(limit)) if self._exists(table) else []

    def _path(self, table: str) -> str:
        return f"{self._root}/{table}"

    def _exists(self, table: str) -> bool:
        from deltalake import DeltaTable

        return DeltaTable.is_deltatable(self._path(table))

    def _open(self, table: str, version: int | None = None) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self._path(table), version=version)
        except DeltaError as error:
            raise TableMissing(f"{missing(table, version)}: {error}") from error

    def _create(self, table: str, rows: pd.DataFrame, *, partitioned: bool) -> None:
        """An empty table where there is none. Of two creators at once one makes it, the other is told and goes on."""
        from deltalake import DeltaTable
        from deltalake.exceptions import CommitFailedError

        if self._exists(table):
            return
        try:
            partition = [DAY] if partitioned else None
            DeltaTable.create(self._path(table), arrow_schema(rows), mode="ignore", partition_by=partition)
        except CommitFailedError:
            if not self._exists(table):
                raise

    def _commit(
        self, table: str, delta: "DeltaTable", rows: pd.DataFrame, where: str, commit: Mapping[str, str]
    ) -> int:
        """Replace the rows that ``where`` selects in this snapshot.

        Always with a predicate: an overwrite without one does not see what others appended since, and two of them on
        an empty table left the rows of both.
        """
        import pyarrow as pa
        from deltalake import CommitProperties, write_deltalake

        known = _empty(delta)
        fit(table, rows, dict(known.dtypes))
        rows = known if rows.empty else rows
        write_deltalake(
            delta,
            pa.Table.from_pandas(rows, schema=arrow_schema(rows), preserve_index=False),
            mode="overwrite",
            predicate=where,
            schema_mode="merge" if set(rows.columns) - set(known.columns) else None,
            commit_properties=CommitProperties(custom_metadata=dict(commit)),
        )
        return delta.version()


def _empty(delta: "DeltaTable") -> pd.DataFrame:
    import pyarrow as pa

    return settled(pa.schema(delta.schema()).empty_table().to_pandas())


def _frame(
    delta: "DeltaTable",
    first_day: str | None = None,
    last_day: str | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    bounds = [(DAY, sign, day) for sign, day in ((">=", first_day), ("<=", last_day)) if day]
    wanted = None if columns is None else list(dict.fromkeys([*columns, *delta.metadata().partition_columns]))
    rows = delta.to_pyarrow_table(filters=bounds or None, columns=wanted).to_pandas()
    frame = settled(rows)
    if delta.metadata().partition_columns:
        frame = by_day(frame)
    return frame if columns is None else frame[list(columns)]
