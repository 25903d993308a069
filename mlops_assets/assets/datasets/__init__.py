"""Datasets: what landed, held against its contract, by the day on which it became known.

Here: the landing of raw files, the daily and the static datasets, the quarantine, the checks of what landed, the upkeep
of the tables, by file. Belongs here: assets made from raw files. Does not: the contracts (``ml.dataset_contracts``),
features, anything a use case owns.
"""

from typing import Any

from mlops_assets.assets.datasets.checks import dataset_checks
from mlops_assets.assets.datasets.daily import DAILY_DATASETS, daily_dataset
from mlops_assets.assets.datasets.landing import landing_asset
from mlops_assets.assets.datasets.quarantine import quarantine_asset
from mlops_assets.assets.datasets.schemas import schema
from mlops_assets.assets.datasets.static import STATIC_DATASETS, static_dataset
from mlops_assets.assets.datasets.upkeep import upkeep_asset
from mlops_assets.contracts import Domain

__all__ = ["DAILY_DATASETS", "STATIC_DATASETS", "build_datasets", "schema"]


def build_datasets(domain: Domain) -> list[Any]:
    """The dataset assets of a domain, and their checks."""
    daily = [daily_dataset(domain, name) for name in DAILY_DATASETS]
    static = [static_dataset(domain, name) for name in STATIC_DATASETS]
    kept = [quarantine_asset(domain), upkeep_asset(domain)]
    return [landing_asset(domain), *daily, *static, *kept, *dataset_checks(domain)]
