"""Feast's SQLite file, read without Feast.

Here: ``SqliteOnlineReader``. Belongs here: the layout of that file. Does not: the bytes in it
(``adapters.feast_format``).
"""

import datetime as dt
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops_assets.adapters.feast_format import Key, Value, decode_value, entity_key
from mlops_assets.adapters.online_reader import OnlineReader, OnlineStoreError, Snapshot
from mlops_assets.ml.bundles import ViewInput

KEYS_AT_ONCE = 500
"""Keys per statement: SQLite's oldest limit on bound values is 999."""
KEPT_KEYS = 50_000
"""Decoded keys kept per view until the file changes; all are dropped when there are more."""


class SqliteOnlineReader(OnlineReader):
    """Feast's SQLite file. Used from one thread.

    Decoded keys are kept until the file changes (unless ``keep`` says no): ``PRAGMA data_version`` tells when another
    connection has committed, for the price of a look into shared memory, so a kept value is never older than the file.
    """

    def __init__(self, path: Path, project: str, patience_s: float = 0.25, *, keep: bool = True) -> None:
        """Name the file and Feast's project; ``patience_s`` is how long to wait for a writer that holds the lock."""
        self._path = path
        self._project = project
        self._patience_s = patience_s
        self._most_kept = KEPT_KEYS if keep else 0
        self._connection: sqlite3.Connection | None = None
        self._inode = -1
        self._data_version = -1
        self._kept: dict[str, dict[Key, Snapshot | None]] = {}

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """See OnlineReader."""
        return self.read_views([(view, keys)])[0]

    def read_views(self, wanted: Sequence[tuple[ViewInput, Sequence[Key]]]) -> list[Mapping[Key, Snapshot]]:
        """See OnlineReader."""
        try:
            connection = self._current()
            return [self._read(connection, view, keys) for view, keys in wanted]
        except (sqlite3.Error, OSError, struct.error, ValueError, IndexError) as error:
            self.close()
            names = ", ".join(view.name for view, _ in wanted)
            raise OnlineStoreError(f"cannot read {names} from {self._path}: {error}") from error

    def _read(self, connection: sqlite3.Connection, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        kept = self._kept.setdefault(view.name, {})
        if unknown := [key for key in dict.fromkeys(keys) if key not in kept]:
            kept |= self._fetch(connection, view, unknown)
        found = {key: snapshot for key in keys if (snapshot := kept[key]) is not None}
        if len(kept) > self._most_kept:
            kept.clear()
        return found

    def close(self) -> None:
        """Let the file go; the next read opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._inode, self._data_version = None, -1, -1
        self._kept.clear()

    def _current(self) -> sqlite3.Connection:
        """A connection to the file that is there now, with nothing kept that is older than it."""
        inode = self._path.stat().st_ino
        if self._connection is None or inode != self._inode:
            self.close()
            address = f"{self._path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(address, uri=True, timeout=self._patience_s, check_same_thread=False)
            self._connection.execute("PRAGMA query_only=1")
            self._inode = inode
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._data_version:
            self._kept.clear()
            self._data_version = version
        return self._connection

    def _fetch(
        self, connection: sqlite3.Connection, view: ViewInput, keys: Sequence[Key]
    ) -> dict[Key, Snapshot | None]:
        by_bytes = {entity_key(view.join_key, key): key for key in keys}
        values: dict[Key, dict[str, Value]] = {}
        times: dict[Key, float] = {}
        encoded = list(by_bytes)
        for first in range(0, len(encoded), KEYS_AT_ONCE):
            part = encoded[first : first + KEYS_AT_ONCE]
            for raw_key, feature, value, at in connection.execute(self._select(view, len(part)), part):
                key = by_bytes[raw_key]
                values.setdefault(key, {})[feature] = decode_value(value)
                times[key] = _seconds(at)
        return {key: Snapshot(times[key], values[key]) if key in values else None for key in keys}

    def _select(self, view: ViewInput, keys: int) -> str:
        table = f"{self._project}_{view.name}".replace('"', '""')
        marks = ", ".join("?" * keys)
        return f'SELECT entity_key, feature_name, value, event_ts FROM "{table}" WHERE entity_key IN ({marks})'


def _seconds(stored: int | str) -> float:
    """Event time as Feast stored it: an epoch that its adapter made of a naive UTC time, read as local time.

    On a machine in UTC the two are the same; elsewhere both sides are shifted alike, so read it as Feast does.
    """
    naive = dt.datetime.fromtimestamp(int(stored)) if isinstance(stored, int) else dt.datetime.fromisoformat(stored)
    return (naive if naive.tzinfo else naive.replace(tzinfo=dt.UTC)).timestamp()
