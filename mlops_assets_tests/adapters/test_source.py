"""The raw source: days as they became known."""

from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.adapters.source import (
    LandedFileUnreadable,
    LandedSource,
    MemorySource,
    NycFlights,
    RawDay,
    Source,
    SourceMissing,
)
from mlops_assets.ml.datasets import STATIC, check
from mlops_assets_tests.ml.made_days import raw_flight, raw_weather

DAY = "2013-04-02"
STATIC_FRAMES = {
    "airports": pd.DataFrame({"faa": ["LAX", "PIT"], "tzone": ["America/Los_Angeles", None]}),
    "carriers": pd.DataFrame({"carrier": ["UA", "AA"]}),
    "aircraft": pd.DataFrame({"tailnum": ["N1"]}),
}


def made() -> MemorySource:
    return MemorySource({DAY: RawDay(raw_flight(), raw_flight(), raw_weather())}, STATIC_FRAMES)


@pytest.fixture(params=["memory", "real"])
def source(request: pytest.FixtureRequest) -> Source:
    return made() if request.param == "memory" else NycFlights()


def test_a_day_has_raw_rows_that_the_contracts_accept(source: Source) -> None:
    raw = source.day(DAY)
    for name in RawDay.__dataclass_fields__:
        checked = check(name, {DAY: getattr(raw, name)}, source.references())
        assert len(checked.good) > 0
        assert checked.quarantined.empty


def test_a_day_it_does_not_have_is_an_error_that_says_which_it_has(source: Source) -> None:
    with pytest.raises(SourceMissing, match="2013"):
        source.day("1999-01-01")


def test_references_know_carriers_and_the_airports_the_file_forgot(source: Source) -> None:
    references = source.references()
    assert {"AA", "UA"} <= set(references.carriers)
    assert references.zones["SJU"] == "America/Puerto_Rico"
    assert "PIT" not in made().references().zones


def test_an_unknown_register_is_an_error(source: Source) -> None:
    with pytest.raises(KeyError):
        source.static("ships")


def test_a_schedule_tells_nothing_of_what_happened() -> None:
    columns = set(NycFlights().day(DAY).flights.columns)
    assert not columns & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}


def test_arrivals_are_those_of_the_landing_day() -> None:
    arrivals = NycFlights().day(DAY).arrivals
    assert set(arrivals["day"]) == {1, 2}
    assert arrivals["arr_delay"].notna().all()


def test_the_last_day_has_no_weather_as_in_truth() -> None:
    raw = NycFlights().day("2013-12-31")
    assert len(raw.flights) == 776
    assert raw.weather.empty
    assert "wind_speed" in raw.weather


def test_the_one_bad_observation_of_the_year_is_quarantined() -> None:
    source = NycFlights()
    checked = check("weather", {"2013-02-12": source.day("2013-02-12").weather}, source.references())
    assert checked.quarantined["reason"].tolist() == [
        "wind_speed is 1048.36058: must lie between 0 and 120 miles per hour"
    ]


@pytest.mark.parametrize(("dataset", "rows"), [("aircraft", 3322), ("airports", 1458)])
def test_the_registers_keep_their_contracts(dataset: str, rows: int) -> None:
    source = NycFlights()
    checked = check(dataset, {STATIC: source.static(dataset)}, source.references())
    assert (len(checked.good), len(checked.quarantined)) == (rows, 0)


def test_a_landed_day_takes_the_place_of_the_sources_own(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, made())
    bad = RawDay(raw_flight(carrier="ZZ"), raw_flight(), raw_weather(wind_speed=1048.0))
    source.land(DAY, bad)
    assert source.day(DAY).flights["carrier"].tolist() == ["ZZ"]
    assert source.day(DAY).weather["wind_speed"].tolist() == [1048.0]


def test_a_day_landed_as_it_is_reads_back_to_the_same_checked_rows(tmp_path: Path) -> None:
    upstream = NycFlights()
    source = LandedSource(tmp_path, upstream)
    source.land("2013-03-10", upstream.day("2013-03-10"))
    references = upstream.references()
    for name in RawDay.__dataclass_fields__:
        raw = [{"2013-03-10": getattr(each.day("2013-03-10"), name)} for each in (source, upstream)]
        landed, own = (check(name, frames, references) for frames in raw)
        pd.testing.assert_frame_equal(landed.good, own.good)
        assert len(landed.quarantined) == len(own.quarantined)


def test_one_landed_file_replaces_only_its_dataset(tmp_path: Path) -> None:
    (tmp_path / DAY).mkdir()
    raw_weather(temp=51.0).to_csv(tmp_path / DAY / "weather.csv", index=False)
    day = LandedSource(tmp_path, made()).day(DAY)
    assert day.weather["temp"].tolist() == [51.0]
    assert day.flights["carrier"].tolist() == ["AA"]


def test_landing_again_corrects_the_day(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, made())
    source.land(DAY, RawDay(raw_flight(distance=1), raw_flight(), raw_weather()))
    source.land(DAY, RawDay(raw_flight(distance=2475), raw_flight(), raw_weather()))
    assert source.day(DAY).flights["distance"].tolist() == [2475]
    assert not [path for path in (tmp_path / DAY).iterdir() if path.name.startswith(".")]


def test_what_is_landed_again_is_the_same_file(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, NycFlights())
    for day in ("2013-02-12", "2013-11-03"):
        first = source.land(day, source.day(day))
        assert source.land(day, source.day(day)) == first
        assert {name: file.rows for name, file in first.items()} == {
            name: len(getattr(source.day(day), name)) for name in ("flights", "arrivals", "weather")
        }


def test_a_changed_value_changes_the_digest_of_its_file_alone(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, made())
    first = source.land(DAY, source.day(DAY))
    second = source.land(DAY, RawDay(raw_flight(), raw_flight(), raw_weather(temp=51.0)))
    assert {name for name in first if first[name] != second[name]} == {"weather"}


@pytest.mark.parametrize(("content", "reason"), [(b"a,b\n1,2\n3", "Expected 2 columns"), (b"", "Empty CSV")])
def test_a_landed_file_that_is_cut_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    source = LandedSource(tmp_path, NycFlights())
    source.land("2013-03-11", source.day("2013-03-11"))
    (tmp_path / "2013-03-11" / "weather.csv").write_bytes(content)
    with pytest.raises(LandedFileUnreadable, match=f"weather of 2013-03-11: .*weather.csv .*{reason}.*Land the file"):
        source.part("weather", "2013-03-11")


def test_rows_of_landed_days_are_counted(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, NycFlights())
    days = ("2013-03-11", "2013-12-31")
    counts = {(name, day): source.rows(name, day) for name in ("flights", "arrivals", "weather") for day in days}
    assert counts["weather", "2013-12-31"] == 0
    for day in days:
        source.land(day, source.day(day))
    assert {(name, day): source.rows(name, day) for name, day in counts} == counts
    assert {(name, day): len(source.part(name, day)) for name, day in counts} == counts


def test_one_part_of_a_day_is_read_without_the_others(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, made())
    source.land(DAY, source.day(DAY))
    (tmp_path / DAY / "flights.csv").write_bytes(b"\xff\xfe torn")
    assert list(source.parts("weather", [DAY])) == [DAY]
    assert source.part("weather", DAY)["temp"].tolist() == [50]
    with pytest.raises(SourceMissing):
        source.part("weather", "2013-04-09")


def test_a_column_of_many_types_is_landed_as_text(tmp_path: Path) -> None:
    source = LandedSource(tmp_path, made())
    mixed = pd.concat([raw_flight(), raw_flight().astype(object).assign(distance="far")], ignore_index=True)
    source.land(DAY, RawDay(mixed, raw_flight(), raw_weather()))
    assert source.part("flights", DAY)["distance"].tolist() == ["2475", "far"]
