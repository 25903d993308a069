"""Landing and the datasets of a day: what is kept, what is held back, and that a day can be made again."""

import json
from dataclasses import replace

import pandas as pd
from pandas.testing import assert_frame_equal

from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, key
from mlops_assets_tests.conftest import Twins, new_twins, why

DAY, DAYS = "2013-03-05", ("2013-03-05", "2013-03-06", "2013-03-07")
NAMES = ("flights", "arrivals", "weather", "quarantine")
TABLES = tuple(f"flights/datasets/{name}" for name in NAMES)


def land(twins: Twins, day: str, last: str | None = None, names: tuple[str, ...] = ("landing", *NAMES), **options):
    return twins.materialize([key(twins.domain, DATASETS, name) for name in names], day, last, **options)


def break_flights(twins: Twins, **values) -> None:
    """Add the first flight of the day once more, with other values."""
    raw = twins.source.day(DAY)
    broken = pd.concat([raw.flights, raw.flights.head(1).assign(**values)], ignore_index=True)
    twins.source.land(DAY, replace(raw, flights=broken))


def test_the_wind_of_1048_miles_per_hour_is_quarantined_with_its_reason(twins):
    day = "2013-02-12"
    land(twins, day)
    (row,) = twins.memory.tables.read("flights/datasets/quarantine", day, day).to_dict("records")
    assert row["dataset"] == "weather"
    assert json.loads(row["source_row"])["wind_speed"] > 1048
    assert "wind_speed is 1048" in row["reason"]
    assert twins.memory.tables.read("flights/datasets/weather", day, day)["wind_speed"].max() <= 120


def test_a_flight_of_an_unknown_carrier_is_quarantined(twins):
    land(twins, DAY)
    before = twins.memory.tables.read("flights/datasets/flights")
    break_flights(twins, carrier="ZZ")
    land(twins, DAY)
    (row,) = twins.memory.tables.read("flights/datasets/quarantine").to_dict("records")
    assert "ZZ" in row["reason"]
    assert_frame_equal(twins.memory.tables.read("flights/datasets/flights"), before)


def test_a_flight_on_the_31st_of_february_is_quarantined(twins):
    break_flights(twins, month=2, day=31)
    land(twins, DAY)
    (row,) = twins.memory.tables.read("flights/datasets/quarantine").to_dict("records")
    source = json.loads(row["source_row"])
    assert (source["month"], source["day"]) == (2, 31)


def test_a_missing_column_fails_the_run_and_leaves_the_table_as_it_was(twins):
    land(twins, DAY)
    before, version = twins.memory.tables.read(TABLES[0]), twins.memory.tables.version(TABLES[0])
    raw = twins.source.day(DAY)
    twins.source.land(DAY, replace(raw, flights=raw.flights.drop(columns="carrier")))
    result = land(twins, DAY, names=("flights",), fails=True)
    assert not result.success
    assert f"flights of {DAY}: column carrier is missing" in why(result)
    assert_frame_equal(twins.memory.tables.read(TABLES[0]), before)
    assert twins.memory.tables.version(TABLES[0]) == version


def test_a_day_made_twice_has_the_same_rows_and_the_same_data_version(twins):
    runs = [land(twins, DAY)]
    before = {table: twins.memory.tables.read(table) for table in TABLES}
    runs.append(land(twins, DAY))
    for table, rows in before.items():
        assert_frame_equal(twins.memory.tables.read(table), rows)
    told = [event for run in runs for event in run.asset_materializations_for_node("flights__datasets__flights")]
    first, second = (event.tags["dagster/data_version"] for event in told)
    assert first == second


def test_single_runs_and_a_range_run_make_the_same_tables(tmp_path):
    single, ranged = new_twins(tmp_path / "single"), new_twins(tmp_path / "range")
    views = [key(single.domain, FEATURES, view) for view in FEATURE_VIEWS]
    assets = [*(key(single.domain, DATASETS, name) for name in ("landing", *NAMES)), *views]
    for day in DAYS:
        single.materialize(assets, day)
    ranged.materialize(assets, DAYS[0], DAYS[-1])
    for table in (*TABLES, *(f"flights/features/{view}" for view in FEATURE_VIEWS)):
        assert_frame_equal(single.memory.tables.read(table), ranged.memory.tables.read(table))
