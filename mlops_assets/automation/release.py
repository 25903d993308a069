"""The sensor that moves candidates on: shadow to canary, to a larger share, to champion or out.

Here: from a materialized verdict of the release table to the run that carries it out. Belongs here: which job answers
which step. Does not: the verdict itself (``ml.releases``).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets.adapters.alerts import runbook_at
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import MODELS, MONITORING, RELEASES, automation, key
from mlops_assets.automation.jobs import CANARY, CONCLUDE
from mlops_assets.automation.walk import Asked, Cursors
from mlops_assets.contracts import Step, UseCase

JOB_OF = {
    **dict.fromkeys((Step.TO_CANARY, Step.WIDEN), (CANARY, ("canary",))),
    **dict.fromkeys((Step.TO_CHAMPION, Step.REFUSE), (CONCLUDE, ("canary_analysis", "champion"))),
}
RUNBOOK = "retrain"
"""It tells of a challenger's whole way, and how to take out one that won and should not have."""


def walked(use_case: UseCase) -> tuple[dg.AssetKey, ...]:
    """The assets that the sensor walks."""
    return (key(use_case, MODELS, "registered_version"), key(use_case, MONITORING, "challenger_regret"))


def release_sensor(use_case: UseCase, settings: Settings, jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """Walks the verdicts about candidates and requests the step each asks for."""

    @dg.sensor(
        name=automation(use_case, "release"),
        jobs=[jobs[name] for name in (CANARY, CONCLUDE)],
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Moves a candidate from shadow to canary to larger shares to champion, or out, as its table says.",
        metadata={"runbook": runbook_at(settings.runbooks, RUNBOOK)},
    )
    def release(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursors = Cursors(context.cursor)
        events = [event for asset in walked(use_case) for event in cursors.walk(context.instance, asset)]
        verdicts = [verdict for event in events for verdict in event.metadata.get("verdicts", [])]
        wanted = [request_of(use_case, v, settings.runbooks) for v in verdicts if Step(v["step"]) in JOB_OF]
        asked = Asked(context.instance)
        requests = [request for request in wanted if not asked.before(request.run_key)]
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursors.text())
        context.update_cursor(cursors.text())
        waiting = "; ".join(f"version {v['version']}: {v['step']}: {v['reason']}" for v in verdicts)
        return dg.SkipReason(waiting or "no candidate to move")

    return release


def request_of(use_case: UseCase, verdict: dict, runbooks: str) -> dg.RunRequest:
    """The run that carries out one verdict about one version."""
    step, version, day = Step(verdict["step"]), verdict["version"], verdict["day"]
    job, assets = JOB_OF[step]
    config = {"config": {"version": version, "day": day}}
    ops = {key(use_case, RELEASES, name).to_python_identifier(): config for name in assets}
    return dg.RunRequest(
        job_name=automation(use_case, job),
        run_key=f"{use_case.name}/{step}/{version}/{day}",
        partition_key=verdict["cutoff_day"],
        run_config={"ops": ops},
        tags={
            "mlops/step": str(step),
            "mlops/version": str(version),
            "mlops/reason": verdict["reason"][:240],
            "mlops/runbook": runbook_at(runbooks, RUNBOOK),
        },
    )
