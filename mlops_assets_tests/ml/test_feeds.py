"""Promises of a whole day of one feed: each is seen broken, and no day of the real year breaks one."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.datasets import DATASETS, ContractBroken, check
from mlops_assets.ml.feeds import LEAST_ROWS, broken_feeds
from mlops_assets_tests.ml.made_days import REFERENCES, raw_flights, raw_weather

DAY = "2013-04-02"
LIMITS = [
    (name, column.name, kind)
    for name, dataset in DATASETS.items()
    for column in dataset.columns
    for kind in ("max_missing", "max_repeat")
    if getattr(column, kind) is not None
]


def observations(origin: str = "JFK", hours: int = 24) -> pd.DataFrame:
    """A day of hourly weather in which every number moves, and humidity follows."""
    frame = pd.concat([raw_weather(origin=origin, hour=hour) for hour in range(hours)], ignore_index=True)
    begin = pd.Timestamp("2013-04-02T04:00:00Z")
    step = np.arange(hours)
    return frame.assign(
        time_hour=[(begin + pd.Timedelta(hours=int(hour))).isoformat() for hour in step],
        temp=50 + step % 5 * 1.0, dewp=40 + step % 4 * 1.0, humid=66 + step % 6 * 1.0, wind_speed=8 + step % 6 * 1.0,
        pressure=1012 + step % 9 * 0.5, wind_dir=100 + step % 7 * 10.0,
    )  # fmt: skip


def checked(name: str) -> pd.DataFrame:
    raw = observations() if name == "weather" else raw_flights(40)
    return check(name, {DAY: raw}, REFERENCES).good


@pytest.mark.parametrize(("name", "column", "kind"), LIMITS)
def test_a_value_that_is_stuck_or_gone_is_told(name: str, column: str, kind: str) -> None:
    good = checked(name)
    assert broken_feeds(DATASETS[name], good) == []
    if kind == "max_missing":
        good[column] = np.where(np.arange(len(good)) == 0, good[column], np.nan)
    else:
        good[column] = good[column].iloc[0]
    ((day, told),) = broken_feeds(DATASETS[name], good)
    assert day == DAY
    assert told.startswith(f"JFK: {column} is {'missing in' if kind == 'max_missing' else good[column].iloc[0]}")


def test_a_feed_of_a_few_rows_is_not_judged() -> None:
    good = checked("weather").head(LEAST_ROWS - 1).assign(temp=50.0)
    assert broken_feeds(DATASETS["weather"], good) == []


@pytest.mark.parametrize(("hours", "stuck"), [(6, False), (7, True)])
def test_a_station_that_repeats_itself_for_hours_is_stuck(hours: int, stuck: bool) -> None:
    good = checked("weather")
    columns = ["temp", "dewp", "humid", "wind_dir", "wind_speed"]
    good.loc[10 : 10 + hours - 1, columns] = good.loc[10, columns].to_numpy()
    told = broken_feeds(DATASETS["weather"], good)
    assert told == ([(DAY, f"JFK: {', '.join(columns)} are the same in {hours} rows in a row, more than 6")] * stuck)


def test_rows_of_two_airports_or_days_do_not_make_one_run() -> None:
    rows = pd.concat([checked("weather").iloc[[0]]] * 7, ignore_index=True).assign(temp=50.0)
    assert broken_feeds(DATASETS["weather"], rows)
    assert not broken_feeds(DATASETS["weather"], rows.assign(origin=["JFK", "LGA"] * 3 + ["EWR"]))
    assert not broken_feeds(DATASETS["weather"], rows.assign(day=[DAY] * 4 + ["2013-04-03"] * 3))


def test_one_airport_is_judged_apart_from_the_others() -> None:
    moving, stuck = observations(), observations("LGA").assign(temp=50.0)
    with pytest.raises(ContractBroken, match=r"weather of 2013-04-02: LGA: temp is 50.0 in 24 of 24 rows, more than"):
        check("weather", {DAY: pd.concat([moving, stuck], ignore_index=True)}, REFERENCES)


def test_a_column_of_empty_values_stops_the_day_and_names_the_remedy() -> None:
    with pytest.raises(ContractBroken, match=r"JFK: temp is missing in 24 of 24 rows.*Nothing was written.*land"):
        check("weather", {DAY: observations().assign(temp=None)}, REFERENCES)
