"""Jobs: which assets run together. Few and wide: a run of its own process costs ten seconds before it works.

Here: every job of a domain and of a use case. Belongs here: selections. Does not: when a job runs.
"""

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
    automation,
    key,
)
from mlops_assets.assets.datasets import STATIC_DATASETS
from mlops_assets.assets.training import ROWS_ARE_CURRENT
from mlops_assets.contracts import Domain, UseCase

STATIC, HISTORY, DAY, UPKEEP = "static", "history", "day", "upkeep"
TRAIN, RETRAIN, CANARY, CONCLUDE = "train", "retrain", "canary", "conclude"
ROLL_BACK, HOLD = "rollback", "quarantine"
TRANSFER = "transfer"


def domain_jobs(domain: Domain, use_cases: tuple[UseCase, ...]) -> dict[str, Any]:
    """The jobs that land data: the static tables once, history as a range, then one wide run a day; and the upkeep."""
    static = [key(domain, DATASETS, name) for name in STATIC_DATASETS]
    retention = [key(use_case, MONITORING, "log_retention") for use_case in use_cases]
    upkeep = [key(domain, DATASETS, "upkeep"), *retention]
    landed = dg.AssetSelection.groups(f"{domain.name}/{DATASETS}", f"{domain.name}/{FEATURES}")
    landed -= dg.AssetSelection.assets(*static, *upkeep)
    judged = [f"{use_case.name}/{MONITORING}" for use_case in use_cases]
    deployments = [key(use_case, RELEASES, "deployment") for use_case in use_cases]
    incidents = [key(use_case, REMEDIATION, "incident") for use_case in use_cases]
    daily = landed | dg.AssetSelection.groups(*judged) | dg.AssetSelection.assets(*deployments, *incidents)
    daily -= dg.AssetSelection.assets(*retention)
    current = [dg.AssetCheckKey(key(u, TRAINING, "training_set"), ROWS_ARE_CURRENT) for u in use_cases]
    daily |= dg.AssetSelection.checks(*current)
    return {
        STATIC: dg.define_asset_job(automation(domain, STATIC), selection=static),
        HISTORY: dg.define_asset_job(automation(domain, HISTORY), landed),
        DAY: dg.define_asset_job(automation(domain, DAY), daily),
        UPKEEP: dg.define_asset_job(automation(domain, UPKEEP), selection=upkeep),
    }


def use_case_jobs(use_case: UseCase) -> dict[str, Any]:
    """The jobs that train, release, remedy and hand over; each works on one day."""
    training = dg.AssetSelection.groups(f"{use_case.name}/{TRAINING}", f"{use_case.name}/{MODELS}")
    training |= dg.AssetSelection.assets(key(use_case, RELEASES, "shadow"))
    released = dg.AssetSelection.assets(key(use_case, MODELS, "released_card"))
    training -= released
    conclusion = dg.AssetSelection.assets(*(key(use_case, RELEASES, n) for n in ("canary_analysis", "champion")))
    selections = {
        TRAIN: training,
        RETRAIN: training | _remedies(use_case, "retrain", "incident"),
        CANARY: dg.AssetSelection.assets(key(use_case, RELEASES, "canary")),
        CONCLUDE: conclusion | released,
        ROLL_BACK: _remedies(use_case, "rollback", "incident"),
        HOLD: _remedies(use_case, "quarantine", "incident"),
        TRANSFER: dg.AssetSelection.assets(key(use_case, PRODUCTION, "transferred_version")),
    }

    return {name: dg.define_asset_job(automation(use_case, name), selection) for name, selection in selections.items()}


def _remedies(use_case: UseCase, *names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(key(use_case, REMEDIATION, name) for name in names))
