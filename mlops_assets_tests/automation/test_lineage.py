"""Every finished run is told once, with its real datasets; a collector that is down loses nothing and fails nothing."""

import json
from types import SimpleNamespace

import dagster as dg
import pytest

from mlops_assets.adapters.lineage_events import LineageEvents, LineageRun, NoLineageEvents
from mlops_assets.automation.run_lineage import child_id
from mlops_assets_tests.conftest import FIRST, LAST, LIVE

SENSOR = "lineage__tell"


def ticked(twins, collector: LineageEvents, cursor: str | None = None) -> tuple[str | None, str]:
    """Cursor and reason after one tick."""
    resources = {"lineage_events": collector, "tables": twins.memory.tables}
    context = dg.build_sensor_context(
        instance=twins.instance, cursor=cursor, definitions=twins.definitions, resources=resources
    )
    found = twins.definitions.get_sensor_def(SENSOR).evaluate_tick(context)
    return found.cursor, found.skip_message or ""


@pytest.fixture
def telling(life):
    """The lived system, with a collector that heard nothing yet, and its ticks."""
    collector = life.twins.lineage_events
    collector.told, collector.down = [], False
    state = SimpleNamespace(cursor=None, told=collector.told, collector=collector, life=life)

    def tick() -> str:
        state.cursor, reason = ticked(life.twins, collector, state.cursor)
        return reason

    state.tick = tick
    return state


def of_run(told: list[LineageRun], run_id: str) -> dict[str, LineageRun]:
    return {run.job: run for run in told if run.parent and run.parent[1] == run_id}


def test_every_run_of_a_life_is_told_once_and_not_again_after_a_restart(telling) -> None:
    telling.tick()
    parents = [run.id for run in telling.told if run.parent is None]
    assert set(parents) >= {result.run_id for result in telling.life.runs.values()}
    assert len(parents) == len(set(parents))
    told = len(telling.told)
    assert telling.tick() == "no run has finished"
    assert len(telling.told) == told


def test_a_collector_that_is_down_gets_everything_later(telling) -> None:
    telling.collector.down = True
    assert "told 0 runs; the next one waits: the collector does not answer" in telling.tick()
    assert telling.told == []
    telling.collector.down = False
    telling.tick()
    assert {run.id for run in telling.told if run.parent is None} >= {r.run_id for r in telling.life.runs.values()}


def test_telling_again_tells_the_same(telling) -> None:
    telling.tick()
    first = list(telling.told)
    telling.cursor = None
    telling.told.clear()
    telling.tick()
    assert telling.told == first


def test_a_training_set_tells_what_it_read_at_which_version_and_what_it_made(telling) -> None:
    telling.tick()
    train = telling.life.runs["train"]
    run = of_run(telling.told, train.run_id)["arrival_delay/training/training_set"]
    assert run.id == child_id(train.run_id, run.job)
    assert (run.parent, run.days, run.state) == (("arrival_delay__train", train.run_id), (LAST, LAST), "COMPLETE")
    read = {dataset.name: dataset for dataset in run.inputs}
    assert set(read) == {
        "flights/datasets/flights",
        "flights/datasets/arrivals",
        *(f"flights/features/{v}" for v in ("origin_weather", "origin_delays", "carrier_delays", "destination_delays")),
    }
    assert all(dataset.kind == "table" and dataset.version for dataset in read.values())
    (made,) = run.outputs
    assert (made.name, made.kind) == ("arrival_delay/training/training_set", "file")
    manifest = telling.life.twins.memory.registry.document("arrival_delay", 1, "manifest.json")
    assert made.version
    assert json.loads(manifest)["training_set_digest"]


def test_features_tell_their_schema_and_the_columns_they_come_from(telling) -> None:
    telling.tick()
    history = telling.life.runs["history"]
    run = of_run(telling.told, history.run_id)["flights/features/carrier_delays"]
    assert run.days == (FIRST, LAST)
    (made,) = run.outputs
    assert made.kind == "table"
    assert made.version is not None
    assert {column.name for column in made.columns} >= {"mean_arr_delay_3h", "landed_share_168h"}
    sources = {(s.dataset, s.column) for s in made.column_lineage["landed_share_3h"]}
    assert ("flights", "sched_arr_at") in sources


def test_checks_are_told_of_the_datasets_that_they_are_about(telling) -> None:
    telling.tick()
    day = of_run(telling.told, telling.life.runs[LIVE[0]].run_id)
    outcomes = day["arrival_delay/monitoring/outcomes"]
    traffic = next(dataset for dataset in outcomes.inputs if dataset.name == "arrival_delay/monitoring/traffic")
    assert [(check.name, check.passed) for check in traffic.assertions] == [("answers_are_unique", True)]


def test_models_and_releases_are_told_with_their_digest(telling) -> None:
    telling.tick()
    version = telling.life.twins.memory.registry.version("arrival_delay", 1)
    trained = of_run(telling.told, telling.life.runs["train"].run_id)
    released = of_run(telling.told, telling.life.runs["conclude"].run_id)
    for run in (
        trained["arrival_delay/models/model"],
        trained["arrival_delay/models/registered_version"],
        released["arrival_delay/releases/champion"],
    ):
        assert run.outputs[0].version == version.digest
    assert released["arrival_delay/releases/champion"].outputs[0].kind == "version"


def test_a_failed_run_is_told_with_its_error(telling, tmp_path) -> None:
    twins = telling.life.twins.copied(tmp_path)
    twins.memory.artifacts._files.clear()
    failed = twins.materialize([dg.AssetKey(["arrival_delay", "models", "model_card"])], LAST, fails=True)
    ticked(twins, twins.lineage_events)
    (run,) = [run for run in twins.lineage_events.told if run.id == failed.run_id]
    assert run.state == "FAIL"
    assert run.error


def test_without_a_collector_nothing_is_told_and_nothing_is_forgotten(life) -> None:
    nobody = NoLineageEvents()
    assert ticked(life.twins, nobody) == (None, "nobody collects lineage: MLOPS_OPENLINEAGE is not set")
    nobody.tell([])
