"""Dagster's own SQLite storage with a stopwatch on the writing of events.

Here: a storage that ``dagster.yaml`` can name. Does not belong here: any change of what is written.
"""

import time
from typing import Any, ClassVar

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage


class StopwatchEventLog(SqliteEventLogStorage):
    """Counts and times ``store_event`` for the process."""

    events: ClassVar[int] = 0
    seconds: ClassVar[float] = 0.0

    def store_event(self, event: Any) -> None:
        """As in SqliteEventLogStorage."""
        begin = time.perf_counter()
        super().store_event(event)
        StopwatchEventLog.events += 1
        StopwatchEventLog.seconds += time.perf_counter() - begin


class StopwatchStorage(DagsterSqliteStorage):
    """DagsterSqliteStorage with that event log."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        """As in DagsterSqliteStorage."""
        super().__init__(base_dir, inst_data)
        self._event_log_storage = StopwatchEventLog(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "StopwatchStorage":  # type: ignore[override]
        """As in DagsterSqliteStorage."""
        return cls.from_local(inst_data=inst_data, **config_value)
