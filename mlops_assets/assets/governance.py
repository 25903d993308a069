"""What holds for every asset, applied once, from above: owner, kinds, tags.

Here: who owns a stage and what it is made with. Belongs here: a policy for all assets. Does not: an exception for one.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.assets.address import (
    DATASETS,
    FEATURES,
    MODELS,
    MONITORING,
    PRODUCTION,
    RELEASES,
    REMEDIATION,
    TRAINING,
)
from mlops_assets.contracts import Domain, Owner, UseCase

OWNING_ROLE = {
    DATASETS: "data",
    FEATURES: "data",
    TRAINING: "machine_learning",
    MODELS: "machine_learning",
    RELEASES: "operations",
    PRODUCTION: "operations",
    MONITORING: "machine_learning",
    REMEDIATION: "operations",
}
KINDS = {
    DATASETS: {"deltalake", "pandas"},
    FEATURES: {"feast", "deltalake"},
    TRAINING: {"feast", "parquet", "dvc"},
    MODELS: {"mlflow"},
    RELEASES: {"mlflow"},
    PRODUCTION: {"mlflow"},
    MONITORING: {"deltalake", "pandas"},
    REMEDIATION: {"mlflow"},
}


def govern(assets: Sequence[Any], owners: Sequence[Domain | UseCase]) -> list[Any]:
    """The same assets with owner, kinds and tags by stage; checks and the like pass through."""
    by_name = {owner.name: owner.owner for owner in owners}
    plain = [item for item in assets if not isinstance(item, dg.AssetsDefinition) or not item.keys]
    governed = dg.map_asset_specs(
        lambda spec: _governed(spec, by_name), [a for a in assets if isinstance(a, dg.AssetsDefinition) and a.keys]
    )
    return [*governed, *plain]


def _governed(spec: dg.AssetSpec, owners: dict[str, Owner]) -> dg.AssetSpec:
    owner, stage, _ = spec.key.path
    team = getattr(owners[owner], OWNING_ROLE[stage])
    return spec.replace_attributes(
        owners=[team], kinds=KINDS[stage] | spec.kinds, tags={**spec.tags, "mlops/stage": stage, "mlops/owner": owner}
    )
