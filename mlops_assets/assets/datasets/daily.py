"""The daily datasets: flights, arrivals and weather, by the day on which they became known.

Here: one asset for each. Belongs here: what is made of a landed file. Does not: what it must hold
(``ml.dataset_contracts``), the rows that do not hold it (``assets.datasets.quarantine``).
"""

from collections.abc import Mapping

import dagster as dg

from mlops_assets.adapters.source import LandedSource
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, group, key, table
from mlops_assets.assets.datasets.schemas import contract_schema
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.range_runs import Day, Recorded, days_made, recorded, rows_by_day
from mlops_assets.contracts import Domain
from mlops_assets.ml.datasets import DATASETS as CONTRACTS
from mlops_assets.ml.datasets import check

DAILY_DATASETS = tuple(name for name, contract in CONTRACTS.items() if contract.daily)


def daily_dataset(domain: Domain, name: str) -> dg.AssetsDefinition:
    """The asset of one dataset."""

    @dg.asset(
        key=key(domain, DATASETS, name),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[key(domain, DATASETS, "landing")],
        description=CONTRACTS[name].description,
        metadata={"dagster/column_schema": contract_schema(name)},
    )
    def daily(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> Recorded:
        def make(days: list[str]) -> Mapping[str, Day]:
            checked = check(name, source.parts(name, days), source.references())
            commit = {"dagster_run_id": context.run.run_id}
            version = tables.replace(table(domain, DATASETS, name), checked.good, days, commit)
            counts = {"rows": rows_by_day(checked.good), "quarantined": rows_by_day(checked.quarantined)}
            return days_made(version, **counts)

        yield from recorded(context, make)

    return daily
