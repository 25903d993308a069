"""The datasets without days: aircraft and airports. Rows that broke the contract go to ``<dataset>_quarantine``.

Here: one asset for each. Belongs here: a register that is replaced whole. Does not: anything with a calendar.
"""

import dagster as dg

from mlops_assets.adapters.source import LandedSource
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, group, key, table
from mlops_assets.assets.datasets.schemas import contract_schema
from mlops_assets.contracts import Domain
from mlops_assets.ml.datasets import DATASETS as CONTRACTS
from mlops_assets.ml.datasets import STATIC, check

STATIC_DATASETS = tuple(name for name, contract in CONTRACTS.items() if not contract.daily)


def static_dataset(domain: Domain, name: str) -> dg.AssetsDefinition:
    """The asset of one dataset."""

    @dg.asset(
        key=key(domain, DATASETS, name),
        group_name=group(domain, DATASETS),
        description=CONTRACTS[name].description,
        metadata={"dagster/column_schema": contract_schema(name)},
    )
    def static(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], tables: dg.ResourceParam[Tables]
    ) -> dg.MaterializeResult:
        checked = check(name, {STATIC: source.static(name)}, source.references())
        commit = {"dagster_run_id": context.run.run_id}
        version = tables.replace(table(domain, DATASETS, name), checked.good, None, commit)
        tables.replace(table(domain, DATASETS, f"{name}_quarantine"), checked.quarantined, None, commit)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(checked.good),
                "quarantined": len(checked.quarantined),
                "table_version": version.version,
            },
            data_version=dg.DataVersion(version.digest or ""),
        )

    return static
