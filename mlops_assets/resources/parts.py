"""The clients of the deployment as Dagster resources: one per role, each an adapter's interface.

Here: the resources that assets and sensors ask for by name. Belongs here: a role. Does not: choosing what stands
behind a role (``adapters.deployment``). Tests pass the in-memory twins under the same names.
"""

import os
from collections.abc import Callable
from typing import Any

import dagster as dg

from mlops_assets.adapters.deployment import deployed
from mlops_assets.adapters.services import ensure_services, owning_process
from mlops_assets.adapters.settings import Settings
from mlops_assets.resources.mlflow import ExperimentTracking

ROLES = (
    "source",
    "tables",
    "feature_store",
    "artifacts",
    "content_store",
    "studies",
    "registry",
    "production",
    "promotions",
    "releases",
    "endpoint",
    "traffic_log",
    "alerts",
    "notifier",
    "lineage_events",
    "replay",
)
# These reach a server: the embedded one is started by a run that finds it silent. A sensor only looks: its tick is to
# take milliseconds, and one that starts servers would hide from everybody that they had gone.
SERVED = ("registry", "production", "releases", "endpoint", "replay")


def part(role: str) -> dg.ResourceDefinition:
    """The client of one role, from the settings of the process that runs the asset or the sensor."""

    def create(context: dg.InitResourceContext) -> Any:
        settings = Settings.from_environment()
        if role in SERVED and context.run is not None:
            # This process too: a run that outlives `dagster dev` by seconds must not lose its servers in mid-day.
            ensure_services(settings, until_pid=owning_process())
            ensure_services(settings, until_pid=os.getpid())
        return getattr(deployed(settings), role)

    return dg.ResourceDefinition(create, description=f"The deployment's {role.replace('_', ' ')}.")


def probe() -> dg.ResourceDefinition:
    """A model server of its own for one bundle, with the deployment's configuration."""

    def create(context: dg.InitResourceContext) -> Any:
        from mlops_assets.serving.probe import ProcessProbe

        return ProcessProbe(Settings.from_environment())

    return dg.ResourceDefinition(create, description="A server of its own for one bundle, before it is registered.")


def deployed_resources(settings: Callable[[], Settings] = Settings.from_environment) -> dict[str, Any]:
    """Every resource of the definitions, by role."""
    chosen = settings()
    tracking = ExperimentTracking(tracking_uri=chosen.registry_uri, ui_url=chosen.ui_url)
    return {**{role: part(role) for role in ROLES}, "probe": probe(), "experiment_tracking": tracking}
