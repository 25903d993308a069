"""Small worlds of flights: raw rows as the source gives them, and checked frames drawn from a seed."""

import numpy as np
import pandas as pd

from mlops_assets.ml.bitemporal import first_known
from mlops_assets.ml.dataset_contracts import References
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.schedules import INSTANT, local_day

REFERENCES = References(
    carriers=("AA", "UA"),
    zones={"LAX": "America/Los_Angeles", "BOS": "America/New_York", "JFK": "America/New_York"},
)


def raw_flight(**changes: object) -> pd.DataFrame:
    """One landed flight, JFK to LAX on 2 April 2013 at 9:00, in the source's columns."""
    row = {
        "year": 2013, "month": 4, "day": 2, "dep_time": 910.0, "sched_dep_time": 900, "dep_delay": 10.0,
        "arr_time": 1220.0, "sched_arr_time": 1200, "arr_delay": 20.0, "carrier": "AA", "flight": 1,
        "tailnum": "N1", "origin": "JFK", "dest": "LAX", "air_time": 330.0, "distance": 2475, "hour": 9, "minute": 0,
        "time_hour": "2013-04-02T13:00:00Z",
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}])


def raw_flights(count: int) -> pd.DataFrame:
    """That flight under many numbers, at clocks and with delays that differ as those of a day do."""
    return pd.concat([_varied(number) for number in range(count)], ignore_index=True)


def _varied(number: int) -> pd.DataFrame:
    later, delay = number % 20, number % 13
    return raw_flight(
        flight=number + 1,
        sched_dep_time=900 + later,
        dep_time=910.0 + later + delay,
        dep_delay=10.0 + delay,
        sched_arr_time=1200 + later,
        arr_time=1220.0 + later + delay,
        arr_delay=20.0 + delay,
        air_time=330.0 - number % 10,
    )


def raw_weather(**changes: object) -> pd.DataFrame:
    """One observation at JFK on 2 April 2013 at 9:00."""
    row = {
        "origin": "JFK", "year": 2013, "month": 4, "day": 2, "hour": 9, "temp": 50.0, "dewp": 40.0, "humid": 68.6,
        "wind_dir": 180.0, "wind_speed": 10.0, "wind_gust": np.nan, "precip": 0.0, "pressure": 1012.0, "visib": 10.0,
        "time_hour": "2013-04-02T13:00:00Z",
    }  # fmt: skip
    return pd.DataFrame([{**row, **changes}])


DAYS = ("2013-04-01", "2013-04-02", "2013-04-03", "2013-04-04")


def world(seed: int, flights: int = 160) -> dict[str, pd.DataFrame]:
    """Checked frames of four days: flights, their arrivals (some never arrive) and hourly weather with gaps."""
    draw = np.random.default_rng(seed)
    start = pd.Timestamp(DAYS[0], tz="America/New_York").tz_convert("UTC")
    departure = start + pd.to_timedelta(np.sort(draw.integers(0, 4 * 1440, flights)), unit="m")
    frame = pd.DataFrame({"sched_dep_at": pd.DatetimeIndex(departure).astype(INSTANT)})
    frame["carrier"] = draw.choice(["AA", "UA", "B6"], flights)
    frame["origin"] = draw.choice(["EWR", "JFK", "LGA"], flights)
    frame["dest"] = draw.choice(["LAX", "BOS", "MIA"], flights)
    frame["sched_elapsed_minutes"] = draw.integers(50, 380, flights)
    frame["sched_arr_at"] = _later(frame["sched_dep_at"], frame["sched_elapsed_minutes"])
    local = frame["sched_dep_at"].dt.tz_convert("America/New_York")
    frame["sched_dep_minute"] = (local.dt.hour * 60 + local.dt.minute).astype("int64")
    frame["day_of_week"] = (local.dt.dayofweek + 1).astype("int64")
    frame["day"] = local_day(frame["sched_dep_at"])
    frame["flight_id"] = [f"{day}_{number}" for number, day in enumerate(frame["day"])]
    frame["distance"] = draw.integers(100, 2500, flights)
    return {"flights": frame, "arrivals": _arrivals(frame, draw), "weather": _weather(draw)}


def snapshots(world: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Every view's snapshots of the world's days, with their ``day``, known hour by hour."""
    frames = {name: first_known(compute(name, world, hours_of(DAYS))) for name in VIEWS}
    return {name: frame.assign(day=local_day(frame["event_timestamp"])) for name, frame in frames.items()}


def _later(instants: pd.Series, minutes: pd.Series) -> pd.Series:
    return (instants + pd.to_timedelta(minutes, unit="m")).astype(INSTANT)


def _arrivals(flights: pd.DataFrame, draw: np.random.Generator) -> pd.DataFrame:
    landed = flights[draw.random(len(flights)) < 0.95].copy()
    landed["dep_delay"] = draw.integers(-10, 120, len(landed))
    landed["arr_delay"] = landed["dep_delay"] + draw.integers(-20, 30, len(landed))
    landed["landed_at"] = _later(landed["sched_arr_at"], landed["arr_delay"])
    landed["day"] = local_day(landed["landed_at"])
    columns = ["day", "flight_id", "carrier", "origin", "dest", "dep_delay", "arr_delay", "landed_at"]
    return landed[columns].sort_values("landed_at", ignore_index=True)


def _weather(draw: np.random.Generator) -> pd.DataFrame:
    hours = np.repeat(hours_of(DAYS), 3)
    frame = pd.DataFrame({"observed_at": pd.DatetimeIndex(hours).astype(INSTANT)})
    frame["origin"] = ["EWR", "JFK", "LGA"] * (len(frame) // 3)
    for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "pressure", "visib"):
        frame[name] = np.where(draw.random(len(frame)) < 0.1, np.nan, draw.normal(50, 10, len(frame)).round(2))
    frame["precip"] = draw.integers(0, 40, len(frame)) / 100
    frame["day"] = local_day(frame["observed_at"])
    return frame[draw.random(len(frame)) < 0.9].reset_index(drop=True)
