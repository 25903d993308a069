"""Landing and the datasets of a day: what is kept, what is held back, and that a day can be made again."""

import json
from dataclasses import replace

import dagster as dg
import pandas as pd
from pandas.testing import assert_frame_equal

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.source import LandedSource, MemorySource, NycFlights
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, key
from mlops_assets.assets.datasets.static import static_dataset
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


def test_the_quarantine_holds_every_broken_row_of_a_range_as_the_source_gave_it(twins):
    for day, dataset in (("2013-03-05", "flights"), ("2013-03-06", "arrivals"), ("2013-03-06", "weather")):
        raw = twins.source.day(day)
        rows = getattr(raw, dataset).copy()
        rows.loc[[3, 8], "origin"] = "LAX"
        twins.source.land(day, replace(raw, **{dataset: rows}))
    land(twins, DAYS[0], DAYS[-1])
    held = twins.memory.tables.read("flights/datasets/quarantine")
    places = [(DAYS[0], "flights"), (DAYS[1], "arrivals"), (DAYS[1], "weather")]
    assert list(zip(held["day"], held["dataset"], held["row"], strict=True)) == [
        (day, dataset, row) for day, dataset in places for row in (3, 8)
    ]
    assert held["reason"].str.startswith("origin is LAX").all()
    landed = [json.loads(text) for text in held["source_row"]]
    assert landed[0]["flight"] == twins.source.part("flights", DAYS[0])["flight"][3]


def test_a_corrected_landing_takes_its_rows_out_of_the_quarantine(twins):
    raw = twins.source.day(DAY)
    break_flights(twins, carrier="ZZ")
    land(twins, DAY, DAYS[1])
    assert len(twins.memory.tables.read("flights/datasets/quarantine")) == 1
    twins.source.land(DAY, raw)
    land(twins, DAY)
    assert twins.memory.tables.read("flights/datasets/quarantine").empty


def test_a_broken_row_of_a_register_is_kept_with_its_reason(tmp_path):
    domain, tables = new_twins(tmp_path).domain, MemoryTables()
    registers = {name: NycFlights().static(name) for name in ("aircraft", "airports", "carriers")}
    broken = registers["aircraft"].head(1).assign(tailnum="N0", seats=4000)
    registers["aircraft"] = pd.concat([registers["aircraft"], broken], ignore_index=True)
    parts = {"source": LandedSource(tmp_path, MemorySource({}, registers)), "tables": tables}
    assert dg.materialize([static_dataset(domain, "aircraft")], resources=parts).success
    (row,) = tables.read("flights/datasets/aircraft_quarantine").to_dict("records")
    assert "seats is 4000" in row["reason"]
    assert json.loads(row["source_row"])["tailnum"] == "N0"
    assert "N0" not in set(tables.read("flights/datasets/aircraft")["tailnum"])


def test_the_contract_stands_in_the_column_schema_of_the_asset(twins):
    specs = {spec.key: spec for spec in twins.definitions.resolve_all_asset_specs()}
    shown = specs[key(twins.domain, DATASETS, "weather")].metadata["dagster/column_schema"]
    columns = {column.name: column for column in shown.columns}
    assert columns["wind_speed"].constraints.nullable
    assert "unit: miles per hour" in columns["wind_speed"].constraints.other
    assert "0 to 120" in columns["wind_speed"].constraints.other
    assert not columns["observed_at"].constraints.nullable
    assert "origin, observed_at: unique" in shown.constraints.other
    assert any(text.startswith("humidity_agrees") for text in shown.constraints.other)
    flights = specs[key(twins.domain, DATASETS, "flights")].metadata["dagster/column_schema"]
    assert flights.columns[1].constraints.unique
