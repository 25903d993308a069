"""The address of every asset: ``<owner>/<stage>/<name>``, where the owner is a domain or a use case.

Here: how keys, groups, table names and job names are spelled. Belongs here: nothing else; a test compares the stage
in every key with the file that defines it.
"""

import dagster as dg

from mlops_assets.contracts import Domain, UseCase

DATASETS, FEATURES = "datasets", "features"
TRAINING, MODELS, RELEASES, MONITORING, REMEDIATION = "training", "models", "releases", "monitoring", "remediation"
PRODUCTION = "production"
STAGES = (DATASETS, FEATURES, TRAINING, MODELS, RELEASES, PRODUCTION, MONITORING, REMEDIATION)

FEATURE_VIEWS = ("origin_weather", "origin_delays", "carrier_delays", "destination_delays")


def key(owner: Domain | UseCase, stage: str, name: str) -> dg.AssetKey:
    """The asset key ``owner/stage/name``."""
    return dg.AssetKey([owner.name, stage, str(name)])


def group(owner: Domain | UseCase, stage: str) -> str:
    """The group an asset of that stage is shown in."""
    return f"{owner.name}/{stage}"


def table(owner: Domain | UseCase, stage: str, name: str) -> str:
    """The table an asset keeps its rows in: its key, joined."""
    return f"{owner.name}/{stage}/{name}"


def automation(owner: Domain | UseCase, name: str) -> str:
    """The name of a job, schedule or sensor; Dagster takes letters, digits and underscore only."""
    return f"{owner.name}__{name}"
