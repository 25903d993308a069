"""Datasets: what landed, held against its contract, by the day on which it became known.

Here: the landing of raw files, the daily and the static datasets, the quarantine. Belongs here: assets made from raw
files. Does not: the contracts (``ml.dataset_contracts``), features, anything a use case owns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.replay import LivedDay, Replay
from mlops_assets.adapters.source import LandedFile, LandedSource
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, group, key, table
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.range_runs import Day, Recorded, days_made, recorded, rows_by_day
from mlops_assets.contracts import Domain
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.datasets import DATASETS as CONTRACTS
from mlops_assets.ml.datasets import STATIC, check, column_schema

DAILY_DATASETS = tuple(name for name, contract in CONTRACTS.items() if contract.daily)
STATIC_DATASETS = tuple(name for name, contract in CONTRACTS.items() if not contract.daily)


def build_datasets(domain: Domain) -> list[Any]:
    """The dataset assets of a domain, and their checks."""
    daily = [_daily(domain, name) for name in DAILY_DATASETS]
    static = [_static(domain, name) for name in STATIC_DATASETS]
    return [_landing(domain), *daily, *static, _quarantine(domain), *_checks(domain)]


def _landing(domain: Domain) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(domain, DATASETS, "landing"),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def landing(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], replay: dg.ResourceParam[Replay]
    ) -> Recorded:
        """The raw files of the day as delivered; a live day is first lived through, hour by hour, with its traffic."""

        def make(days: list[str]) -> Mapping[str, Day]:
            lived = {day: replay.live(domain, day) for day in days if replay.is_next(domain, day)}
            files = {day: source.land(day, source.day(day)) for day in days}
            return {day: _landed_day(files[day], lived.get(day)) for day in days}

        yield from recorded(context, make)

    return landing


def _landed_day(files: Mapping[str, LandedFile], lived: LivedDay | None) -> Day:
    """What the graph is told of one landed day; its data version changes when any of its files does."""
    digest = digest_of("".join(f"{name} {file.digest}\n" for name, file in sorted(files.items())).encode())
    told = {
        "rows": sum(file.rows for file in files.values()),
        "requests": lived.requests if lived else 0,
        "answers": lived.answers if lived else 0,
        "problems": dg.MetadataValue.json(list(lived.problems if lived else ())),
    }
    return Day(data_version=digest, metadata=told)


def _daily(domain: Domain, name: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(domain, DATASETS, name),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[key(domain, DATASETS, "landing")],
        description=CONTRACTS[name].description,
        metadata={"dagster/column_schema": schema(column_schema(name))},
    )
    def daily(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> Recorded:
        def make(days: list[str]) -> Mapping[str, Day]:
            checked = check(name, landed(source, name, days), source.references())
            commit = {"dagster_run_id": context.run_id}
            version = tables.replace(table(domain, DATASETS, name), checked.good, days, commit)
            counts = {"rows": rows_by_day(checked.good), "quarantined": rows_by_day(checked.quarantined)}
            return days_made(version, **counts)

        yield from recorded(context, make)

    return daily


def landed(source: LandedSource, name: str, days: Sequence[str]) -> dict[str, Any]:
    """The raw rows of one dataset, by day."""
    return {day: getattr(source.day(day), name) for day in days}


def _static(domain: Domain, name: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(domain, DATASETS, name),
        group_name=group(domain, DATASETS),
        description=CONTRACTS[name].description,
        metadata={"dagster/column_schema": schema(column_schema(name))},
    )
    def static(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> dg.MaterializeResult:
        checked = check(name, {STATIC: source.static(name)}, source.references())
        version = tables.replace(table(domain, DATASETS, name), checked.good, None, {"dagster_run_id": context.run_id})
        return dg.MaterializeResult(
            metadata={"dagster/row_count": len(checked.good), "table_version": version.version},
            data_version=dg.DataVersion(version.digest or ""),
        )

    return static


def _quarantine(domain: Domain) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(domain, DATASETS, "quarantine"),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[key(domain, DATASETS, "landing")],
        metadata={"dagster/column_schema": schema(column_schema("quarantine"))},
    )
    def quarantine(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> Recorded:
        """The rows that broke their dataset's contract, each with its reason and the source's own row."""

        def make(days: list[str]) -> Mapping[str, Day]:
            references = source.references()
            parts = [check(name, landed(source, name, days), references).quarantined for name in DAILY_DATASETS]
            broken = pd.concat(parts, ignore_index=True)
            commit = {"dagster_run_id": context.run_id}
            version = tables.replace(table(domain, DATASETS, "quarantine"), broken, days, commit)
            return days_made(version, rows=rows_by_day(broken), shown=_shown(broken))

        yield from recorded(context, make)

    return quarantine


def _shown(broken: pd.DataFrame) -> dict[str, dg.MetadataValue]:
    """The first broken rows of each day as a table."""
    return {
        str(day): dg.MetadataValue.md(rows.head(20).to_markdown(index=False)) for day, rows in broken.groupby("day")
    }


def _checks(domain: Domain) -> list[dg.AssetChecksDefinition]:
    return [_schedule_is_flown(domain)]


def _schedule_is_flown(domain: Domain) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(domain, DATASETS, "arrivals"),
        name="most_scheduled_flights_arrive",
        description="The arrivals of the last landed day are as many as its published schedule lets expect.",
    )
    def most_scheduled_flights_arrive(
        context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]
    ) -> dg.AssetCheckResult:
        day = tables.days(table(domain, DATASETS, "flights"))[-1]
        planned = len(tables.read(table(domain, DATASETS, "flights"), day, day))
        arrived = len(tables.read(table(domain, DATASETS, "arrivals"), day, day))
        share = arrived / planned if planned else 0.0
        return dg.AssetCheckResult(
            passed=share >= LEAST_ARRIVED_SHARE,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"day": day, "planned": planned, "arrived": arrived, "share": share},
        )

    return most_scheduled_flights_arrive


LEAST_ARRIVED_SHARE = 0.5
"""Of the year's days only those of two blizzards stay below (8 and 9 February): a storm, or a feed that broke off."""


def schema(columns: Sequence[tuple[str, str, str]]) -> dg.TableSchema:
    """Dagster's column schema from (name, type, description)."""
    return dg.TableSchema([dg.TableColumn(name, kind, description=text) for name, kind, text in columns])
