"""The sensor that acts on decisions: rolls back, retrains, quarantines.

Here: from a materialized decision to the run that carries it out. Belongs here: which job answers which action.
Does not: the decision itself: K-of-N, cooldown and ceiling are in ``ml.policy``.

Edge-triggered: a decision is answered once, when it is first materialized (run key: action, day, version); the same
decision materialized again asks for nothing.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import MODELS, MONITORING, automation, key
from mlops_assets.automation.jobs import HOLD, RETRAIN, ROLL_BACK
from mlops_assets.automation.walk import Cursors, Seen
from mlops_assets.contracts import Action, UseCase

JOB_OF = {
    Action.ROLL_BACK: ROLL_BACK,
    Action.RETRAIN: RETRAIN,
    Action.FALL_BACK: RETRAIN,
    Action.HOLD: HOLD,
}


def walked(use_case: UseCase) -> tuple[dg.AssetKey, ...]:
    """The assets that the sensor walks."""
    return (key(use_case, MONITORING, "decision"),)


def remediation_sensor(use_case: UseCase, settings: Settings, jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """Walks the decisions of a use case and requests what each asks for."""

    @dg.sensor(
        name=automation(use_case, "remediation"),
        jobs=[jobs[name] for name in dict.fromkeys(JOB_OF.values())],
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rolls back, retrains or quarantines when the decision of a day asks for it; once for each.",
    )
    def remediation(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursors = Cursors(context.cursor)
        seen = [event for asset in walked(use_case) for event in cursors.walk(context.instance, asset)]
        requests = [request_of(use_case, event) for event in seen if Action(event.metadata["action"]) in JOB_OF]
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursors.text())
        context.update_cursor(cursors.text())
        return dg.SkipReason(_quiet(seen))

    return remediation


def request_of(use_case: UseCase, event: Seen) -> dg.RunRequest:
    """The run that carries out one decision."""
    action, day = Action(event.metadata["action"]), event.partition
    reason = str(event.metadata["reason"])
    job = JOB_OF[action]
    trains = job == RETRAIN
    model = key(use_case, MODELS, "model").to_python_identifier()
    return dg.RunRequest(
        job_name=automation(use_case, job),
        run_key=f"{use_case.name}/{action}/{day}/{event.metadata['version']}",
        partition_key=day,
        run_config={"ops": {model: {"config": {"because": f"{action} on {day}: {reason}"}}}} if trains else {},
        tags={"mlops/action": str(action), "mlops/reason": reason[:240]},
    )


def _quiet(seen: list[Seen]) -> str:
    if not seen:
        return "no new decision"
    last = seen[-1]
    return f"{len(seen)} new decisions, none to act on; {last.partition}: {last.metadata['action']}"
