"""Feast's own online stores, SQLite and Redis, that never let an older snapshot take the place of a newer one.

Here: what is written and what is left. Belongs here: the rule about two writers (the hourly feed, the daily asset,
``feast materialize``) of one key. Does not: which store a deployment has (``adapters.feast_state``), reading without
Feast (``adapters.sqlite_online_reader``, ``adapters.redis_online_reader``).

A snapshot is written when it is not older than what is there (event, then created) and says something else; so a
write that broke off is completed by writing again, and writes nothing twice. The values stay in Feast's own format.
Feast's SQLite store overwrites whatever is there; its Redis store asks for the time first and writes afterwards, and
knows no created time, so a corrected value of the same hour would be left out.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from feast.feature_view import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore
from feast.infra.online_stores.sqlite import SqliteOnlineStore, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.utils import make_tzaware, to_naive_utc
from google.protobuf.timestamp_pb2 import Timestamp

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""One snapshot as Feast hands it over: key, values, event time, created time."""
Progress = Callable[[int], Any] | None
KEYS_AT_ONCE = 500
"""Keys per statement: SQLite's oldest limit on bound values is 999."""


class NewestSqliteStore(SqliteOnlineStore):
    """Feast's SQLite store in WAL mode (readers go on while it writes), with the rule."""

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        known = self._conn is not None
        connection = super()._get_conn(config)
        if not known:
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit survives the end of the process, not of the machine: what is online can be materialized again.
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress = None
    ) -> None:
        """As in OnlineStore; one transaction."""
        connection = self._get_conn(config)
        with _immediate(connection):
            held = self._held(connection, config, table, [row[0] for row in data])
            ordered = sorted(data, key=_clocks)
            news = [row for row in ordered if _is_news(row, held.get(_raw_key(config, row[0])))]
            if news:
                super().online_write_batch(config, table, news, progress)

    def _held(
        self, connection: sqlite3.Connection, config: RepoConfig, table: FeatureView, keys: Sequence[EntityKey]
    ) -> dict[bytes, tuple[tuple[int, int], dict[str, bytes]]]:
        """Key -> its clocks and values, as they are stored."""
        known: Any = config.registry
        name = _table_id(config.project, table, known.enable_online_feature_view_versioning)
        raw, held = [_raw_key(config, key) for key in keys], {}
        for first in range(0, len(raw), KEYS_AT_ONCE):
            part = raw[first : first + KEYS_AT_ONCE]
            # Casts, or Feast's converters make times of the numbers.
            query = (
                "SELECT entity_key, feature_name, value, CAST(event_ts AS INTEGER), "
                f'CAST(coalesce(created_ts, event_ts) AS INTEGER) FROM "{name}" '
                f"WHERE entity_key IN ({', '.join('?' * len(part))})"
            )
            for key, feature, value, event, created in connection.execute(query, part):
                held.setdefault(key, ((event, created), {}))[1][feature] = value
        return held


class NewestRedisStore(RedisOnlineStore):
    """Feast's Redis store with the rule, key by key inside the server: nobody comes between the look and the write."""

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Progress = None
    ) -> None:
        """As in OnlineStore; one round trip, each key at once."""
        settings: Any = config.online_store
        client = self._get_client(settings)
        write = client.register_script(WRITE_NEWS)
        with client.pipeline(transaction=False) as pipe:
            for row in data:
                key = _raw_key(config, row[0]) + config.project.encode()
                write(keys=[key], args=_arguments(table.name, row), client=pipe)
            written = sum(pipe.execute())
        if progress and written:
            progress(written)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """As in OnlineStore; a key without values is told as Feast's other stores tell it, not as of 1970."""
        found = super().online_read(config, table, entity_keys, requested_features)
        return [(at, values) if at and at.timestamp() else (None, None) for at, values in found]


WRITE_NEWS = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and held > ARGV[2] then return 0 end
if held == ARGV[2] then
    local same = true
    for i = 3, #ARGV, 2 do
        same = same and redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1]
    end
    if same then return 0 end
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
"""
"""KEYS: the hash of the entity. ARGV: the field of the clocks and the clocks, then fields and values."""


def _arguments(view: str, row: Row) -> list[bytes]:
    """Fields and values of one snapshot in Feast's format, after the clocks as text that sorts as they do."""
    _, values, event, _ = row
    at = Timestamp()
    at.FromDatetime(make_tzaware(event))
    fields = {_mmh3(f"{view}:{name}"): value.SerializeToString() for name, value in values.items()}
    fields[f"_ts:{view}".encode()] = at.SerializeToString()
    clocks = "".join(f"{clock + 2**40:020d}" for clock in _clocks(row))
    return [f"_clocks:{view}".encode(), clocks.encode(), *(part for field in fields.items() for part in field)]


def _is_news(row: Row, held: tuple[tuple[int, int], dict[str, bytes]] | None) -> bool:
    if held is None or _clocks(row) != held[0]:
        return held is None or _clocks(row) > held[0]
    return any(held[1].get(name) != value.SerializeToString() for name, value in row[1].items())


def _clocks(row: Row) -> tuple[int, int]:
    """Event and created time in the seconds that Feast's SQLite store keeps: see ``sqlite_online_reader``."""
    _, _, event, created = row
    return int(to_naive_utc(event).timestamp()), int(to_naive_utc(created or event).timestamp())


def _raw_key(config: RepoConfig, key: EntityKey) -> bytes:
    return serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version)


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that no other writer comes into; what the block did not commit itself is undone on an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
