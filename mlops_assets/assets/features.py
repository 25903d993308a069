"""Features: one asset for each feature view of the Feast repo, declared from it, and the online store.

Here: the snapshots of every view by day, the reconciled online store. Belongs here: assets whose facts (name,
description, columns, time to live, tags, owner) come from ``feature_repo``. Does not: the computation
(``ml.features``), what a correction leaves of the past (``ml.bitemporal``), the checks (``assets.feature_checks``),
what is served when (``adapters.replay`` for the hours of a day).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from mlops_assets.adapters.feature_store import FeatureStore, ViewSpec, describe_views
from mlops_assets.adapters.tables import Make, Tables
from mlops_assets.assets.address import DATASETS, FEATURES, group, key, table
from mlops_assets.assets.datasets import schema
from mlops_assets.assets.feature_checks import newest_day, snapshot_checks
from mlops_assets.assets.partitions import calendar, days_of, shift, window
from mlops_assets.assets.range_runs import Day, Recorded, days_made, recorded, rows_by_day
from mlops_assets.contracts import Domain
from mlops_assets.ml.bitemporal import CREATED_TIMESTAMP, EVENT_TIMESTAMP, believed, corrected, first_known
from mlops_assets.ml.features import VIEWS, compute, end_of, hours_of
from mlops_assets.ml.schedules import local_day


class SnapshotsConfig(dg.Config):
    """How a view's days are written when they were computed before."""

    restate: bool = Field(
        default=False,
        description="Replace the rows of the days as if they had been known at once. For a computation that was wrong, "
        "or a feature that is new: what decisions saw then is forgotten. Without it a value that differs counts as a "
        "correction of the data, known from now on; decisions of the past go on to see what was known.",
    )


def build_features(domain: Domain) -> list[Any]:
    """The feature assets of a domain, and their checks."""
    views = describe_views()
    return [*(_view(domain, spec) for spec in views), _online_store(domain, views), snapshot_checks(domain, views)]


def _view(domain: Domain, spec: ViewSpec) -> dg.AssetsDefinition:
    view = VIEWS[spec.name]

    @dg.asset(
        key=key(domain, FEATURES, spec.name),
        group_name=group(domain, FEATURES),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[
            dg.AssetDep(key(domain, DATASETS, name), partition_mapping=window(-view.lookback_days))
            for name in view.inputs
        ],
        description=spec.description,
        tags={f"feast/{name}": value for name, value in spec.tags.items()},
        metadata={
            "dagster/column_schema": schema([(f.name, f.dtype, f.description) for f in spec.fields]),
            "entity": spec.join_key,
            "ttl_seconds": spec.ttl_seconds,
            "feast_owner": spec.owner,
        },
    )
    def snapshots(
        context: dg.AssetExecutionContext, config: SnapshotsConfig, tables: dg.ResourceParam[Tables]
    ) -> Recorded:
        def make(days: list[str]) -> Mapping[str, Day]:
            first = shift(days[0], -view.lookback_days)
            inputs = {
                name: tables.read(table(domain, DATASETS, name), first, days[-1], columns=columns)
                for name, columns in view.inputs.items()
            }
            fresh = with_day(compute(spec.name, inputs, hours_of(days)))
            if config.restate:
                return _written(context, tables, spec, days, lambda held: first_known(fresh))
            learned, new = end_of(newest_day(tables, domain, days[-1])), _never_made(context, days)
            return _written(context, tables, spec, days, lambda held: _merged(held, fresh, spec, learned, new))

        yield from recorded(context, make)

    return snapshots


def _merged(
    held: pd.DataFrame, fresh: pd.DataFrame, spec: ViewSpec, learned: pd.Timestamp, new: set[str]
) -> pd.DataFrame:
    return corrected(held, fresh, spec.join_key, learned=learned, new_days=new - set(held["day"]))


def _never_made(context: dg.AssetExecutionContext, days: Sequence[str]) -> set[str]:
    """The days that no run has recorded: a day without rows in the table may have been computed, and had none."""
    kind, events = dg.DagsterEventType.ASSET_MATERIALIZATION, context.instance.event_log_storage
    return set(days) - set(events.get_latest_storage_id_by_partition(context.asset_key, kind, set(days)))


def _written(
    context: dg.AssetExecutionContext, tables: Tables, spec: ViewSpec, days: list[str], make: Make
) -> Mapping[str, Day]:
    """Write the days of a view and tell what became of each."""
    made: list[pd.DataFrame] = []

    def kept(held: pd.DataFrame) -> pd.DataFrame:
        made.append(make(held))
        return made[-1]

    version = tables.revise(spec.table, days, kept, {"dagster_run_id": context.run.run_id})
    rows = made[-1]
    missing = rows[[field.name for field in spec.fields]].isna().mean(axis=1).groupby(rows["day"]).mean()
    later = rows_by_day(rows[rows[CREATED_TIMESTAMP] > rows[EVENT_TIMESTAMP]])
    return days_made(version, rows=rows_by_day(rows), missing_share=missing.to_dict(), corrections=later)


def with_day(rows: pd.DataFrame) -> pd.DataFrame:
    """Snapshots with the local day they belong to."""
    return rows.assign(day=local_day(rows["event_timestamp"]))


def _online_store(domain: Domain, views: list[ViewSpec]) -> dg.AssetsDefinition:
    address = key(domain, FEATURES, "online_store")
    equal = dg.AssetCheckSpec(
        "online_equals_offline",
        asset=address,
        description="What the online store answers is the last offline snapshot of every key, to the last bit.",
    )

    @dg.asset(
        key=address,
        group_name=group(domain, FEATURES),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[key(domain, FEATURES, spec.name) for spec in views],
        check_specs=[equal],
    )
    def online_store(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        feature_store: dg.ResourceParam[FeatureStore],
    ) -> dg.MaterializeResult:
        """The newest snapshot of every key, ready to be read by the server; the hours of a live day came before it."""
        day = newest_day(tables, domain, days_of(context)[-1])
        keys, written, wrong = {}, {}, {}
        for spec in views:
            rows = tables.read(table(domain, FEATURES, spec.name), day, day)
            newest = believed(rows, [spec.join_key]).drop(columns="day")
            keys[spec.name] = len(newest)
            written[spec.name] = feature_store.write_online(spec.name, newest)
            wrong[spec.name] = feature_store.online_differences(spec.name, newest)
        check = dg.AssetCheckResult(
            passed=not any(wrong.values()),
            check_name=equal.name,
            metadata={"differences": dg.MetadataValue.json(wrong)},
        )
        return dg.MaterializeResult(
            metadata={
                "keys": sum(keys.values()),
                "written": sum(written.values()),
                "day": day,
                "by_view": dg.MetadataValue.json({name: [written[name], keys[name]] for name in keys}),
            },
            check_results=[check],
        )

    return online_store
