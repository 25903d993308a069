"""Feast's registry and online store where this deployment has them.

Here: the database address ``state:///<path>`` and an online store, both resolved by ``Settings`` when they are used.
Belongs here: what lets one committed ``feature_store.yaml`` serve every deployment. Does not: reading snapshots
(``adapters.offline_store``, which imports this module so that Feast's command line knows the address), what is
written online (``adapters.feast_online``).

Why not addresses in the file: Feast expands environment variables in it but knows no default for them, and resolves a
relative registry path from the working folder, which ``feast apply`` changes and ``feast ui`` does not.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feast.entity import Entity
from feast.feature_view import FeatureView
from feast.infra.infra_object import InfraObject
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.redis import RedisOnlineStoreConfig
from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from mlops_assets.adapters.feast_online import NewestRedisStore, NewestSqliteStore
from mlops_assets.adapters.feast_transformations import keep_source_only
from mlops_assets.adapters.settings import Settings


class StateDialect(SQLiteDialect_pysqlite):
    """SQLite, with the file's path counted from the state folder."""

    supports_statement_cache = True

    def create_connect_args(self, url: URL) -> Any:
        """SQLAlchemy's hook: where to connect."""
        path = Settings.from_environment().state / str(url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        return super().create_connect_args(url.set(database=str(path)))


registry.register("state", __name__, "StateDialect")
# Here, because this module is imported by whoever opens the registry, Feast's own command line included.
keep_source_only()


class StateOnlineStoreConfig(FeastConfigBaseModel):
    """Settings of StateOnlineStore in ``feature_store.yaml``."""

    type: Any = "mlops_assets.adapters.feast_state.StateOnlineStore"
    address: str = ""
    """A SQLite file or ``redis://host:port/database``; empty: where ``Settings`` says."""


class StateOnlineStore(OnlineStore):
    """The online store of the deployment: SQLite in the state folder, or Redis."""

    def __init__(self) -> None:
        self._chosen: tuple[OnlineStore, RepoConfig] | None = None

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Any], progress: Callable[[int], Any] | None
    ) -> None:
        """As in OnlineStore; ``progress`` is told how many keys changed."""
        store, own = self._open(config)
        store.online_write_batch(own, table, data, progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[Any]:
        """As in OnlineStore."""
        store, own = self._open(config)
        return store.online_read(own, table, entity_keys, requested_features)

    def get_online_features(self, config: RepoConfig, *arguments: Any, **named: Any) -> Any:
        """As in OnlineStore: Redis reads all views in one round trip."""
        store, own = self._open(config)
        return store.get_online_features(own, *arguments, **named)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """As in OnlineStore."""
        store, own = self._open(config)
        store.update(own, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial)

    def plan(self, config: RepoConfig, desired_registry_proto: Any) -> list[InfraObject]:
        """As in OnlineStore."""
        store, own = self._open(config)
        return store.plan(own, desired_registry_proto)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """As in OnlineStore."""
        store, own = self._open(config)
        store.teardown(own, tables, entities)

    def _open(self, config: RepoConfig) -> tuple[OnlineStore, RepoConfig]:
        """The store, and the configuration that it expects."""
        if self._chosen is None:
            given: Any = config.online_store
            address = given.address or Settings.from_environment().online_address
            store, settings = _store_at(address)
            own = copy.copy(config)
            own._online_store = settings
            self._chosen = store, own
        return self._chosen


def _store_at(address: str) -> tuple[OnlineStore, FeastConfigBaseModel]:
    if address.startswith("redis://"):
        return NewestRedisStore(), RedisOnlineStoreConfig(connection_string=_connection_string(address))
    path = Path(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    return NewestSqliteStore(), SqliteOnlineStoreConfig(path=str(path))


def _connection_string(address: str) -> str:
    """Feast's spelling of a Redis address.

    >>> _connection_string("redis://:secret@127.0.0.1:6379/2")
    '127.0.0.1:6379,db=2,password=secret'
    """
    parts = urlsplit(address)
    told = {"db": parts.path.strip("/") or "0", "username": parts.username, "password": parts.password}
    return ",".join([f"{parts.hostname}:{parts.port or 6379}", *(f"{k}={v}" for k, v in told.items() if v)])
