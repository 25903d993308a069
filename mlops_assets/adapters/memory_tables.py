"""Tables in the memory of one process, for tests and trials.

Here: ``MemoryTables``. Belongs here: nothing else. Does not: promises of its own (``adapters.tables``).
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from mlops_assets.adapters.conflicts import unmoved
from mlops_assets.adapters.frames import (
    DAY,
    TableMissing,
    by_day,
    checked,
    described,
    differing_days,
    fit,
    missing,
    news,
    settled,
    untouched,
)
from mlops_assets.adapters.tables import RETENTION_HOURS, Make, Tables
from mlops_assets.contracts import TableVersion


class MemoryTables(Tables):
    """The twin: every version of every table in this process."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[pd.DataFrame, dict[str, str]]]] = {}
        self._written_at: dict[str, list[float]] = {}
        self._gone: set[tuple[str, int]] = set()
        self._daily: dict[str, bool] = {}

    def replace(
        self, table: str, frame: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        """As in Tables."""
        rows = checked(table, frame, days)
        return self._put(table, rows, days, commit)

    def revise(self, table: str, days: Sequence[str], make: Make, commit: Mapping[str, str]) -> TableVersion:
        """As in Tables."""
        held = untouched()
        if table in self._versions:
            current = self._versions[table][-1][0]
            held = current[current[DAY].isin(list(days))].reset_index(drop=True)
        return self._put(table, checked(table, make(held), days), days, commit)

    def changed_days(
        self, table: str, version: int, first_day: str | None = None, last_day: str | None = None
    ) -> list[str]:
        """As in Tables."""
        old, new = (self.read(table, first_day, last_day, wanted) for wanted in (version, None))
        return differing_days(old, new)

    def _put(
        self, table: str, rows: pd.DataFrame, days: Sequence[str] | None, commit: Mapping[str, str]
    ) -> TableVersion:
        versions = self._versions.setdefault(table, [(rows.iloc[:0], {})])
        current = versions[-1][0]
        daily = self._daily.setdefault(table, days is not None)
        fit(table, rows, dict(current.dtypes))
        kept = current.iloc[:0] if days is None else current[~current[DAY].isin(list(days))]
        parts = [part for part in (kept, rows) if len(part)] or [rows]
        merged = settled(pd.concat(parts, ignore_index=True).reindex(columns=list(rows.columns)))
        versions.append((by_day(merged) if daily else merged, dict(commit)))
        self._written_at.setdefault(table, [time.time()]).append(time.time())
        return described(table, len(versions) - 1, rows, days)

    def append_once(
        self, table: str, frame: pd.DataFrame, key: str, commit: Mapping[str, str] | None = None, after: int = -1
    ) -> int:
        """As in Tables."""
        current = self._versions[table][-1][0] if table in self._versions else frame.iloc[:0]
        unmoved(table, len(current), after)
        added = news(current, frame, key)
        fit(table, added, dict(current.dtypes))
        if len(added) or table not in self._versions:
            parts = [part for part in (current, added) if len(part)] or [added]
            self.replace(table, pd.concat(parts, ignore_index=True), None, commit or {})
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
        if not versions or (version is not None and not self.is_whole(table, version)):
            raise TableMissing(missing(table, version))
        frame = versions[-1 if version is None else version][0]
        frame = frame[frame[DAY] >= first_day] if first_day else frame
        frame = frame[frame[DAY] <= last_day] if last_day else frame
        return frame[list(columns) if columns else list(frame.columns)].reset_index(drop=True)

    def version(self, table: str) -> int | None:
        """As in Tables."""
        return len(self._versions[table]) - 1 if table in self._versions else None

    def days(self, table: str, version: int | None = None) -> list[str]:
        """As in Tables."""
        if not self._daily.get(table, False):
            return []
        return sorted(self.read(table, version=version)[DAY].unique())

    def row_counts(self, table: str, first_day: str | None = None, last_day: str | None = None) -> dict[str, int]:
        """As in Tables."""
        days = self.read(table, first_day, last_day, columns=[DAY])[DAY] if table in self._versions else pd.Series([])
        return {str(day): int(rows) for day, rows in days.value_counts().sort_index().items()}

    def commits(self, table: str, limit: int | None = None) -> list[Mapping[str, Any]]:
        """As in Tables."""
        written = enumerate(self._versions.get(table, []))
        commits: list[Mapping[str, Any]] = [{"version": n, **commit} for n, (_, commit) in written]
        return commits[::-1][:limit]

    def names(self) -> list[str]:
        """As in Tables."""
        return sorted(self._versions)

    def compact(self, table: str) -> int:
        """As in Tables; there are no files."""
        del table
        return 0

    def vacuum(self, table: str, keep: Collection[int], older_than_hours: int | None = None) -> int:
        """As in Tables."""
        hours = RETENTION_HOURS if older_than_hours is None else older_than_hours
        # A version became unneeded when the next one was written.
        superseded = enumerate(self._written_at[table][1:])
        old = {(table, version) for version, at in superseded if at <= time.time() - hours * 3600}
        doomed = old - self._gone - {(table, version) for version in keep}
        self._gone |= doomed
        return len(doomed)

    def is_whole(self, table: str, version: int) -> bool:
        """As in Tables."""
        return 0 <= version < len(self._versions.get(table, ())) and (table, version) not in self._gone
