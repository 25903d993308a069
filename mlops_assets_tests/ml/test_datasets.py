"""Contracts of the datasets: every promise is seen broken."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.datasets import STATIC, ContractBroken, check
from mlops_assets_tests.ml.made_days import REFERENCES, raw_flight, raw_flights, raw_weather

DAY = "2013-04-02"


def with_one(bad: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A day of good rows and a bad one."""
    return {DAY: pd.concat([raw_flights(3).assign(flight=[101, 102, 103]), bad], ignore_index=True)}


def test_a_good_schedule_row_becomes_instants_and_minutes() -> None:
    good = check("flights", {DAY: raw_flight()}, REFERENCES).good.iloc[0]
    assert good["flight_id"] == "2013-04-02_AA1_JFK_LAX"
    assert good["sched_dep_at"] == pd.Timestamp("2013-04-02T13:00:00Z")
    assert good["sched_arr_at"] == pd.Timestamp("2013-04-02T19:00:00Z")
    assert (good["sched_dep_minute"], good["sched_elapsed_minutes"], good["day_of_week"]) == (540, 360, 2)


def test_a_good_arrival_lands_when_its_clocks_say() -> None:
    good = check("arrivals", {DAY: raw_flight()}, REFERENCES).good.iloc[0]
    assert good["landed_at"] == pd.Timestamp("2013-04-02T19:20:00Z")
    assert (good["scheduled_day"], good["dep_delay"], good["arr_delay"]) == (DAY, 10, 20)


def test_a_red_eye_that_lands_the_next_day_belongs_to_that_day() -> None:
    late = raw_flight(
        sched_dep_time=2300, dep_time=2310.0, sched_arr_time=200, arr_time=220.0, hour=23,
        time_hour="2013-04-03T03:00:00Z",
    )  # fmt: skip
    checked = check("arrivals", {"2013-04-03": late}, REFERENCES)
    assert checked.good["scheduled_day"].tolist() == [DAY]
    assert check("arrivals", {DAY: late}, REFERENCES).quarantined["reason"].str.contains("belongs_to_its_day").all()


@pytest.mark.parametrize(
    ("dataset", "changes", "reason"),
    [
        ("flights", {"carrier": "ZZ"}, "carrier is ZZ: is not a known carrier"),
        ("flights", {"month": 2, "day": 31}, "flight_id is missing or cannot be read"),
        ("flights", {"dest": "XXX"}, "dest is XXX: is not a known dest"),
        ("flights", {"origin": "BOS"}, "origin is BOS"),
        ("flights", {"distance": 24750}, "distance is 24750.0: must lie between 10 and 6000 miles"),
        ("flights", {"distance": "far"}, "distance is missing or cannot be read"),
        ("flights", {"flight": 1.5}, "must be a whole number"),
        ("flights", {"sched_dep_time": 975}, "sched_dep_at is missing or cannot be read"),
        ("flights", {"day": 3, "time_hour": "2013-04-03T13:00:00Z"}, "belongs_to_its_day"),
        ("flights", {"time_hour": "2013-04-02T14:00:00Z"}, "clock_and_instant_agree"),
        ("flights", {"origin": "JFK", "dest": "JFK"}, "goes_somewhere"),
        ("flights", {"dest": "BOS", "sched_arr_time": 945, "distance": 500}, "speed_is_possible"),
        ("arrivals", {"arr_delay": None}, "arr_delay is missing or cannot be read"),
        ("arrivals", {"arr_delay": 20.5}, "must be a whole number"),
        ("arrivals", {"air_time": 400.0}, "landed_after_flying"),
        ("arrivals", {"dep_time": 911.0}, "departure_clock_agrees"),
        ("arrivals", {"arr_time": 1320.0}, "clocks_agree"),
        ("arrivals", {"carrier": None}, "carrier is missing or cannot be read"),
    ],
)
def test_a_broken_flight_row_is_quarantined_with_its_reason(dataset: str, changes: dict, reason: str) -> None:
    checked = check(dataset, with_one(raw_flight(**changes)), REFERENCES)
    assert len(checked.good) == 3
    (line,) = checked.quarantined.to_dict("records")
    assert reason in line["reason"]
    assert (line["day"], line["dataset"], line["row"]) == (DAY, dataset, 3)
    assert json.loads(line["source_row"])["sched_arr_time"] is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"wind_speed": 1048.36058}, "wind_speed is 1048.36058: must lie between 0 and 120 miles per hour"),
        ({"humid": 120.0}, "humid is 120.0"),
        ({"dewp": 60.0}, "dew_point_below_temperature"),
        ({"temp": 100.0}, "humidity_agrees"),
        ({"wind_gust": 5.0}, "gusts_above_wind"),
        ({"time_hour": "2013-04-05T13:00:00Z"}, "belongs_to_its_day"),
        ({"time_hour": "2013-04-02T14:00:00Z"}, "clock_and_instant_agree"),
        ({"origin": "LAX"}, "origin is LAX"),
    ],
)
def test_a_broken_observation_is_quarantined_with_its_reason(changes: dict, reason: str) -> None:
    checked = check("weather", {DAY: raw_weather(**changes)}, REFERENCES)
    assert checked.good.empty
    assert reason in checked.quarantined["reason"][0]


NASTY = (None, "", "abc", "12", float("inf"), float("-inf"), -1, 1e30, 2**62, 0.5, True, "2013-13-45T99:00:00Z")


@pytest.mark.parametrize("value", NASTY, ids=repr)
@pytest.mark.parametrize("dataset", ["flights", "arrivals", "weather"])
def test_whatever_stands_in_a_column_the_contract_answers(dataset: str, value: object) -> None:
    raw = (raw_weather() if dataset == "weather" else raw_flight()).astype(object)
    rows = pd.concat([raw.assign(**{column: [value]}) for column in raw.columns], ignore_index=True)
    # A refusal of the whole day is an answer too; any other error is not.
    with contextlib.suppress(ContractBroken):
        checked = check(dataset, {DAY: rows}, REFERENCES)
        assert len(checked.good) + len(checked.quarantined) == len(rows)


def test_a_row_that_breaks_two_promises_is_told_both() -> None:
    (reason,) = check("weather", {DAY: raw_weather(wind_speed=500.0, humid=-1.0)}, REFERENCES).quarantined["reason"]
    assert "wind_speed" in reason
    assert "humid" in reason


def test_of_rows_with_one_key_the_first_stays() -> None:
    checked = check("flights", with_one(raw_flight(flight=101, distance=2400)), REFERENCES)
    assert checked.good["distance"].tolist() == [2475] * 3
    assert checked.quarantined["reason"].tolist() == ["the key is there already"]


def test_a_missing_column_stops_the_day_and_names_the_remedy() -> None:
    raw = raw_flights(3).drop(columns="sched_arr_time")
    with pytest.raises(ContractBroken, match=r"flights of 2013-04-02: column sched_arr_time is missing.*Land the file"):
        check("flights", {DAY: raw}, REFERENCES)


def test_too_many_broken_rows_stop_the_day() -> None:
    raw = raw_flights(40)
    raw.loc[:3, "carrier"] = "ZZ"
    with pytest.raises(ContractBroken, match=r"4 of 40 rows break the contract, more than 5%; most often: carrier"):
        check("flights", {DAY: raw}, REFERENCES)


def test_a_bad_day_stops_a_range_and_a_good_one_does_not_hide_it() -> None:
    bad = raw_flights(10).assign(carrier="ZZ")
    good = raw_flights(400).assign(day=3, time_hour="2013-04-03T13:00:00Z")
    with pytest.raises(ContractBroken, match="flights of 2013-04-02: 10 of 10"):
        check("flights", {DAY: bad, "2013-04-03": good}, REFERENCES)


def test_a_range_gives_the_rows_of_its_days_one_by_one() -> None:
    other = raw_flights(2).assign(day=3, time_hour="2013-04-03T13:00:00Z")
    both = check("flights", {DAY: raw_flights(3), "2013-04-03": other}, REFERENCES).good
    alone = [
        check("flights", {day: raw}, REFERENCES).good for day, raw in ((DAY, raw_flights(3)), ("2013-04-03", other))
    ]
    pd.testing.assert_frame_equal(both, pd.concat(alone, ignore_index=True))


def test_a_day_without_rows_has_the_columns_and_types_of_any_other() -> None:
    full = check("flights", {DAY: raw_flight()}, REFERENCES).good
    empty = check("flights", {DAY: raw_flight().iloc[:0]}, REFERENCES).good
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_static_datasets_have_no_day() -> None:
    raw = pd.DataFrame(
        {"tailnum": ["N1"], "year": [None], "type": ["a"], "manufacturer": ["b"], "model": ["c"], "engines": [2],
         "seats": [100], "speed": [None], "engine": ["d"]}
    )  # fmt: skip
    checked = check("aircraft", {STATIC: raw}, REFERENCES)
    assert "day" not in checked.good
    assert np.isnan(checked.good["year"][0])
