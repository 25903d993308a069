"""The upkeep of the tables: small files merged, old versions deleted, none that a registered model needs.

Here: upkeep. Belongs here: what is done to tables without changing a row. Does not: when (``automation.schedules``),
how (``adapters.tables``), which versions are needed (``adapters.pins``).

It covers every table of the deployment, also those of the use cases, and may run while others read and write: a
deleted file was unneeded for as long as the retention says.
"""

from dataclasses import asdict, dataclass

import dagster as dg
import pandas as pd
from pydantic import Field

from mlops_assets.adapters.pins import Pins, pinned_versions
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, group, key
from mlops_assets.contracts import Domain


class UpkeepConfig(dg.Config):
    """How long what nobody needs is kept."""

    retention_hours: int | None = Field(
        default=None,
        ge=0,
        description="Hours (of the wall's clock) for which files stay after the last version that needs them. Must be "
        "longer than any run takes. Left out: what MLOPS_RETENTION_HOURS says.",
    )


@dataclass(frozen=True)
class Tended:
    """What was done to one table."""

    table: str
    files_merged: int
    files_deleted: int
    versions_pinned: str


def upkeep_asset(domain: Domain) -> dg.AssetsDefinition:
    """The asset ``upkeep``."""
    address = key(domain, DATASETS, "upkeep")
    whole = dg.AssetCheckSpec(
        "pinned_versions_are_whole",
        asset=address,
        description="Every file of every table version that a registered model was made from is there.",
    )

    @dg.asset(key=address, group_name=group(domain, DATASETS), check_specs=[whole])
    def upkeep(
        config: UpkeepConfig, tables: dg.ResourceParam[Tables], registry: dg.ResourceParam[Registry]
    ) -> dg.MaterializeResult:
        """What was merged and deleted in the tables of the deployment; old versions that models need are kept."""
        pins = pinned_versions(registry)
        tended = [_tend(tables, table, pins, config.retention_hours) for table in tables.names()]
        check = dg.AssetCheckResult(check_name=whole.name, **_verdict(tables, pins))
        return dg.MaterializeResult(
            metadata={
                "files_merged": sum(table.files_merged for table in tended),
                "files_deleted": sum(table.files_deleted for table in tended),
                "tables": dg.MetadataValue.md(pd.DataFrame(map(asdict, tended)).to_markdown(index=False)),
                "versions_without_manifest": dg.MetadataValue.json(list(pins.without_manifest)),
            },
            check_results=[check],
        )

    return upkeep


def _tend(tables: Tables, table: str, pins: Pins, retention_hours: int | None) -> Tended:
    pinned = pins.versions.get(table, frozenset())
    merged = tables.compact(table)
    deleted = tables.vacuum(table, pinned, retention_hours)
    return Tended(table, merged, deleted, ", ".join(map(str, sorted(pinned))))


def _verdict(tables: Tables, pins: Pins) -> dict:
    pinned = [(table, version) for table, versions in sorted(pins.versions.items()) for version in sorted(versions)]
    lost = [f"{table} version {version}" for table, version in pinned if not tables.is_whole(table, version)]
    return {"passed": not lost, "metadata": {"pinned": len(pinned), "lost": dg.MetadataValue.json(lost)}}
