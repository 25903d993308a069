"""How a Dagster run ended, in MLflow's words.

Here: the map of statuses and what the event log tells before Dagster has written the run's own ending.
Belongs here: reading Dagster's records of a run. Does not: MLflow.
"""

import dagster as dg
from dagster import DagsterEventType

ENDINGS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}
OVER = list(ENDINGS)
STEP_ENDINGS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_SKIPPED, DagsterEventType.STEP_FAILURE}


def ending_so_far(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """The ending that is certain now, or None while steps are missing that other processes may still run.

    A process lets its resources go before Dagster writes the run's ending, so the steps have to tell it.
    """
    now = instance.get_run_by_id(run.run_id) or run
    if now.status in ENDINGS:
        return ENDINGS[now.status]
    if now.status is dg.DagsterRunStatus.CANCELING:
        return ENDINGS[dg.DagsterRunStatus.CANCELED]
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=STEP_ENDINGS)]
    ended = {event.step_key: event.event_type for event in events if event}
    if DagsterEventType.STEP_FAILURE in ended.values():
        return ENDINGS[dg.DagsterRunStatus.FAILURE]
    return ENDINGS[dg.DagsterRunStatus.SUCCESS] if planned_steps(instance, now) <= set(ended) else None


def planned_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """Keys of the steps that the run means to execute.

    Raises ValueError when Dagster kept no plan: then nobody may call the run complete.
    """
    if run.execution_plan_snapshot_id is None:
        raise ValueError(f"Dagster kept no execution plan of run {run.run_id}")
    return set(instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id).step_keys_to_execute)
