"""Tables: versioned rows, replaced by day, one commit at a time.

Here: the interface ``Tables`` and the real one (Delta Lake). Belongs here: how rows are kept. Does not: the twin
(``adapters.memory_tables``), what the rows mean (``ml``), types of columns (``adapters.frames``), how one Delta table
is opened and written (``adapters.delta``).

A table is named by its asset key, joined by "/". A daily table is partitioned by its column ``day`` (ISO date). A
write replaces exactly the days it names, also when it has no rows for them, in one commit that says who wrote it; so
a run repeated, or killed and repeated, leaves the same rows. Two writers at once end one after the other: the later
one is told by Delta that its snapshot is old, and tries again.
"""

import abc
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlops_assets.adapters import delta, delta_upkeep
from mlops_assets.adapters.conflicts import TableMoved, retried, unmoved
from mlops_assets.adapters.delta_scan import Span, scan
from mlops_assets.adapters.frames import (
    DAY,
    TableMismatch,
    TableMissing,
    checked,
    described,
    differing_days,
    missing,
    news,
    settled,
    untouched,
)
from mlops_assets.contracts import TableVersion

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["DeltaTables", "Make", "TableMismatch", "TableMissing", "TableMoved", "Tables"]


DAYS_AT_ONCE = 92
"""Days that a comparison holds in memory: a quarter of the biggest table takes some 50 MB."""
RETENTION_HOURS = 168
"""A week: longer than any run, and a night's vacuum can be looked into before what it left is gone too."""
Make = Callable[[pd.DataFrame], pd.DataFrame]
"""From the rows that a table holds for some days to those that it shall hold."""


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
    def revise(self, table: str, days: Sequence[str], make: Make, commit: Mapping[str, str]) -> TableVersion:
        """Make ``make(held)`` the rows of exactly those days, where ``held`` are those that the table holds for them.

        No other write comes between the rows that ``make`` sees and the commit: when one does, ``make`` is called
        again with what that one wrote. In a table that is new, ``held`` has no rows and only the column ``day``
        (``held.reindex(columns=...)`` gives it more). Otherwise as ``replace``.
        """

    @abc.abstractmethod
    def changed_days(
        self, table: str, version: int, first_day: str | None = None, last_day: str | None = None
    ) -> list[str]:
        """The days from first to last whose rows differ between that version and the current one, in order.

        Rows, not files: a compaction changes nothing. Raises TableMissing when the table, that version or its files
        are gone.
        """

    @abc.abstractmethod
    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        """Add those rows whose ``key`` the table does not hold yet, in one commit; returns how many were added.

        For a table without days. The rows that are there stay untouched; what was added has no place among them, so
        keep the order that matters in a column. Two writers at once add a key once. ``after`` is how many rows the
        writer saw (-1: any): when the table holds another number, nothing is added and TableMoved is raised.
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
    def row_counts(self, table: str, first_day: str | None = None, last_day: str | None = None) -> dict[str, int]:
        """Day -> number of its rows now, of the days that have any; empty without the table."""

    @abc.abstractmethod
    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """What each version was written with, newest first: ``version`` and the entries of ``commit``."""

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Every table, in order."""

    @abc.abstractmethod
    def compact(self, table: str) -> int:
        """Merge the small files of each day, no row changes; returns how many went into larger ones."""

    @abc.abstractmethod
    def vacuum(self, table: str, keep: Collection[int], older_than_hours: int | None = None) -> int:
        """Delete what only old versions need, but for those to keep; returns how many files (or versions) that were.

        What became unneeded less than so many hours ago stays (None: the deployment's retention). A deleted version is
        missing from then on. A version to keep that is not there keeps nothing and is no error.
        """

    @abc.abstractmethod
    def is_whole(self, table: str, version: int) -> bool:
        """True when that version can be read: the table, its log and every file are there."""


class DeltaTables(Tables):
    """Delta Lake tables in folders under one root, through deltalake (no Spark, no DuckDB extension)."""

    def __init__(self, root: Path | str, retention_hours: int = RETENTION_HOURS) -> None:
        self._root = str(root)
        self._retention_hours = retention_hours
        self._handles = delta.Handles()

    def replace(
        self, table: str, frame: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        """As in Tables."""
        rows = checked(table, frame, days)
        where = delta.days_where(days)
        delta.create(self._path(table), rows, partitioned=days is not None)
        version = retried(lambda: delta.commit(table, self._open(table), rows, where, commit))
        return described(table, version, rows, days)

    def revise(self, table: str, days: Sequence[str], make: Make, commit: Mapping[str, str]) -> TableVersion:
        """As in Tables."""
        if not delta.exists(self._path(table)):
            delta.create(self._path(table), checked(table, make(untouched()), days), partitioned=True)

        def write() -> TableVersion:
            opened = self._open(table)
            rows = checked(table, make(delta.rows_of(opened, days=days)), days)
            version = delta.commit(table, opened, rows, delta.days_where(days), commit)
            return described(table, version, rows, days)

        return retried(write)

    def changed_days(
        self, table: str, version: int, first_day: str | None = None, last_day: str | None = None
    ) -> list[str]:
        """As in Tables; from the log alone, but for days whose files differ."""
        then, now = self._open(table, version), self._open(table)
        before, after = delta.files_by_day(then), delta.files_by_day(now)
        days = [day for day in sorted({*before, *after}) if before.get(day) != after.get(day)]
        days = [day for day in days if (first_day or day) <= day <= (last_day or day)]
        blocks = [days[start : start + DAYS_AT_ONCE] for start in range(0, len(days), DAYS_AT_ONCE)]
        with self._files_of(table, version):
            pairs = ([delta.rows_of(opened, days=block) for opened in (then, now)] for block in blocks)
            return [day for old, new in pairs for day in differing_days(old, new)]

    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        """As in Tables."""
        rows = checked(table, frame, None)
        delta.create(self._path(table), rows, partitioned=False)

        def append() -> int:
            opened = self._open(table)
            held = delta.rows_of(opened, columns=[key])
            unmoved(table, len(held), after)
            added = news(held, rows, key)
            if len(added):
                delta.append(table, opened, settled(added), commit or {})
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
        opened = self._open(table, version)
        with self._files_of(table, version):
            return delta.rows_of(opened, first_day, last_day, columns)

    def read_arrow(
        self, table: str, version: int | None, columns: Sequence[str], span: Span, *, exact: bool = True
    ) -> "pa.Table":
        """Rows of a span of instants as Arrow, in no order; without ``exact`` perhaps others too.

        Raises TableMissing, KeyError for an unknown column.
        """
        opened = self._open(table, version)
        with self._files_of(table, version):
            return scan(opened, columns, span, exact=exact)

    def version(self, table: str) -> int | None:
        """As in Tables."""
        return self._open(table).version() if delta.exists(self._path(table)) else None

    def days(self, table: str, version: int | None = None) -> list[str]:
        """As in Tables."""
        if not delta.exists(self._path(table)):
            return []
        return sorted({partition[DAY] for partition in self._open(table, version).partitions() if DAY in partition})

    def row_counts(self, table: str, first_day: str | None = None, last_day: str | None = None) -> dict[str, int]:
        """As in Tables; from the log alone."""
        counts = delta.rows_by_day(self._open(table)) if delta.exists(self._path(table)) else {}
        return {day: rows for day, rows in sorted(counts.items()) if (first_day or day) <= day <= (last_day or day)}

    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """As in Tables; with Delta's own entries (``timestamp``, ``operationMetrics``) beside them."""
        return list(self._open(table).history(limit)) if delta.exists(self._path(table)) else []

    def names(self) -> list[str]:
        """As in Tables."""
        logs = Path(self._root).rglob("_delta_log")
        named = sorted(log.parent.relative_to(self._root).as_posix() for log in logs)
        # A writer that died while it made a table leaves a folder that is none.
        return [name for name in named if delta.exists(self._path(name))]

    def compact(self, table: str) -> int:
        """As in Tables."""
        return retried(lambda: delta_upkeep.compact(self._open(table)))

    def vacuum(self, table: str, keep: Collection[int], older_than_hours: int | None = None) -> int:
        """As in Tables; a table that was made before the log was kept for good gets that setting."""
        hours = self._retention_hours if older_than_hours is None else older_than_hours
        retried(lambda: delta_upkeep.keep_log(self._open(table)))
        # To a table in whose folder another one lies, that one's files are strangers.
        alone = not any(Path(self._path(table)).glob("*/**/_delta_log"))
        return retried(lambda: delta_upkeep.vacuum(self._open(table), keep, hours, strangers=alone))

    def is_whole(self, table: str, version: int) -> bool:
        """As in Tables; from the log and the folder, no file is read."""
        try:
            return delta_upkeep.is_whole(self._open(table, version))
        except TableMissing:
            return False

    def _path(self, table: str) -> str:
        return f"{self._root}/{table}"

    def _open(self, table: str, version: int | None = None) -> "DeltaTable":
        """The table at a version, or as it is now: a handle of this thread."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        path = self._path(table)
        try:
            return self._handles.newest(path) if version is None else DeltaTable(path, version=version)
        except DeltaError as error:
            raise TableMissing(f"{missing(table, version)}: {error}") from error

    @contextlib.contextmanager
    def _files_of(self, table: str, version: int | None) -> Iterator[None]:
        """Says TableMissing when the log still knows a version whose files are gone."""
        try:
            yield
        except FileNotFoundError as error:
            raise TableMissing(f"{missing(table, version)}; its files are gone: {error}") from error
