"""Feast's registry and online store inside this deployment's state folder.

Here: the database address ``state:///<path>`` and an online store, both resolved by ``Settings`` when they are used.
Belongs here: what lets one committed ``feature_store.yaml`` serve every state folder. Does not: reading snapshots
(``adapters.offline_store``, which imports this module so that Feast's command line knows the address).

Why not paths in the file: Feast expands environment variables in it but knows no default for them, and resolves a
relative registry path from the working folder, which ``feast apply`` changes and ``feast ui`` does not.
"""

from pathlib import Path
from typing import Any

from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.repo_config import RepoConfig
from sqlalchemy import URL
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

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


class StateOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Feast's SQLite settings, with another default for the path."""

    type: Any = "mlops_assets.adapters.feast_state.StateOnlineStore"
    path: str = ""
    """The database file; empty: online.db where ``Settings`` says."""


class StateOnlineStore(SqliteOnlineStore):
    """Feast's SQLite online store, in the state folder."""

    @staticmethod
    def _get_db_path(config: RepoConfig) -> str:
        chosen = getattr(config.online_store, "path", None)
        path = Path(chosen) if chosen else Settings.from_environment().features / "online.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)
