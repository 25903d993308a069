"""Where everything meets: every asset, job, schedule, sensor and resource of every use case.

Here: ``build_defs`` and the ``defs`` that workspace.yaml names. Belongs here: putting parts together. Does not:
anything else. ``build_defs`` makes fresh definitions each time, so a test hands in twins and touches nothing global.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.datasets import build_datasets
from mlops_assets.assets.features import build_features
from mlops_assets.assets.governance import govern
from mlops_assets.assets.models import build_models
from mlops_assets.assets.monitoring import build_monitoring
from mlops_assets.assets.production import build_production
from mlops_assets.assets.releases import build_releases
from mlops_assets.assets.remediation import build_remediation
from mlops_assets.assets.training import build_training
from mlops_assets.automation.alerts import alerts_sensor
from mlops_assets.automation.feed import feed_sensor
from mlops_assets.automation.jobs import TRAIN, UPKEEP, domain_jobs, use_case_jobs
from mlops_assets.automation.lineage import lineage_sensor
from mlops_assets.automation.mlflow_status import mlflow_status_sensors
from mlops_assets.automation.release import release_sensor
from mlops_assets.automation.remediation import remediation_sensor
from mlops_assets.automation.schedules import training_schedule, upkeep_schedule
from mlops_assets.automation.silence import silence_sensor
from mlops_assets.contracts import UseCase
from mlops_assets.resources.parts import deployed_resources

STAGES = (build_training, build_models, build_releases, build_production, build_monitoring, build_remediation)


def build_defs(
    use_cases: Sequence[UseCase] | None = None,
    resources: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> dg.Definitions:
    """Fresh definitions of those use cases, or of all; ``resources`` replace the deployed ones by role."""
    chosen = settings or Settings.from_environment()
    use_cases = chosen.use_cases if use_cases is None else use_cases
    domains = tuple(dict.fromkeys(use_case.domain for use_case in use_cases))
    shared = [asset for domain in domains for build in (build_datasets, build_features) for asset in build(domain)]
    own = [asset for use_case in use_cases for build in STAGES for asset in build(use_case)]
    jobs = {use_case.name: use_case_jobs(use_case) for use_case in use_cases}
    landing = {domain.name: domain_jobs(domain, tuple(use_cases)) for domain in domains}
    first = [jobs[use_case.name][TRAIN] for use_case in use_cases]
    sensors = [feed_sensor(d, tuple(use_cases), chosen, [*landing[d.name].values(), *first]) for d in domains]
    sensors += [make(u, chosen, jobs[u.name]) for u in use_cases for make in (remediation_sensor, release_sensor)]
    schedules = [training_schedule(use_case, jobs[use_case.name][TRAIN]) for use_case in use_cases]
    return dg.Definitions(
        assets=govern([*shared, *own], [*domains, *use_cases]),
        jobs=[job for named in (*landing.values(), *jobs.values()) for job in named.values()],
        schedules=schedules + [upkeep_schedule(domain, landing[domain.name][UPKEEP]) for domain in domains],
        sensors=[
            *sensors,
            *mlflow_status_sensors(chosen.sensor_seconds),
            lineage_sensor(chosen),
            alerts_sensor(chosen),
            silence_sensor(chosen, use_cases),
        ],
        resources={**deployed_resources(lambda: chosen), **(resources or {})},
        executor=dg.in_process_executor,
    )


defs = build_defs()
