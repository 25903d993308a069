"""Feast's offline store over our tables: Delta through deltalake, point in time with DuckDB's ASOF join.

Here: the class that ``feature_store.yaml`` names, and the versions it reads. Belongs here: retrieval of past feature
values. Does not: the join (``adapters.asof``), reading files (``adapters.delta_scan``), writing snapshots
(``adapters.tables``), Feast's online side (``adapters.feast_state``).

Feast's own DuckDB store downloads an extension to read Delta and joins by an inequality followed by a row number
(docs/benchmarks/features.md compares the two). Rows come back in the order of the entity frame. A value created after
the decision is not seen by it, unless the settings say so: Feast sees it, unless the caller says so.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from mlops_assets.adapters import feast_state
from mlops_assets.adapters.asof import Decisions, Snapshots, matches
from mlops_assets.adapters.delta_scan import Span
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.ml.bitemporal import NEVER

EVENT_TIMESTAMP = "event_timestamp"
VIEWS_AT_ONCE = 2
"""Views read and joined at the same time: the engines use all cores, but not in every step of theirs."""
PINS: ContextVar[Mapping[str, int] | None] = ContextVar("pinned_versions", default=None)
__all__ = ["DeltaOfflineStore", "DeltaOfflineStoreConfig", "feast_state", "pinned"]


@contextlib.contextmanager
def pinned(versions: Mapping[str, int] | None) -> Iterator[None]:
    """Within the block, retrieval reads these versions of the tables; None: the current ones."""
    token = PINS.set(versions)
    try:
        yield
    finally:
        PINS.reset(token)


class DeltaOfflineStoreConfig(FeastConfigBaseModel):
    """Settings of DeltaOfflineStore in ``feature_store.yaml``."""

    type: Any = "mlops_assets.adapters.offline_store.DeltaOfflineStore"
    tables: str = ""
    """Folder of the tables; empty: where ``Settings`` says."""
    created_cutoff: bool = True
    """A value that was written after the decision is not seen by it. False: Feast's own default, the newest event and
    of that the row created last, whenever that was."""


class DeltaJob(RetrievalJob):
    """A retrieval that is done when it is asked for; Feast adds the on-demand features to it."""

    def __init__(
        self,
        retrieve: Callable[[], pa.Table],
        on_demand: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
        full_feature_names: bool = False,
    ) -> None:
        self._retrieve = retrieve
        self._on_demand = on_demand or []
        self._metadata = metadata
        self._full_feature_names = full_feature_names

    @property
    def full_feature_names(self) -> bool:
        """As in RetrievalJob."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """As in RetrievalJob."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """As in RetrievalJob."""
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._retrieve()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._retrieve().to_pandas()


class DeltaOfflineStore(OfflineStore):
    """See the module."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """As in OfflineStore. ``entity_df`` is a frame with ``event_timestamp`` (UTC) and the join keys.

        Raises TypeError for an entity query in SQL or none at all, ValueError without ``event_timestamp``.
        """
        if not isinstance(entity_df, pd.DataFrame):
            raise TypeError("give the decisions as a frame: entity queries in SQL are not supported")
        asked = pd.DataFrame(entity_df)
        if EVENT_TIMESTAMP not in asked:
            raise ValueError(f"the decisions' frame has no column {EVENT_TIMESTAMP}: name their instants so")
        tables = _Pinned(config)
        at = asked[EVENT_TIMESTAMP]
        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[name for name in asked.columns if name != EVENT_TIMESTAMP],
            min_event_timestamp=at.min(),
            max_event_timestamp=at.max(),
        )
        wanted = [(view, _requested(view, feature_refs)) for view in feature_views]
        settings: Any = config.offline_store
        cutoff = filter_by_created_timestamp or settings.created_cutoff
        entities = pa.Table.from_pandas(asked, preserve_index=False)
        return DeltaJob(
            lambda: point_in_time(entities, wanted, tables, full_feature_names=full_feature_names, cutoff=cutoff),
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata,
            full_feature_names,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """As in OfflineStore: the newest row of every key in the range; ``feast materialize`` uses it."""
        clocks = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        names = [*join_key_columns, *feature_name_columns, *clocks]
        tables = _Pinned(config)

        def latest() -> pa.Table:
            frame = tables.rows(data_source, names, start_date, end_date).to_pandas()
            ordered = frame.sort_values(clocks, kind="stable", na_position="first")
            newest = ordered.drop_duplicates(join_key_columns, keep="last")
            return pa.Table.from_pandas(newest.sort_values(join_key_columns), preserve_index=False)

        return DeltaJob(latest)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """As in OfflineStore: every row in the range."""
        names = [*join_key_columns, *feature_name_columns, timestamp_field]
        names += [created_timestamp_column] if created_timestamp_column else []
        tables = _Pinned(config)
        return DeltaJob(lambda: tables.rows(data_source, names, start_date, end_date))

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """As in OfflineStore. A table is written by its asset, perhaps later than Feast learns of it.

        Raises ValueError for a source with a field mapping.
        """
        if data_source.field_mapping:
            raise ValueError(
                f"source {data_source.name} renames columns: give the table the columns' own names instead"
            )


class _Pinned:
    """The tables of a deployment, at the versions that were pinned when the retrieval was asked for."""

    def __init__(self, config: RepoConfig) -> None:
        self._tables = DeltaTables(getattr(config.offline_store, "tables", None) or Settings.from_environment().tables)
        self._versions = PINS.get()

    def rows(self, source: Any, columns: list[str], first: datetime | None, last: datetime | None) -> pa.Table:
        """Rows of a source's table whose time lies between first and last.

        Raises KeyError when versions are pinned and this table's is not among them: a training set never reads a
        table at a version that its manifest does not name. Raises TableMissing.
        """
        table, version = source.path, None
        if self._versions is not None:
            if table not in self._versions:
                raise KeyError(f"no version of {table} is pinned (pinned: {', '.join(sorted(self._versions))})")
            version = self._versions[table]
        return self._tables.read_arrow(table, version, columns, Span(source.timestamp_field, first, last))


def point_in_time(
    entities: pa.Table,
    views: list[tuple[FeatureView, list[str]]],
    tables: _Pinned,
    *,
    full_feature_names: bool,
    cutoff: bool,
) -> pa.Table:
    """The entity frame with, for every view, the newest snapshot at or before each row's time and within the ttl."""
    import duckdb

    at = _microseconds(entities[EVENT_TIMESTAMP], np.iinfo(np.int64).min)
    with duckdb.connect() as connection, ThreadPoolExecutor(VIEWS_AT_ONCE) as pool:

        def found(wanted: tuple[FeatureView, list[str]]) -> pa.Table:
            return _values(connection, entities, at, *wanted, tables, cutoff)

        sides = list(pool.map(found, views))
    for (view, _), side in zip(views, sides, strict=True):
        prefix = f"{view.projection.name_to_use()}__" if full_feature_names else ""
        for name in side.column_names:
            entities = entities.append_column(f"{prefix}{name}", side[name])
    return entities


def _values(
    connection: Any,
    entities: pa.Table,
    at: np.ndarray,
    view: FeatureView,
    features: list[str],
    tables: _Pinned,
    cutoff: bool,
) -> pa.Table:
    """One view's values for every decision."""
    source: Any = view.batch_source
    keys = [column.name for column in view.entity_columns]
    clocks = [source.timestamp_field, *filter(None, [source.created_timestamp_column])]
    first, last = (
        (pd.Timestamp(bound, unit="us", tz="UTC") for bound in (at.min(), at.max())) if len(at) else (None, None)
    )
    rows = tables.rows(source, [*keys, *clocks, *features], first - view.ttl if first and view.ttl else None, last)
    event, *created = (_microseconds(rows[clock], NEVER) for clock in clocks)
    named = view.projection.join_key_map or {}
    asked = Decisions([entities[named.get(key, key)] for key in keys], at)
    held = Snapshots([rows[key] for key in keys], event, created[0] if created else None)
    ttl_us = int(view.ttl.total_seconds() * 1_000_000) if view.ttl else None
    position = matches(connection, asked, held, ttl_us=ttl_us, cutoff=cutoff)
    return rows.select(features).combine_chunks().take(pa.array(position, mask=position < 0))


def _requested(view: FeatureView, feature_refs: list[str]) -> list[str]:
    prefix = f"{view.projection.name_to_use()}:"
    return [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]


def _microseconds(instants: pa.ChunkedArray, missing: int) -> np.ndarray:
    """Whole microseconds since 1970 UTC."""
    whole = pc.cast(pc.cast(instants, pa.timestamp("us", tz="UTC")), pa.int64())
    return pc.fill_null(whole, missing).to_numpy()
