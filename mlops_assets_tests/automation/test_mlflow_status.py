"""The sensor looks after endings until MLflow was told."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.adapters.registry import RegistryUnavailable
from mlops_assets.automation.mlflow_status import mlflow_status_sensors
from mlops_assets.resources.mlflow import SETTLED_TAG, ExperimentTracking, MemoryExperimentTracking


def tick(instance: dg.DagsterInstance, tracking: ExperimentTracking) -> str:
    (sensor,) = mlflow_status_sensors()
    with dg.build_sensor_context(instance=instance, resources={"experiment_tracking": tracking}) as context:
        told = sensor(context)
    assert isinstance(told, dg.SkipReason)
    assert told.skip_message
    return told.skip_message


def finished_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    @dg.asset
    def anything() -> None: ...

    return dg.materialize([anything], instance=instance, tags=tags).dagster_run


def test_the_sensor_runs_by_default_and_asks_for_no_job() -> None:
    (sensor,) = mlflow_status_sensors(minimum_interval_seconds=7)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert (sensor.minimum_interval_seconds, sensor.targets) == (7, [])


def test_without_an_open_run_it_says_so_and_asks_no_server() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        finished_run(instance)
        nowhere = ExperimentTracking(tracking_uri="http://127.0.0.1:9")
        assert tick(instance, nowhere) == "every MLflow run tells the ending of its Dagster run"
        assert tick(instance, MemoryExperimentTracking()).startswith("every")


def test_a_registry_that_is_down_loses_no_ending() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = finished_run(instance, **{SETTLED_TAG: "no"})
        for _ in range(2):
            with pytest.raises(RegistryUnavailable):
                tick(instance, ExperimentTracking(tracking_uri="http://127.0.0.1:9"))
        kept = instance.get_run_by_id(run.run_id)
        assert kept is not None
        assert kept.tags[SETTLED_TAG] == "no"


@pytest.mark.integration
def test_an_open_run_is_ended_once_with_dagsters_own_ending(tmp_path: Path) -> None:
    from mlops_assets.adapters.experiments import Experiments

    tracking = ExperimentTracking(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with dg.DagsterInstance.ephemeral() as instance:
        run = finished_run(instance, **{SETTLED_TAG: "no"})
        experiments = Experiments(tracking.tracking_uri, tracking.experiment)
        mlflow_run_id = experiments.find_or_create(run.run_id, "left open", {})
        assert f"{mlflow_run_id} of Dagster run {run.run_id}: is FINISHED, was RUNNING" in tick(instance, tracking)
        assert tick(instance, tracking).startswith("every")


@pytest.mark.integration
def test_a_run_that_was_deleted_or_never_started_is_not_asked_for_again(tmp_path: Path) -> None:
    tracking = ExperimentTracking(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with dg.DagsterInstance.ephemeral() as instance:
        finished_run(instance, **{SETTLED_TAG: "no"})
        finished_run(instance, **{SETTLED_TAG: "no", "mlflow/run_id": "0" * 32})
        told = tick(instance, tracking)
        assert "never started" in told
        assert "is gone" in told
        assert tick(instance, tracking).startswith("every")
