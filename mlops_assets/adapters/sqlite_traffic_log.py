"""The traffic log on disk: one SQLite file, write-ahead, synced at every commit.

Here: ``SqliteTrafficLog``. The server appends a whole batch in one transaction and lets the answers go only after the
commit; any number of processes read at the same time. Belongs here: SQL. Does not: what a record is
(``adapters.traffic_log``).

Several processes may write: a lock on a file beside the log lets one in after the other. SQLite's own way to wait is to
sleep and try again, which under load lets one writer starve while another has every turn.

Retention is not decided here (``assets.monitoring.retention``). A full disk, or a log as large as it may become, makes
``append`` raise: the server then answers 503 and keeps trying, for an answer that is not on record is not given. What
is forgotten makes room in the file at once.
"""

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from mlops_assets.adapters.traffic_log import ArmScore, TrafficLog, TrafficLogError, TrafficRecord
from mlops_assets.ml.bundles import ModelFeature

SCHEMA = """
CREATE TABLE IF NOT EXISTS traffic (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, event_time TEXT NOT NULL, day TEXT NOT NULL,
    model TEXT NOT NULL, entity_id TEXT NOT NULL, arm TEXT NOT NULL, version INTEGER, digest TEXT, score REAL NOT NULL,
    scores TEXT NOT NULL, request TEXT NOT NULL, features BLOB NOT NULL, features_digest TEXT,
    feature_times TEXT NOT NULL, missing INTEGER NOT NULL, latency_ms REAL NOT NULL, received_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS traffic_by_day ON traffic (day, model);
CREATE TABLE IF NOT EXISTS signatures (features_digest TEXT PRIMARY KEY, features TEXT NOT NULL);
"""
FIELDS = TrafficRecord.__struct_fields__
JSON_FIELDS = frozenset({"scores", "request", "feature_times"})
INSERT = (
    f"INSERT INTO traffic ({', '.join(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
    "ON CONFLICT (request_id) DO NOTHING"
)
ADD_SCORE = (
    "UPDATE traffic SET scores = json_insert(scores, '$[#]', json(?)) WHERE request_id = ? AND scores NOT LIKE ?"
)
SELECT = f"SELECT {', '.join(FIELDS)} FROM traffic"
LOOK_UP_AT_ONCE = 500
"""Ids per statement: SQLite's oldest limit on bound values is 999."""


class SqliteTrafficLog(TrafficLog):
    """A log in one SQLite file, write-ahead, synced to disk at every commit.

    Any number of processes append, each from one thread at a time; any number of processes read.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        """Name the file; the first ``append`` or ``open`` makes it. ``max_bytes``: never larger, by this writer."""
        self._path = path
        self._max_bytes = max_bytes
        self._writer: sqlite3.Connection | None = None
        self._lock: IO[bytes] | None = None
        self._known: set[str] = set()

    def open(self) -> None:
        """Make the file and its tables. Raises TrafficLogError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._turn():
                connection = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.executescript(SCHEMA)
            if self._max_bytes is not None:
                (page,) = connection.execute("PRAGMA page_size").fetchone()
                connection.execute(f"PRAGMA max_page_count={max(1, self._max_bytes // page)}")
        except (sqlite3.Error, OSError) as error:
            raise TrafficLogError(f"cannot open {self._path}: {error}") from error
        self._writer = connection

    def append(
        self, records: Sequence[TrafficRecord], features: Mapping[str, Sequence[ModelFeature]] | None = None
    ) -> Mapping[str, TrafficRecord]:
        """See TrafficLog."""
        connection = self._connection()
        new = {digest: columns for digest, columns in (features or {}).items() if digest not in self._known}
        known: dict[str, TrafficRecord] = {}
        try:
            with self._turn(), _all_or_nothing(connection):
                if self._insert(connection, records, new) < len(records):
                    # Seldom, so that a batch of new ids pays nothing for it. It is our turn: nobody writes in between.
                    connection.execute("ROLLBACK")
                    known = self.find([record.request_id for record in records])
                    self._insert(connection, records, new)
        except (sqlite3.Error, OSError) as error:
            raise TrafficLogError(f"cannot write {self._path}: {error}") from error
        self._known.update(new)
        return {record.request_id: was for record in records if (was := known.get(record.request_id, record)) != record}

    def _insert(
        self,
        connection: sqlite3.Connection,
        records: Sequence[TrafficRecord],
        new: Mapping[str, Sequence[ModelFeature]],
    ) -> int:
        """How many were new; the transaction is left open."""
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT OR IGNORE INTO signatures VALUES (?, ?)",
            [(digest, msgspec.json.encode(columns).decode()) for digest, columns in new.items()],
        )
        return connection.executemany(INSERT, map(_to_row, records)).rowcount if records else 0

    def add_scores(self, scores: Sequence[tuple[str, ArmScore]]) -> None:
        """See TrafficLog."""
        told = [(msgspec.json.encode(score).decode(), key, f'%"arm":"{score.arm}"%') for key, score in scores]
        connection = self._connection()
        try:
            with self._turn(), _all_or_nothing(connection):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(ADD_SCORE, told)
        except (sqlite3.Error, OSError) as error:
            raise TrafficLogError(f"cannot write {self._path}: {error}") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The only writer on this machine; the system wakes who waits, and lets go for a writer that died."""
        if self._lock is None:
            self._lock = self._path.with_name(f"{self._path.name}.lock").open("ab")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def find(self, request_ids: Sequence[str]) -> dict[str, TrafficRecord]:
        """See TrafficLog. Raises TrafficLogError."""
        connection = self._connection()
        found: dict[str, TrafficRecord] = {}
        try:
            for first in range(0, len(request_ids), LOOK_UP_AT_ONCE):
                part = request_ids[first : first + LOOK_UP_AT_ONCE]
                rows = connection.execute(f"{SELECT} WHERE request_id IN ({', '.join('?' * len(part))})", part)
                found |= {record.request_id: record for record in map(_to_record, rows)}
        except sqlite3.Error as error:
            raise TrafficLogError(f"cannot read {self._path}: {error}") from error
        return found

    def read(self, day: str | None = None, model: str | None = None) -> list[TrafficRecord]:
        """See TrafficLog."""
        where, values = _where(day=day, model=model)
        return [_to_record(row) for row in self._query(f"{SELECT}{where} ORDER BY seq", values)]

    def days(self, model: str | None = None) -> list[str]:
        """See TrafficLog."""
        where, values = _where(model=model)
        return [row[0] for row in self._query(f"SELECT DISTINCT day FROM traffic{where} ORDER BY day", values)]

    def forget(self, request_ids: Sequence[str]) -> int:
        """See TrafficLog; in small steps, so that the server's own writes get between them. Raises TrafficLogError."""
        if not self._path.exists():
            return 0
        forgotten = 0
        try:
            with closing(self._reader()) as connection:
                for first in range(0, len(request_ids), LOOK_UP_AT_ONCE):
                    part = request_ids[first : first + LOOK_UP_AT_ONCE]
                    marks = ", ".join("?" * len(part))
                    with self._turn(), connection:
                        done = connection.execute(f"DELETE FROM traffic WHERE request_id IN ({marks})", part)
                        forgotten += done.rowcount
        except (sqlite3.Error, OSError) as error:
            raise TrafficLogError(f"cannot write {self._path}: {error}") from error
        return forgotten

    def features(self, features_digest: str) -> tuple[ModelFeature, ...]:
        """See TrafficLog."""
        found = self._query("SELECT features FROM signatures WHERE features_digest = ?", [features_digest])
        if not found:
            raise KeyError(features_digest)
        return msgspec.json.decode(found[0][0], type=tuple[ModelFeature, ...])

    def close(self) -> None:
        """Close the writer's connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self.open()
        assert self._writer is not None
        return self._writer

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=5)

    def _query(self, statement: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
        if not self._path.exists():
            return []
        try:
            with closing(self._reader()) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            # The server makes the file first and its tables an instant later: until then the log is empty.
            if "no such table" in str(error):
                return []
            raise TrafficLogError(f"cannot read {self._path}: {error}") from error


def _where(**wanted: str | None) -> tuple[str, list[str]]:
    given = {name: value for name, value in wanted.items() if value is not None}
    conditions = " AND ".join(f"{name} = ?" for name in given)
    return (f" WHERE {conditions}" if given else ""), list(given.values())


def _to_row(record: TrafficRecord) -> list[Any]:
    values = msgspec.structs.astuple(record)
    return [
        msgspec.json.encode(value).decode() if name in JSON_FIELDS else value
        for name, value in zip(FIELDS, values, strict=True)
    ]


def _to_record(row: Sequence[Any]) -> TrafficRecord:
    plain = {
        name: msgspec.json.decode(value) if name in JSON_FIELDS else value
        for name, value in zip(FIELDS, row, strict=True)
    }
    return msgspec.convert(plain, TrafficRecord)


@contextmanager
def _all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the transaction that the block leaves open; roll it back when anything fails."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
