"""An MLflow run starts when it is asked for, and ends as its Dagster run ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.resources.mlflow import ExperimentTracking, MemoryExperimentTracking, MemoryRun, MlflowRun
from mlops_assets.resources.run_endings import ENDINGS

DAYS = dg.StaticPartitionsDefinition(["2013-04-01", "2013-04-02"])


@dg.asset(partitions_def=DAYS)
def model(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking) -> dg.MaterializeResult:
    tracked = experiment_tracking.run(context)
    tracked.log_params({"rounds": 400})
    tracked.log_metrics({"auc": 0.75})
    return dg.MaterializeResult(metadata=tracked.metadata())


@dg.asset(partitions_def=DAYS, deps=[model])
def evaluation(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking) -> None:
    experiment_tracking.run(context).log_metrics({"brier": 0.17})


@dg.asset
def never_asks(experiment_tracking: ExperimentTracking) -> None: ...


@dg.asset(deps=[model], partitions_def=DAYS)
def breaks() -> None:
    raise ValueError("broken after the model was trained")


@dg.asset
def breaks_itself(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking) -> None:
    experiment_tracking.run(context).log_metrics({"auc": 0.5})
    raise ValueError("broken")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow without a server: its database in a file."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def tracking(address: str) -> ExperimentTracking:
    return ExperimentTracking(tracking_uri=address, ui_url="http://127.0.0.1:3000")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(
    instance: dg.DagsterInstance, tracking: ExperimentTracking, *assets: dg.AssetsDefinition, day: str | None = None
) -> dg.ExecuteInProcessResult:
    resources = {"experiment_tracking": tracking}
    return dg.materialize(list(assets), instance=instance, resources=resources, partition_key=day, raise_on_error=False)


def mlflow_runs(address: str, dagster_run_id: str) -> list:
    from mlops_assets.adapters.mlflow_server import connect

    client = connect(address)
    found = client.get_experiment_by_name("mlops_assets")
    where = f"tags.dagster_run_id = '{dagster_run_id}'"
    return list(client.search_runs([found.experiment_id], where)) if found else []


@pytest.mark.integration
def test_a_run_is_linked_both_ways_and_ends_with_its_dagster_run(
    address: str, tracking: ExperimentTracking, instance: dg.DagsterInstance
) -> None:
    result = materialize(instance, tracking, model, evaluation, day="2013-04-01")
    (run,) = mlflow_runs(address, result.run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.metrics, run.data.params) == ({"auc": 0.75, "brier": 0.17}, {"rounds": "400"})
    tags = run.data.tags
    assert tags["dagster_run_url"] == f"http://127.0.0.1:3000/runs/{result.run_id}"
    assert tags["dagster_asset/model"] == tags["dagster_asset/evaluation"] == tags["dagster_partition"] == "2013-04-01"
    assert run.info.run_name == "model 2013-04-01"
    metadata = result.asset_materializations_for_node("model")[0].metadata
    assert metadata["mlflow_run_id"].value == run.info.run_id
    dagster_run = instance.get_run_by_id(result.run_id)
    assert dagster_run is not None
    assert dagster_run.tags["mlflow/run_id"] == run.info.run_id
    assert dagster_run.tags["mlflow/url"] == metadata["mlflow_run"].value


@pytest.mark.integration
def test_runs_one_after_another_in_one_process_keep_to_themselves(
    address: str, tracking: ExperimentTracking, instance: dg.DagsterInstance
) -> None:
    results = [materialize(instance, tracking, model, day=day) for day in DAYS.get_partition_keys()]
    results.append(materialize(instance, tracking, breaks_itself))
    results.append(materialize(instance, tracking, model, day="2013-04-01"))
    statuses = [[run.info.status for run in mlflow_runs(address, result.run_id)] for result in results]
    assert statuses == [["FINISHED"], ["FINISHED"], ["FAILED"], ["FINISHED"]]
    (failed,) = mlflow_runs(address, results[2].run_id)
    assert failed.data.metrics == {"auc": 0.5}


@pytest.mark.integration
def test_a_dagster_run_that_fails_elsewhere_is_not_called_finished(
    address: str, tracking: ExperimentTracking, instance: dg.DagsterInstance
) -> None:
    result = materialize(instance, tracking, model, breaks, day="2013-04-01")
    assert not result.success
    (run,) = mlflow_runs(address, result.run_id)
    assert run.info.status == "FAILED"


@pytest.mark.integration
def test_an_asset_that_never_asks_starts_no_run(
    address: str, tracking: ExperimentTracking, instance: dg.DagsterInstance
) -> None:
    result = materialize(instance, tracking, never_asks)
    assert result.success
    assert mlflow_runs(address, result.run_id) == []


@pytest.mark.integration
def test_a_run_left_active_in_the_process_gets_none_of_our_numbers(
    address: str, tracking: ExperimentTracking, instance: dg.DagsterInstance
) -> None:
    import mlflow

    mlflow.set_tracking_uri(address)
    stale = mlflow.start_run(run_name="stale").info.run_id
    result = materialize(instance, tracking, model, day="2013-04-01")
    (run,) = mlflow_runs(address, result.run_id)
    assert run.info.run_id != stale
    assert mlflow.get_run(stale).data.metrics == {}
    assert mlflow.active_run() is None
    mlflow.MlflowClient().set_terminated(stale)


def test_a_server_that_is_down_fails_the_asset_with_its_address(instance: dg.DagsterInstance) -> None:
    tracking = ExperimentTracking(tracking_uri="http://127.0.0.1:9")
    result = materialize(instance, tracking, model, day="2013-04-01")
    assert not result.success
    assert "http://127.0.0.1:9" in str(result.failure_data_for_node("model"))


def test_the_twin_in_memory_keeps_what_it_was_told(instance: dg.DagsterInstance) -> None:
    seen: list[MemoryRun] = []

    @dg.asset
    def watched(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking) -> dg.MaterializeResult:
        tracked = experiment_tracking.run(context)
        assert isinstance(tracked, MemoryRun)
        tracked.log_params({"rounds": 400})
        tracked.log_params({"rounds": 400})
        tracked.log_metrics({"auc": 0.75})
        seen.append(tracked)
        with pytest.raises(ValueError, match="rounds"):
            tracked.log_params({"rounds": 1})
        return dg.MaterializeResult(metadata=tracked.metadata())

    assert materialize(instance, MemoryExperimentTracking(), watched).success
    assert (seen[0].params, seen[0].metrics) == ({"rounds": 400}, {"auc": 0.75})
    assert seen[0].tags["dagster_asset"] == "watched"


def test_loading_the_resource_imports_no_mlflow() -> None:
    program = "import sys, mlops_assets.resources.mlflow, mlops_assets.automation.mlflow_status as a"
    program += "; a.mlflow_status_sensors(); sys.exit('mlflow' in sys.modules or 'dagster_mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


LIFE = """
import pathlib, sys, time
import dagster as dg
from mlops_assets.resources.mlflow import ExperimentTracking

remembered = pathlib.Path(__file__).with_name("argv")
address, folder, mode = sys.argv[1:] if __name__ == "__main__" else remembered.read_text().split()

@dg.asset
def trained(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking):
    experiment_tracking.run(context).log_metrics({"auc": 0.75})
    if mode == "hang":
        pathlib.Path(folder, "hanging").write_text(context.run_id)
        time.sleep(60)

@dg.asset
def scored(context: dg.AssetExecutionContext, experiment_tracking: ExperimentTracking):
    experiment_tracking.run(context).log_metrics({"brier": 0.17})

@dg.asset(deps=[trained, scored])
def published(experiment_tracking: ExperimentTracking):
    if mode == "fail":
        raise ValueError("published nothing")

@dg.asset(deps=[trained, scored])
def archived(): ...

def life():
    executor = dg.in_process_executor if mode == "hang" else dg.multiprocess_executor
    return dg.Definitions(
        assets=[trained, scored, published, archived],
        jobs=[dg.define_asset_job("life", executor_def=executor)],
        resources={"experiment_tracking": ExperimentTracking(tracking_uri=address)},
    ).resolve_job_def("life")

if __name__ == "__main__":
    remembered.write_text(" ".join(sys.argv[1:]))
    with dg.DagsterInstance.local_temp(folder + "/dagster") as instance:
        job = dg.reconstructable(life) if mode != "hang" else life()
        if mode == "hang":
            job.execute_in_process(instance=instance)
        else:
            dg.execute_job(job, instance=instance)
"""


def start_life(folder: Path, address: str, mode: str) -> subprocess.Popen[bytes]:
    (folder / "dagster").mkdir()
    (folder / "life.py").write_text(LIFE)
    command = [sys.executable, str(folder / "life.py"), address, str(folder), mode]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.integration
@pytest.mark.parametrize(("mode", "ending"), [("succeed", "FINISHED"), ("fail", "FAILED")])
def test_step_processes_share_one_run_and_the_sensor_ends_it(
    tmp_path: Path, address: str, tracking: ExperimentTracking, mode: str, ending: str
) -> None:
    start_life(tmp_path, address, mode).wait(120)
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        (dagster_run,) = instance.get_runs()
        assert ENDINGS[dagster_run.status] == ending
        tracking.settle(instance)
        (run,) = mlflow_runs(address, dagster_run.run_id)
        assert (run.info.status, run.data.metrics) == (ending, {"auc": 0.75, "brier": 0.17})
        assert tracking.settle(instance) == []


@pytest.mark.integration
@pytest.mark.parametrize(
    ("report", "ending"),
    [(dg.DagsterInstance.report_run_canceled, "KILLED"), (dg.DagsterInstance.report_run_failed, "FAILED")],
)
def test_a_killed_process_leaves_a_run_that_gets_its_ending_later(
    tmp_path: Path,
    address: str,
    tracking: ExperimentTracking,
    report: Callable[[dg.DagsterInstance, dg.DagsterRun], object],
    ending: str,
) -> None:
    life = start_life(tmp_path, address, "hang")
    hanging = tmp_path / "hanging"
    while not hanging.exists() and life.poll() is None:
        time.sleep(0.1)
    os.kill(life.pid, signal.SIGKILL)
    life.wait(10)
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        dagster_run = instance.get_run_by_id(hanging.read_text())
        assert dagster_run is not None
        assert tracking.settle(instance) == []
        assert [run.info.status for run in mlflow_runs(address, dagster_run.run_id)] == ["RUNNING"]
        report(instance, dagster_run)
        assert len(tracking.settle(instance)) == 1
        (run,) = mlflow_runs(address, dagster_run.run_id)
        assert (run.info.status, run.info.end_time is not None) == (ending, True)


def test_the_real_run_and_its_twin_have_the_same_interface() -> None:
    names = {name for name in dir(MemoryRun("a", "b")) if not name.startswith("_")} - {"params", "metrics", "tags"}
    assert names <= {name for name in dir(MlflowRun(None, "a", "b")) if not name.startswith("_")}
