"""Every invariant is seen holding on the real year, and broken by the fault that it is there for."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from mlops_assets.adapters.source import NycFlights
from mlops_assets.ml.completeness import landings
from mlops_assets.ml.datasets import check, nothing_broken
from mlops_assets.ml.plausibility import Feeds, implausible, kind_of_breach

DAYS = ("2013-05-20", "2013-05-21", "2013-05-22", "2013-05-23")
Broken = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def feeds() -> Feeds:
    """A real day with a storm in it, and the days before."""
    source = NycFlights()
    good = {
        name: pd.concat(
            [check(name, {day: getattr(source.day(day), name)}, source.references()).good for day in DAYS]
        ).reset_index(drop=True)
        for name in ("flights", "arrivals", "weather")
    }
    today = good["arrivals"][good["arrivals"]["day"] == DAYS[-1]]
    return Feeds(
        day=DAYS[-1],
        flights=good["flights"],
        arrivals=today,
        weather=good["weather"],
        quarantined=nothing_broken(),
    )


def told(feeds: Feeds, **broken: pd.DataFrame) -> str:
    return " | ".join(implausible(replace(feeds, **broken)))


def at(rows: pd.DataFrame, origin: str) -> pd.Series:
    return (rows["origin"] == origin) & (rows["day"] == DAYS[-1])


def test_a_day_of_storm_is_plausible(feeds: Feeds) -> None:
    assert implausible(feeds) == []


@pytest.mark.parametrize("columns", [["temp"], ["temp", "dewp"]])
def test_celsius_for_fahrenheit_contradicts_humidity(feeds: Feeds, columns: list[str]) -> None:
    weather = feeds.weather.copy()
    mine = at(weather, "JFK")
    weather.loc[mine, columns] = (weather.loc[mine, columns] - 32) / 1.8
    assert "JFK: humidity is" in told(feeds, weather=weather)


def test_a_jump_of_the_temperature_within_an_hour_is_told(feeds: Feeds) -> None:
    weather = feeds.weather.copy()
    row = weather.index[at(weather, "LGA")][12]
    weather.loc[row, ["temp", "dewp"]] += 25
    assert "LGA: the temperature changed by" in told(feeds, weather=weather)


def test_an_observation_that_is_stuck_for_hours_is_told(feeds: Feeds) -> None:
    weather = feeds.weather.copy()
    rows = weather.index[at(weather, "JFK")][6:10]
    weather.loc[rows, weather.columns[3:]] = weather.loc[rows[0], weather.columns[3:]].to_numpy()
    assert "JFK: 3 hours of weather are those of hours before" in told(feeds, weather=weather)


def test_three_hours_that_repeat_others_are_a_lag_and_two_are_chance(feeds: Feeds) -> None:
    before = feeds.weather[(feeds.weather["origin"] == "EWR") & (feeds.weather["day"] == DAYS[-2])]
    values = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    whole = before.dropna(subset=["pressure", "wind_dir"])
    for hours, lags in ((3, True), (2, False)):
        weather = feeds.weather.copy()
        rows = weather.index[at(weather, "EWR")][:hours]
        weather.loc[rows, values] = whole[values].to_numpy()[:hours]
        assert ("a feed lags" in told(feeds, weather=weather)) is lags, hours


def test_an_airport_whose_landings_end_in_the_afternoon_is_alone(feeds: Feeds) -> None:
    late = (feeds.arrivals["origin"] == "LGA") & (feeds.arrivals["landed_at"] >= f"{DAYS[-1]}T18:00Z")
    assert "LGA: " in told(feeds, arrivals=feeds.arrivals[~late])
    everywhere = feeds.arrivals["landed_at"] >= f"{DAYS[-1]}T18:00Z"
    assert "landings" not in told(feeds, arrivals=feeds.arrivals[~everywhere]), "a storm closes all of them"
    (share,) = landings(feeds.flights, feeds.arrivals[~everywhere], [DAYS[-1]])
    assert max(share.shares.values()) < 0.7


def test_hours_of_weather_that_one_airport_alone_lacks_are_told(feeds: Feeds) -> None:
    rows = feeds.weather.index[at(feeds.weather, "JFK")]
    assert "JFK: 19 hours of weather came, 24 of the others'" in told(feeds, weather=feeds.weather.drop(rows[:5]))
    assert told(feeds, weather=feeds.weather.drop(rows[:3])) == ""


@pytest.mark.parametrize(
    ("days", "reasons", "speaks"),
    [
        ([DAYS[-1]], ["wind_speed is 1048.36: must lie between 0 and 120 miles per hour"], False),
        ([DAYS[-1]] * 2, ["wind_speed is 1048.36: must lie between 0", "wind_speed is 999: must lie between 0"], True),
        ([DAYS[-2], DAYS[-1]], ["clocks_agree: not true that", "clocks_agree: not true that"], True),
        ([DAYS[-2], DAYS[-2]], ["clocks_agree: not true that", "clocks_agree: not true that"], False),
        ([DAYS[-1]], ["carrier is HX: is not a known carrier"], True),
    ],
)
def test_one_bad_reading_is_chance_and_the_second_a_change(feeds: Feeds, days, reasons, speaks) -> None:
    rows = pd.DataFrame({"day": days, "dataset": "weather", "reason": reasons})
    assert bool(told(feeds, quarantined=rows)) is speaks


def test_a_reason_without_a_value_is_its_own_kind() -> None:
    assert kind_of_breach("the key is there already") == "the key is there already"
    assert kind_of_breach("temp is missing or cannot be read") == "temp is missing or cannot be read"


def test_a_day_without_weather_says_nothing_of_it(feeds: Feeds) -> None:
    assert implausible(replace(feeds, weather=feeds.weather[feeds.weather["day"] < DAYS[-1]])) == []
