"""Features: one asset for each feature view of the Feast repo, declared from it, and the online store.

Here: the snapshots of every view by day, the reconciled online store. Belongs here: assets whose facts (name,
description, columns, time to live, tags, owner) come from ``feature_repo``. Does not: the computation
(``ml.features``), what is served when (``adapters.replay`` for the hours of a day).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.feature_store import FeatureStore, ViewSpec, describe_views
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, FEATURES, group, key, table
from mlops_assets.assets.datasets import schema
from mlops_assets.assets.partitions import calendar, days_of, shift, window
from mlops_assets.assets.range_runs import Day, Recorded, days_made, recorded, rows_by_day
from mlops_assets.contracts import Domain
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.schedules import local_day


def build_features(domain: Domain) -> list[Any]:
    """The feature assets of a domain."""
    views = describe_views()
    return [*(_view(domain, spec) for spec in views), _online_store(domain, views)]


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
    def snapshots(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> Recorded:
        def make(days: list[str]) -> Mapping[str, Day]:
            first = shift(days[0], -view.lookback_days)
            inputs = {name: tables.read(table(domain, DATASETS, name), first, days[-1]) for name in view.inputs}
            rows = with_day(compute(spec.name, inputs, hours_of(days)))
            version = tables.replace(table(domain, FEATURES, spec.name), rows, days, {"dagster_run_id": context.run_id})
            missing = rows[[f.name for f in spec.fields]].isna().mean(axis=1).groupby(rows["day"]).mean()
            return days_made(version, rows=rows_by_day(rows), missing_share=missing.to_dict())

        yield from recorded(context, make)

    return snapshots


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
        written, wrong = {}, {}
        for spec in views:
            rows = tables.read(table(domain, FEATURES, spec.name), day, day)
            newest = rows.sort_values("event_timestamp").drop_duplicates(spec.join_key, keep="last")
            feature_store.write_online(spec.name, newest.drop(columns="day"))
            written[spec.name] = len(newest)
            wrong[spec.name] = feature_store.online_differences(spec.name, newest.drop(columns="day"))
        check = dg.AssetCheckResult(
            passed=not any(wrong.values()),
            check_name=equal.name,
            metadata={"differences": dg.MetadataValue.json(wrong)},
        )
        return dg.MaterializeResult(
            metadata={"keys": sum(written.values()), "day": day, "by_view": dg.MetadataValue.json(written)},
            check_results=[check],
        )

    return online_store


def newest_day(tables: Tables, domain: Domain, day: str) -> str:
    """The last landed day, if it is later than ``day``: materializing an old day must not turn the store back."""
    return max([day, *tables.days(table(domain, DATASETS, "flights"))])
