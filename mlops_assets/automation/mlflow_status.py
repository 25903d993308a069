"""MLflow runs end as their Dagster runs ended, also those whose process could not see to it.

Here: one sensor. Belongs here: when endings are looked after. Does not: how (``resources.mlflow``).

Not a run-status sensor: Dagster moves such a sensor's cursor on when its body fails, so a registry that is down for a
minute would leave runs RUNNING for ever; it also starts at the newest event and passes over what came before. The
Dagster run's own tag is the queue here: a run stays in it until MLflow was told.
"""

import dagster as dg

from mlops_assets.resources.mlflow import ExperimentTracking


def mlflow_status_sensors(minimum_interval_seconds: int = 5) -> list[dg.SensorDefinition]:
    """The sensors of this module; they need the resource ``experiment_tracking``."""

    @dg.sensor(
        name="experiments__settle",
        description="Gives MLflow runs the ending of their Dagster run: success, failure or canceled.",
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def experiments__settle(
        context: dg.SensorEvaluationContext, experiment_tracking: ExperimentTracking
    ) -> dg.SkipReason:
        settled = experiment_tracking.settle(context.instance)
        return dg.SkipReason("; ".join(settled) or "every MLflow run tells the ending of its Dagster run")

    return [experiments__settle]
