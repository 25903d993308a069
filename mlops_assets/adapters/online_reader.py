"""Reading Feast's SQLite online store without importing Feast.

Here: the interface ``OnlineReader``, its in-memory twin, the reader of Feast's file, and the two formats it needs:
the entity key (serialization version 3) and the scalar fields of Feast's ``Value`` message. Belongs here: what Feast
fixed about its online store. Does not: writing to it (``adapters.feature_store``), what a missing or old value means
(``serving.features``).

Why not Feast's own client: importing it costs 5 s and 200 MB, and one row of four views takes it 0.3 ms. A contract
test compares every value with ``get_online_features``.
"""

import datetime as dt
import sqlite3
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlops_assets.ml.bundles import ViewInput

Key = str | int
Value = float | int | str | bool | None

STRING_TYPE, INT64_TYPE = 2, 4
"""Feast's ``ValueType`` numbers of the two kinds of join keys."""
KEYS_AT_ONCE = 500
"""Keys per statement: SQLite's oldest limit on bound values is 999."""
KEPT_KEYS = 50_000
"""Decoded keys kept per view until the file changes; all are dropped when there are more."""


class Snapshot(NamedTuple):
    """The latest values of one key in one view."""

    at: float
    """Event time, seconds since 1970 UTC."""
    values: Mapping[str, Value]


class OnlineStoreError(RuntimeError):
    """The online store is not there, not applied or not readable."""


class OnlineReader(ABC):
    """The latest feature values by key."""

    @abstractmethod
    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """What the store holds of these keys; a key it does not know is absent. One batched read.

        Raises OnlineStoreError.
        """


class MemoryOnlineReader(OnlineReader):
    """An online store in the memory of this process; ``put`` fills it."""

    def __init__(self) -> None:
        """An empty store."""
        self._snapshots: dict[str, dict[Key, Snapshot]] = {}

    def put(self, view: str, key: Key, at: float, values: Mapping[str, Value]) -> None:
        """Keep the values of one key, in place of older ones."""
        self._snapshots.setdefault(view, {})[key] = Snapshot(at, dict(values))

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """See OnlineReader."""
        held = self._snapshots.get(view.name, {})
        return {key: held[key] for key in keys if key in held}


class SqliteOnlineReader(OnlineReader):
    """Feast's SQLite file. Used from one thread.

    Decoded keys are kept until the file changes: ``PRAGMA data_version`` tells when another connection has committed,
    for the price of a look into shared memory, so a kept value is never older than the file.
    """

    def __init__(self, path: Path, project: str, patience_s: float = 0.25) -> None:
        """Name the file and Feast's project; ``patience_s`` is how long to wait for a writer that holds the lock."""
        self._path = path
        self._project = project
        self._patience_s = patience_s
        self._connection: sqlite3.Connection | None = None
        self._inode = -1
        self._data_version = -1
        self._kept: dict[str, dict[Key, Snapshot | None]] = {}

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """See OnlineReader."""
        try:
            connection = self._current()
            kept = self._kept.setdefault(view.name, {})
            if unknown := [key for key in dict.fromkeys(keys) if key not in kept]:
                kept |= self._fetch(connection, view, unknown)
        except (sqlite3.Error, OSError, struct.error, ValueError, IndexError) as error:
            self.close()
            raise OnlineStoreError(f"cannot read view {view.name} from {self._path}: {error}") from error
        found = {key: snapshot for key in keys if (snapshot := kept[key]) is not None}
        if len(kept) > KEPT_KEYS:
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


def entity_key(join_key: str, value: Key) -> bytes:
    """Feast's serialization (version 3) of a key made of one column.

    Number of columns, then type, length and bytes of the name, then type, length and bytes of the value; all numbers
    are little-endian uint32. Source: ``feast.infra.key_encoding_utils.serialize_entity_key``.
    """
    name = join_key.encode()
    kind, content = (STRING_TYPE, value.encode()) if isinstance(value, str) else (INT64_TYPE, struct.pack("<q", value))
    head = struct.pack("<III", 1, STRING_TYPE, len(name)) + name
    return head + struct.pack("<II", kind, len(content)) + content


def decode_value(message: bytes) -> Value:
    """The scalar in a Feast ``Value`` message; None for an unset or null one.

    A ``Value`` is one protobuf field: string 2, int32 3, int64 4, double 5, float 6, bool 7, timestamp 8, null 19.
    Raises OnlineStoreError on anything else (lists, maps): no model here eats them.
    """
    if not message:
        return None
    tag, start = _varint(message, 0)
    reader = _READERS.get(tag)
    if reader is None:
        raise OnlineStoreError(f"the online store holds a value of field {tag >> 3}, which is not a scalar")
    return reader(message, start)


def _varint(message: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(start, len(message)):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise OnlineStoreError("the online store holds a truncated value")


def _integer(message: bytes, start: int) -> int:
    value, _ = _varint(message, start)
    return value - (1 << 64) if value >> 63 else value


def _text(message: bytes, start: int) -> str:
    length, begin = _varint(message, start)
    return message[begin : begin + length].decode()


_READERS = {
    2 << 3 | 2: _text,
    3 << 3 | 0: _integer,
    4 << 3 | 0: _integer,
    5 << 3 | 1: lambda message, start: struct.unpack_from("<d", message, start)[0],
    6 << 3 | 5: lambda message, start: struct.unpack_from("<f", message, start)[0],
    7 << 3 | 0: lambda message, start: bool(message[start]),
    8 << 3 | 0: _integer,
    19 << 3 | 0: lambda message, start: None,
}
"""Tag (field number and wire type) -> reader of what follows it."""


def _seconds(stored: int | str) -> float:
    """Event time as Feast stored it: an epoch that its adapter made of a naive UTC time, read as local time.

    On a machine in UTC the two are the same; elsewhere both sides are shifted alike, so read it as Feast does.
    """
    naive = dt.datetime.fromtimestamp(int(stored)) if isinstance(stored, int) else dt.datetime.fromisoformat(stored)
    return (naive if naive.tzinfo else naive.replace(tzinfo=dt.UTC)).timestamp()
