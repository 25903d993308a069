"""Are the features there? What is checked of every view whenever its snapshots are written.

Here: freshness and missing values of the newest landed day, on the domain's clock. Belongs here: a check of snapshots.
Does not: writing them (``assets.features``), what a missing value means for a model (``feature_repo``: when_missing).

Both are warnings: the source of 2013 has days on which its weather ends hours before midnight, and a model goes on
without it. One step checks all views: a step costs more than the checks do.
"""

import math
from collections.abc import Iterator, Sequence

import dagster as dg

from mlops_assets.adapters.feature_store import ViewSpec
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, FEATURES, automation, key, table
from mlops_assets.assets.metadata import plain
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Domain
from mlops_assets.ml.bitemporal import EVENT_TIMESTAMP, believed
from mlops_assets.ml.features import end_of

FRESH, THERE = "newest_snapshot_is_fresh", "values_are_there"
DAY_SECONDS = 86_400


def snapshot_checks(domain: Domain, views: Sequence[ViewSpec]) -> dg.AssetChecksDefinition:
    """Two checks for each view."""

    @dg.multi_asset_check(
        name=automation(domain, "snapshot_checks"),
        specs=[spec for view in views for spec in _specs(domain, view)],
        can_subset=True,
    )
    def checks(
        context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]
    ) -> Iterator[dg.AssetCheckResult]:
        wanted = context.op_execution_context.selected_asset_check_keys
        for view in views:
            if any(check.asset_key == key(domain, FEATURES, view.name) for check in wanted):
                found = _results(domain, view, tables)
                yield from (r for r in found if dg.AssetCheckKey(r.asset_key, r.check_name) in wanted)

    return checks


def _specs(domain: Domain, view: ViewSpec) -> list[dg.AssetCheckSpec]:
    asset, hours = key(domain, FEATURES, view.name), view.ttl_seconds / 3600
    fresh = f"At the end of the last landed day the newest snapshot was at most {hours:g} h old, its time to live."
    there = f"Of the last landed day's values at most {view.missing_share_at_most:.0%} are missing."
    return [
        dg.AssetCheckSpec(FRESH, asset=asset, description=fresh),
        dg.AssetCheckSpec(THERE, asset=asset, description=there),
    ]


def _results(domain: Domain, view: ViewSpec, tables: Tables) -> list[dg.AssetCheckResult]:
    day, names = newest_day(tables, domain), [field.name for field in view.fields]
    reach = shift(day, -math.ceil(view.ttl_seconds / DAY_SECONDS))
    rows = believed(tables.read(view.table, reach, day), [view.join_key, EVENT_TIMESTAMP])
    # A row without any value says that a snapshot was taken back.
    there = rows.dropna(how="all", subset=names)
    age_s = (end_of(day) - there[EVENT_TIMESTAMP].max()).total_seconds() if len(there) else None
    today = there[there["day"] == day]
    missing = float(today[names].isna().to_numpy().mean()) if len(today) else 1.0
    verdicts = {
        FRESH: (age_s is not None and age_s <= view.ttl_seconds, {"age_seconds": age_s}),
        THERE: (missing <= view.missing_share_at_most, {"missing_share": missing}),
    }
    return [
        dg.AssetCheckResult(
            passed=passed,
            check_name=name,
            asset_key=key(domain, FEATURES, view.name),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"day": day, "snapshots": len(today), **plain(told)},
        )
        for name, (passed, told) in verdicts.items()
    ]


def newest_day(tables: Tables, domain: Domain, day: str = "") -> str:
    """The last landed day, if it is later than ``day``."""
    return max([day, *tables.days(table(domain, DATASETS, "flights"))])
