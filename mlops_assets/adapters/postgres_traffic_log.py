"""The traffic log in Postgres: one log that the replicas of a server share.

Here: ``PostgresTrafficLog``. A whole batch is one statement, hence one transaction and one sync of the disk; the
answers go only after it. Belongs here: SQL, connections. Does not: what a record is (``adapters.traffic_log``).

Two replicas may be asked the same thing at once (a caller that timed out asks again, and another replica hears it). The
request id is the primary key, so one record stays, and ``append`` tells the other replica what was answered. Ids go in
in one order, whoever sends them, so that two batches which share ids wait for each other and never for ever.

What limits the size of this log is the database server's own business. It needs a connection of its own: a pooler that
hands connections over between transactions loses the session's settings.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from mlops_assets.adapters.traffic_log import ArmScore, TrafficLog, TrafficLogError, TrafficRecord
from mlops_assets.ml.bundles import ModelFeature

SCHEMA = """
SELECT pg_advisory_xact_lock(7057);
CREATE SEQUENCE IF NOT EXISTS mlops_traffic_batches;
CREATE TABLE IF NOT EXISTS mlops_traffic (
    request_id text COLLATE "C" PRIMARY KEY, event_time text NOT NULL, day text NOT NULL, model text NOT NULL,
    entity_id text NOT NULL, arm text NOT NULL, version bigint, digest text, score double precision NOT NULL,
    scores text NOT NULL, request text NOT NULL, features bytea NOT NULL, features_digest text,
    feature_times text NOT NULL, missing bigint NOT NULL, latency_ms double precision NOT NULL,
    received_at text NOT NULL, batch bigint NOT NULL, place bigint NOT NULL);
CREATE INDEX IF NOT EXISTS mlops_traffic_by_day ON mlops_traffic (day, model, batch, place);
CREATE TABLE IF NOT EXISTS mlops_traffic_columns (features_digest text PRIMARY KEY, features text NOT NULL);
"""
"""The lock is for replicas that start together: ``IF NOT EXISTS`` alone lets one of them fail."""
TYPES: Mapping[LiteralString, LiteralString] = {
    "request_id": "text", "event_time": "text", "day": "text", "model": "text", "entity_id": "text", "arm": "text",
    "version": "bigint", "digest": "text", "score": "double precision", "scores": "text", "request": "text",
    "features": "bytea", "features_digest": "text", "feature_times": "text", "missing": "bigint",
    "latency_ms": "double precision", "received_at": "text",
}  # fmt: skip
"""Column -> type, in the order of TrafficRecord's fields."""
COLUMNS: LiteralString = ", ".join(TYPES)
ARRAYS: LiteralString = ", ".join("%s::" + kind + "[]" for kind in TYPES.values())
INSERT: LiteralString = (
    "WITH told AS (INSERT INTO mlops_traffic_columns SELECT * FROM unnest(%s::text[], %s::text[]) "
    "ON CONFLICT DO NOTHING), this AS MATERIALIZED (SELECT nextval('mlops_traffic_batches') AS batch) "
    f"INSERT INTO mlops_traffic ({COLUMNS}, place, batch) SELECT sent.*, this.batch "
    f"FROM unnest({ARRAYS}) WITH ORDINALITY AS sent ({COLUMNS}, place), this "
    'ORDER BY request_id COLLATE "C" ON CONFLICT (request_id) DO NOTHING'
)
ADD_SCORES: LiteralString = (
    "UPDATE mlops_traffic SET scores = CASE scores WHEN '[]' THEN '[' ELSE left(scores, -1) || ',' END || said || ']' "
    "FROM unnest(%s::text[], %s::text[], %s::text[]) AS later (key, said, mark) "
    "WHERE request_id = key AND scores NOT LIKE mark"
)
"""As text: the numbers stay as they were written."""
SELECT: LiteralString = f"SELECT {COLUMNS} FROM mlops_traffic"
JSON_FIELDS = frozenset({"scores", "request", "feature_times"})
FREE_TEXT = frozenset({"request_id", "entity_id"})
"""Callers choose these; a Postgres text holds every character but the first one of all."""
DELETE_AT_ONCE = 5000
ROWS_AT_ONCE = 2000
"""Rows that a reader fetches together: a day of traffic is not held twice in memory."""
PATIENCE_MS = 10_000
"""A statement, or a network that swallows it, takes no longer than this: the callers behind the batch are waiting."""
SESSION = {"application_name": "mlops_assets", "connect_timeout": 5, "tcp_user_timeout": PATIENCE_MS}
WRITING = {
    # Of several hosts the one that is primary now; a server may be set to answer before the disk has it: not to us.
    "target_session_attrs": "read-write",
    "options": f"-c synchronous_commit=on -c statement_timeout={PATIENCE_MS}",
}


class PostgresTrafficLog(TrafficLog):
    """A log in a Postgres database. Any number of processes append and read; each appends from one thread at a time."""

    def __init__(self, address: str) -> None:
        """``postgresql://user:password@host/database``, or without the password where libpq finds it elsewhere."""
        try:
            known = conninfo_to_dict(address)
        except psycopg.Error:
            # Without the cause: what cannot be read may be the password, and the cause shows it.
            raise TrafficLogError("the traffic log's address cannot be read: see MLOPS_TRAFFIC_LOG") from None
        self._known = {**SESSION, **known}
        self._name = f"the traffic log at {known.get('host', 'localhost')}/{known.get('dbname', '')}"
        self._writer: psycopg.Connection | None = None
        self._told: set[str] = set()

    def open(self) -> None:
        """Connect and make the tables. Raises TrafficLogError."""
        with self._failing("cannot open"):
            connection = self._connected(**WRITING)
            with connection.transaction():
                connection.execute(SCHEMA)
            self._writer = connection

    def append(
        self, records: Sequence[TrafficRecord], features: Mapping[str, Sequence[ModelFeature]] | None = None
    ) -> Mapping[str, TrafficRecord]:
        """See TrafficLog."""
        new = {digest: columns for digest, columns in (features or {}).items() if digest not in self._told}
        texts = [msgspec.json.encode(columns).decode() for columns in new.values()]
        columns = zip(*map(_to_row, records), strict=True) if records else ([] for _ in TYPES)
        with self._failing("cannot write"):
            kept = self._again_if_lost(INSERT, [list(new), texts, *map(list, columns)]).rowcount
        self._told.update(new)
        if kept == len(records):
            return {}
        mine = {record.request_id: record for record in records}
        return {key: record for key, record in self.find(list(mine)).items() if record != mine[key]}

    def add_scores(self, scores: Sequence[tuple[str, ArmScore]]) -> None:
        """See TrafficLog."""
        said = [(_escaped(key), msgspec.json.encode(score).decode(), f'%"arm":"{score.arm}"%') for key, score in scores]
        if said:
            with self._failing("cannot write"):
                self._again_if_lost(ADD_SCORES, [list(column) for column in zip(*sorted(said), strict=True)])

    def find(self, request_ids: Sequence[str]) -> dict[str, TrafficRecord]:
        """See TrafficLog. Raises TrafficLogError."""
        with self._failing("cannot read"):
            rows = self._again_if_lost(f"{SELECT} WHERE request_id = ANY(%s)", [list(map(_escaped, request_ids))])
            return {record.request_id: record for record in map(_to_record, rows)}

    def read(self, day: str | None = None, model: str | None = None) -> list[TrafficRecord]:
        """See TrafficLog. Raises TrafficLogError."""
        where = "WHERE (%(day)s::text IS NULL OR day = %(day)s) AND (%(model)s::text IS NULL OR model = %(model)s)"
        return [
            _to_record(row)
            for row in self._rows(f"{SELECT} {where} ORDER BY batch, place", {"day": day, "model": model})
        ]

    def days(self, model: str | None = None) -> list[str]:
        """See TrafficLog. Raises TrafficLogError."""
        where = "WHERE %(model)s::text IS NULL OR model = %(model)s"
        return [
            row[0]
            for row in self._rows(f"SELECT DISTINCT day FROM mlops_traffic {where} ORDER BY day", {"model": model})
        ]

    def features(self, features_digest: str) -> tuple[ModelFeature, ...]:
        """See TrafficLog. Raises TrafficLogError."""
        statement = "SELECT features FROM mlops_traffic_columns WHERE features_digest = %(digest)s"
        for (found,) in self._rows(statement, {"digest": features_digest}):
            return msgspec.json.decode(found, type=tuple[ModelFeature, ...])
        raise KeyError(features_digest)

    def forget(self, request_ids: Sequence[str]) -> int:
        """See TrafficLog; in small steps, so that the server's own writes get between them. Raises TrafficLogError."""
        forgotten, ids = 0, [_escaped(key) for key in request_ids]
        none_yet = contextlib.suppress(psycopg.errors.UndefinedTable)
        with self._failing("cannot write"), contextlib.closing(self._connected()) as connection, none_yet:
            for first in range(0, len(ids), DELETE_AT_ONCE):
                part = ids[first : first + DELETE_AT_ONCE]
                done = connection.execute("DELETE FROM mlops_traffic WHERE request_id = ANY(%s)", [part])
                forgotten += done.rowcount
        return forgotten

    def close(self) -> None:
        """Close the writer's connection."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _connected(self, **also: Any) -> psycopg.Connection:
        return psycopg.connect(**{**also, **self._known}, autocommit=True)

    def _again_if_lost(self, statement: LiteralString, values: Sequence[Any]) -> psycopg.Cursor:
        """Execute on the writer's connection, once more on a new one when the old one turns out to be dead.

        Whether the lost statement was carried out is not known, and need not be: ids that are there are left alone.
        """
        if self._writer is not None:
            try:
                return self._writer.execute(statement, values)
            except (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction) as error:
                demoted = isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
                if not (self._writer.broken or demoted):
                    raise
                self.close()
        self.open()
        assert self._writer is not None
        return self._writer.execute(statement, values)

    def _rows(self, statement: LiteralString, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        with self._failing("cannot read"), contextlib.closing(self._connected()) as connection:
            # The server makes its tables at its start: until then the log is empty.
            none_yet = contextlib.suppress(psycopg.errors.UndefinedTable)
            with none_yet, connection.transaction(), connection.cursor(name="traffic") as cursor:
                cursor.itersize = ROWS_AT_ONCE
                yield from cursor.execute(statement, values)

    @contextlib.contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise TrafficLogError(f"{what} {self._name}: {told}") from error


def _to_row(record: TrafficRecord) -> list[Any]:
    return [_sent(name, value) for name, value in zip(TYPES, msgspec.structs.astuple(record), strict=True)]


def _sent(name: str, value: Any) -> Any:
    if name in JSON_FIELDS:
        return msgspec.json.encode(value).decode()
    return _escaped(value) if name in FREE_TEXT else value


def _to_record(row: Sequence[Any]) -> TrafficRecord:
    return msgspec.convert({name: _read(name, value) for name, value in zip(TYPES, row, strict=True)}, TrafficRecord)


def _read(name: str, value: Any) -> Any:
    if name in JSON_FIELDS:
        return msgspec.json.decode(value)
    return _restored(value) if name in FREE_TEXT else value


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\0", "\\0") if "\\" in text or "\0" in text else text


def _restored(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else "\\", text) if "\\" in text else text
