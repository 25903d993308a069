"""The quarantine: the rows that broke their dataset's contract.

Here: one asset for the broken rows of all daily datasets. Belongs here: keeping what was refused, with its reason.
Does not: deciding what is refused (``ml.datasets``).
"""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from mlops_assets.adapters.source import LandedSource
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, group, key, table
from mlops_assets.assets.datasets.daily import DAILY_DATASETS
from mlops_assets.assets.datasets.schemas import contract_schema
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.range_runs import Day, Recorded, days_made, recorded, rows_by_day
from mlops_assets.contracts import Domain
from mlops_assets.ml.datasets import check, nothing_broken


def quarantine_asset(domain: Domain) -> dg.AssetsDefinition:
    """The asset ``quarantine``."""

    @dg.asset(
        key=key(domain, DATASETS, "quarantine"),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[key(domain, DATASETS, name) for name in ("landing", *DAILY_DATASETS)],
        metadata={"dagster/column_schema": contract_schema("quarantine")},
    )
    def quarantine(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> Recorded:
        """The rows that broke their dataset's contract, each with its reason and the source's own row."""

        def make(days: list[str]) -> Mapping[str, Day]:
            broken = pd.concat([_broken(domain, source, tables, name, days) for name in DAILY_DATASETS])
            commit = {"dagster_run_id": context.run_id}
            version = tables.replace(table(domain, DATASETS, "quarantine"), broken, days, commit)
            return days_made(version, rows=rows_by_day(broken), shown=_shown(broken))

        yield from recorded(context, make)

    return quarantine


def _broken(domain: Domain, source: LandedSource, tables: Tables, name: str, days: list[str]) -> pd.DataFrame:
    """The broken rows of one dataset. A day whose dataset holds as many rows as landed has none: only the others are
    held against the contract a second time, which is a tenth of the work on a clean year."""
    kept = tables.row_counts(table(domain, DATASETS, name), days[0], days[-1])
    short = [day for day in days if source.rows(name, day) != kept.get(day, 0)]
    return check(name, source.parts(name, short), source.references()).quarantined if short else nothing_broken()


def _shown(broken: pd.DataFrame) -> dict[str, dg.MetadataValue]:
    """The first broken rows of each day as a table."""
    days = broken.groupby("day")
    return {str(day): dg.MetadataValue.md(rows.head(20).to_markdown(index=False)) for day, rows in days}
