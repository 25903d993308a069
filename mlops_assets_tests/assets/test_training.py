"""A frozen training set: what its manifest says, where its file is, and when it is none."""

from dataclasses import replace

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.documents import training_set_of as registered_training_set
from mlops_assets.adapters.source import RawDay
from mlops_assets.assets.address import DATASETS, MODELS, TRAINING, key
from mlops_assets.assets.files import FrozenRowsChanged, put_training_set, training_set_of
from mlops_assets.assets.partitions import shift
from mlops_assets.assets.training import GONE, build_training
from mlops_assets.contracts import to_json
from mlops_assets.ml.digests import content_digest
from mlops_assets.ml.training import asked, freeze, thaw
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, Twins, checks_of, why


def frozen(twins: Twins):
    return training_set_of(twins.memory.artifacts, twins.use_case, LAST)


def test_the_manifest_says_what_the_rows_were_asked_from(life):
    manifest, content = frozen(life.twins)
    rows = thaw(content)
    assert (manifest.use_case, manifest.cutoff_day, manifest.rows) == ("arrival_delay", LAST, len(rows))
    assert {(pin.table, pin.first_day, pin.last_day) for pin in manifest.tables} == {
        (f"flights/{name}", "2013-01-01", LAST)
        for name in (
            "datasets/flights",
            "datasets/arrivals",
            "features/origin_weather",
            "features/origin_delays",
            "features/carrier_delays",
            "features/destination_delays",
        )
    }
    tables = life.twins.memory.tables
    assert all(pin.version <= tables.version(pin.table) for pin in manifest.tables)
    assert manifest.content_digest == content_digest(rows)
    assert manifest.feature_service == "arrival_delay_v1"
    assert manifest.feature_service_digest == life.twins.memory.feature_store.service_digest("arrival_delay_v1")
    assert len(manifest.lock_digest) == 64
    assert manifest.dagster_run_id == life.runs["train"].run_id


def test_the_query_of_the_manifest_asks_for_the_same_decisions_again(life):
    manifest, content = frozen(life.twins)
    versions = {pin.table: pin.version for pin in manifest.tables}
    query, tables = manifest.query, life.twins.memory.tables
    flights, arrivals = (
        tables.read(name, query.first_day, query.cutoff_day, versions[name])
        for name in (query.decisions_table, query.outcomes_table)
    )
    again = asked(query, flights, arrivals)
    pd.testing.assert_frame_equal(again, thaw(content)[list(again.columns)])
    assert (query.lead_minutes, query.late_minutes, query.label) == (120, 15, "is_late")
    for word in (query.first_day, query.cutoff_day, query.decisions_table, "120 minutes", "15 minutes", query.label):
        assert word in query.text


def test_the_file_is_in_the_remote_and_the_manifest_points_to_it(life):
    manifest, content = frozen(life.twins)
    assert manifest.file.size == len(content)
    assert life.twins.memory.content_store.pull(manifest.file, manifest.digest) == content


def test_the_manifest_is_registered_with_the_version_and_shown_in_the_ui(life):
    manifest, _ = frozen(life.twins)
    registered = registered_training_set(life.twins.memory.registry, "arrival_delay", 1)
    assert registered == manifest
    (event,) = life.runs["train"].asset_materializations_for_node("arrival_delay__training__training_set")
    assert to_json(event.metadata["manifest"].value) == to_json(manifest)
    assert event.metadata["digest"].value == manifest.digest
    assert event.metadata["dagster/partition_row_count"].value == manifest.rows
    assert event.tags["dagster/data_version"] == manifest.content_digest


def test_a_remote_that_is_down_fails_the_training_set_and_leaves_the_old_one(lived):
    before = frozen(lived)
    lived.memory.content_store.open = False
    arrivals = lived.memory.tables.read("flights/datasets/arrivals", LAST, LAST)
    lived.memory.tables.replace("flights/datasets/arrivals", arrivals.iloc[1:], [LAST], {})
    result = lived.materialize([key(lived.use_case, TRAINING, "training_set")], LAST, fails=True)
    assert not result.success
    assert "ContentUnavailable" in why(result)
    assert frozen(lived) == before


@pytest.mark.parametrize(
    ("dataset", "kept", "told"),
    [("arrivals", 0.1, "of the scheduled landings, less than 25%"), ("arrivals", 0.0, "no arrivals"),
     ("flights", 0.1, "of the scheduled landings, more than 150%"), ("flights", 0.0, "no flights")],
)  # fmt: skip
def test_no_training_set_is_made_over_a_day_that_a_run_before_it_refused(lived, dataset, kept, told):
    before, bad, address = frozen(lived), shift(LAST, -3), f"flights/datasets/{dataset}"
    rows = lived.memory.tables.read(address, bad, bad)
    lived.memory.tables.replace(address, rows.sample(frac=kept, random_state=1), [bad], {})
    result = lived.materialize([key(lived.use_case, TRAINING, "training_set")], LAST, fails=True)
    assert not result.success
    said = why(result)
    assert bad in said
    assert told in said
    assert "Land these days again" in said
    assert frozen(lived) == before


def test_a_model_is_not_trained_on_rows_that_the_manifest_does_not_name(lived):
    manifest, content = frozen(lived)
    other, _ = freeze(thaw(content).iloc[1:])
    put_training_set(lived.memory.artifacts, lived.use_case, manifest, other)
    with pytest.raises(FrozenRowsChanged, match="materialize"):
        frozen(lived)
    result = lived.materialize([key(lived.use_case, MODELS, "model")], LAST, fails=True)
    assert "FrozenRowsChanged" in why(result)


def test_a_model_is_not_trained_on_rows_joined_by_other_definitions(lived):
    manifest, content = frozen(lived)
    other = replace(manifest, feature_service_digest="0" * 64)
    put_training_set(lived.memory.artifacts, lived.use_case, other, content)
    result = lived.materialize([key(lived.use_case, MODELS, "model")], LAST, fails=True)
    assert "other definitions of arrival_delay_v1" in why(result)


def test_the_same_tables_give_the_same_file_and_another_table_version_another(lived):
    before, _ = frozen(lived)
    address = [key(lived.use_case, TRAINING, "training_set")]
    lived.materialize(address, LAST)
    same, _ = frozen(lived)
    assert (same.digest, same.content_digest, same.file) == (before.digest, before.content_digest, before.file)
    flights = lived.memory.tables.read("flights/datasets/flights", FIRST, FIRST)
    changed = flights.assign(distance=flights["distance"] + 1)
    lived.memory.tables.replace("flights/datasets/flights", changed, [FIRST], {})
    lived.materialize(address, LAST)
    other, _ = frozen(lived)
    assert other.digest != before.digest
    assert lived.memory.content_store.pull(before.file, before.digest)


def current(twins: Twins):
    """What the check says now."""
    (check,) = [c for c in build_training(twins.use_case) if isinstance(c, dg.AssetChecksDefinition)]
    memory = twins.memory
    return check(tables=memory.tables, artifacts=memory.artifacts, registry=memory.registry)


def land_again(twins: Twins, day: str, raw: RawDay) -> None:
    """Land a day, and make its arrivals again."""
    twins.source.land(day, raw)
    twins.materialize([key(twins.domain, DATASETS, "arrivals")], day)


def test_a_day_that_was_corrected_after_the_training_is_named(lived):
    assert current(lived).passed
    raw = lived.source.day(FIRST)
    land_again(lived, FIRST, replace(raw, arrivals=raw.arrivals.iloc[1:]))  # one flight did not land after all
    told = current(lived)
    assert not told.passed
    assert told.severity is dg.AssetCheckSeverity.WARN
    assert told.metadata["changed"].value == {
        "champion (version 1)": {"flights/datasets/arrivals": [FIRST]},
        f"newest ({LAST})": {"flights/datasets/arrivals": [FIRST]},
    }
    assert f"flights/datasets/arrivals changed on {FIRST}" in told.description


def test_many_changed_days_are_told_by_the_first_and_the_last(lived):
    tables, name = lived.memory.tables, "flights/datasets/arrivals"
    days = [day for day in tables.days(name) if day <= LAST]
    tables.replace(name, tables.read(name, FIRST, LAST).assign(arr_delay=0), days, {})
    told = current(lived)
    assert f"{name} changed on {len(days)} days from {FIRST} to {LAST}" in told.description
    assert told.metadata["changed"].value["champion (version 1)"] == {name: days}


def test_a_day_landed_again_unchanged_leaves_the_training_sets_current(lived):
    versions = lived.memory.tables.version("flights/datasets/arrivals")
    land_again(lived, FIRST, lived.source.day(FIRST))
    assert lived.memory.tables.version("flights/datasets/arrivals") > versions
    assert current(lived).passed


def test_a_day_after_the_window_does_not_count(lived):
    raw = lived.source.day(LIVE[1])
    land_again(lived, LIVE[1], replace(raw, arrivals=raw.arrivals.iloc[1:]))
    assert current(lived).passed


def test_a_pinned_version_that_is_gone_is_not_called_current(lived):
    manifest, content = frozen(lived)
    lost = replace(manifest, tables=(replace(manifest.tables[0], version=999), *manifest.tables[1:]))
    put_training_set(lived.memory.artifacts, lived.use_case, lost, content)
    told = current(lived)
    assert told.metadata["changed"].value == {f"newest ({LAST})": {"flights/datasets/flights": [GONE]}}
    assert not told.passed


def test_the_job_of_a_day_asks_whether_training_sets_are_current_after_the_day_has_landed(life):
    run = life.runs[LIVE[0]]
    assert checks_of(run)["training_set/rows_are_current"] is True
    ended = [event.step_key for event in run.all_events if event.event_type_value == "STEP_SUCCESS"]
    place = {name: next(n for n, step in enumerate(ended) if name in step) for name in ("arrivals", "rows_are_current")}
    assert place["arrivals"] < place["rows_are_current"]


def test_before_the_first_training_there_is_nothing_to_be_stale(twins):
    told = current(twins)
    assert told.passed
    assert told.metadata["looked_at"].value == []
