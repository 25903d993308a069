"""What every dataset promises: its columns with types, units and ranges, its keys, and what must hold across columns.

Here: one declaration per dataset, and the reading that turns raw rows into its columns. Belongs here: what a domain
expert would correct. Does not: applying the promises (``ml.datasets``), clock arithmetic (``ml.schedules``).

Each range was set on the 336,776 flights and 26,115 observations of 2013, with room to every side: the real year
breaks these promises in one weather row (wind of 1,048 mph) and in one landing (``clocks_agree``). So were the promises
of a whole day (``max_missing``, ``max_repeat``, ``Unchanged``), on its 1,095 airport-days: none breaks one, the comment
beside each tells the nearest.
Columns whose name begins with "_" are read for the sake of a promise and not kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from mlops_assets.ml.schedules import (
    HOME_ZONE,
    MINUTES_PER_DAY,
    clock_minutes,
    dates,
    instant,
    iso_dates,
    local_clock,
    local_day,
    local_minute,
    number,
    plus_minutes,
    schedule,
    text,
)

Kind = Literal["string", "integer", "number", "instant"]


@dataclass(frozen=True)
class References:
    """What the contracts know of the world outside a row."""

    carriers: tuple[str, ...]
    zones: Mapping[str, str]
    """Airport code to IANA time zone; its keys are the airports that exist."""


@dataclass(frozen=True)
class Column:
    """One column: what it means, in which unit, and which values are possible."""

    name: str
    kind: Kind
    description: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    nullable: bool = False
    allowed: tuple[str, ...] | Literal["carriers", "airports"] | None = None
    """The possible values, or the name of the reference list that holds them."""
    max_missing: float | None = None
    """Share of an airport's day in which the value may be missing; more is a broken feed. None where any share may."""
    max_repeat: float | None = None
    """Share of an airport's day that one single value may hold; more is a stuck one. None where any share may."""


@dataclass(frozen=True)
class Promise:
    """Something that must hold across the columns of one row. ``holds`` gives one boolean per row."""

    name: str
    description: str
    holds: Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True)
class Unchanged:
    """How many rows of a feed in a row may hold the same values in all of these columns; more is a stuck instrument."""

    columns: tuple[str, ...]
    max_rows: int


@dataclass(frozen=True)
class Dataset:
    """One dataset's whole contract."""

    name: str
    description: str
    key: tuple[str, ...]
    source_columns: tuple[str, ...]
    read: Callable[[pd.DataFrame, References], pd.DataFrame]
    """Raw rows to columns, on the same index; what cannot be read is missing, and ``nullable`` decides."""
    columns: tuple[Column, ...]
    promises: tuple[Promise, ...] = ()
    daily: bool = True
    max_broken_share: float = 0.05
    """More broken rows than this (and more than three) are not bad rows but a bad feed: the day stops."""
    feed: str | None = None
    """The column that names the feed a row came through; ``max_missing`` and ``max_repeat`` hold for each of them."""
    unchanged: Unchanged | None = None
    order: tuple[str, ...] = field(default=())


def _flight_id(raw: pd.DataFrame) -> pd.Series:
    flight = number(raw["flight"])
    known = flight.where((flight % 1 == 0) & flight.between(0, 99_999)).astype("Int64").astype("string")
    carrier, origin, dest = (text(raw[name]).astype("string") for name in ("carrier", "origin", "dest"))
    whole = iso_dates(dates(raw)).astype("string") + "_" + carrier + known + "_" + origin + "_" + dest
    return text(whole)


def _read_flights(raw: pd.DataFrame, references: References) -> pd.DataFrame:
    times = schedule(raw, references.zones)
    names = {name: text(raw[name]) for name in ("carrier", "origin", "dest")}
    numbers = {name: number(raw[name]) for name in ("flight", "distance")}
    hour = instant(raw["time_hour"])
    return pd.DataFrame({"flight_id": _flight_id(raw), **names, **numbers, "_source_hour": hour}).join(times)


def _read_arrivals(raw: pd.DataFrame, references: References) -> pd.DataFrame:
    times = schedule(raw, references.zones)
    names = {name: text(raw[name]) for name in ("carrier", "origin", "dest", "tailnum")}
    numbers = {name: number(raw[name]) for name in ("dep_delay", "arr_delay", "air_time")}
    landed = plus_minutes(times["sched_arr_at"], raw["arr_delay"])
    departed = plus_minutes(times["sched_dep_at"], raw["dep_delay"])
    clocks = {
        "_departure_gap": clock_minutes(raw["dep_time"]) - local_minute(departed, HOME_ZONE),
        "_arrival_gap": clock_minutes(raw["arr_time"]) - local_minute(landed, times["zone"]),
    }
    instants = {"scheduled_day": local_day(times["sched_dep_at"]), "departed_at": departed, "landed_at": landed}
    return pd.DataFrame({"flight_id": _flight_id(raw), **instants, **names, **numbers, **clocks})


WEATHER_NUMBERS = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def _read_weather(raw: pd.DataFrame, references: References) -> pd.DataFrame:
    del references
    observed = instant(raw["time_hour"])
    clock = {"_clock": plus_minutes(dates(raw).dt.tz_localize("UTC"), number(raw["hour"]) * 60)}
    numbers = {name: number(raw[name]) for name in WEATHER_NUMBERS}
    return pd.DataFrame({"origin": text(raw["origin"]), "observed_at": observed, **numbers, **clock})


def relative_humidity(weather: pd.DataFrame) -> pd.Series:
    """Percent, from temperature and dew point (Fahrenheit), by the Magnus formula (Alduchov and Eskridge 1996)."""
    exponents = {}
    for name in ("temp", "dewp"):
        celsius = (weather[name] - 32) / 1.8
        exponents[name] = 17.625 * celsius / (243.04 + celsius)
    return 100 * np.exp(exponents["dewp"] - exponents["temp"])


def _or_missing(holds: pd.Series, *values: pd.Series) -> pd.Series:
    """True where the promise holds or one of the values it needs is missing."""
    missing = pd.concat(values, axis=1).isna().any(axis=1)
    return holds | missing


ORIGINS = ("EWR", "JFK", "LGA")
_CARRIER = Column("carrier", "string", "Two-letter code of the airline", allowed="carriers")
_ORIGIN = Column("origin", "string", "Airport of departure", allowed=ORIGINS)
_DEST = Column("dest", "string", "Airport of destination", allowed="airports")
_FLIGHT_ID = Column("flight_id", "string", "Day, carrier with flight number, origin and destination: unique")

FLIGHTS = Dataset(
    name="flights",
    description="The published schedule of the day: what is known of a flight before anything happens to it.",
    key=("flight_id",),
    source_columns=("year", "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "origin", "dest",
                    "distance", "time_hour"),  # fmt: skip
    read=_read_flights,
    feed="origin",
    order=("sched_dep_at", "flight_id"),
    columns=(
        _FLIGHT_ID,
        _CARRIER,
        Column("flight", "integer", "Flight number", low=1, high=9999),
        _ORIGIN,
        _DEST,
        Column("distance", "integer", "Distance between the airports", "miles", 10, 6000),
        Column("sched_dep_at", "instant", "Scheduled departure", "UTC"),
        Column("sched_arr_at", "instant", "Scheduled arrival", "UTC"),
        Column("sched_dep_minute", "integer", "Scheduled departure on the local clock", "minutes after midnight",
               0, MINUTES_PER_DAY - 1, max_repeat=0.3),  # nearest: 5 %
        Column("sched_elapsed_minutes", "integer", "Published block time", "minutes", 30, 900),
        Column("day_of_week", "integer", "Day of the week of the scheduled departure, Monday is 1", None, 1, 7),
    ),
    promises=(
        Promise("belongs_to_its_day", "the scheduled departure lies in the day that lists it",
                lambda f: f["flight_id"].str[:10] == f["day"]),
        Promise("clock_and_instant_agree", "the local departure clock and the source's UTC hour tell the same hour",
                lambda f: f["sched_dep_at"].dt.floor("h") == f["_source_hour"]),
        Promise("goes_somewhere", "origin and destination differ", lambda f: f["origin"] != f["dest"]),
        Promise("speed_is_possible", "the published block time needs no more than 10 miles a minute",
                lambda f: f["distance"] <= 10 * f["sched_elapsed_minutes"]),
    ),
)  # fmt: skip

ARRIVALS = Dataset(
    name="arrivals",
    description="The flights that landed during the day, with their delays: the outcomes. A cancelled or diverted "
    "flight never appears.",
    key=("flight_id",),
    source_columns=("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time",
                    "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "air_time"),  # fmt: skip
    read=_read_arrivals,
    feed="origin",
    order=("landed_at", "flight_id"),
    columns=(
        _FLIGHT_ID,
        Column("scheduled_day", "string", "Local day of the scheduled departure", "ISO date"),
        Column("departed_at", "instant", "Departure from the gate", "UTC"),
        Column("landed_at", "instant", "Arrival at the gate: from here on the outcome is known", "UTC"),
        Column("dep_delay", "integer", "Departure after schedule, negative when early", "minutes", -120, 1800,
               max_repeat=0.4),  # nearest: 16 %
        Column("arr_delay", "integer", "Arrival after schedule, negative when early", "minutes", -180, 1800,
               max_repeat=0.3),  # nearest: 7 %
        Column("air_time", "integer", "Time in the air", "minutes", 10, 900, max_repeat=0.3),  # nearest: 6 %
        _CARRIER,
        _ORIGIN,
        _DEST,
        Column("tailnum", "string", "Aircraft; known after the fact, never an input of a model", nullable=True,
               max_missing=0.02),  # nearest: 0 %; missing only in flights that never took off, which never land either
    ),
    promises=(
        Promise("belongs_to_its_day", "the landing lies in the day that reports it",
                lambda f: local_day(f["landed_at"]) == f["day"]),
        Promise("landed_after_flying", "the landing comes later than departure and air time",
                lambda f: f["landed_at"] > plus_minutes(f["departed_at"], f["air_time"])),
        Promise("departure_clock_agrees", "the recorded departure clock is the schedule plus the departure delay",
                lambda f: f["_departure_gap"] % MINUTES_PER_DAY == 0),
        Promise("clocks_agree", "the recorded arrival clock is the schedule plus the arrival delay, in the zone there",
                lambda f: f["_arrival_gap"] % MINUTES_PER_DAY == 0),
    ),
)  # fmt: skip

WEATHER = Dataset(
    name="weather",
    description="Hourly observations at the three airports of departure.",
    key=("origin", "observed_at"),
    source_columns=("origin", "year", "month", "day", "hour", *WEATHER_NUMBERS, "time_hour"),
    read=_read_weather,
    feed="origin",
    unchanged=Unchanged(("temp", "dewp", "humid", "wind_dir", "wind_speed"), 6),  # nearest: 4 hours
    order=("observed_at", "origin"),
    columns=(
        _ORIGIN,
        Column("observed_at", "instant", "Hour of the observation", "UTC"),
        Column("temp", "number", "Temperature", "degrees Fahrenheit", -40, 130, nullable=True,
               max_missing=0.5, max_repeat=0.8),  # nearest: 5 % missing; 54 %
        Column("dewp", "number", "Dew point", "degrees Fahrenheit", -60, 100, nullable=True,
               max_missing=0.5, max_repeat=0.85),  # nearest: 5 % missing; 68 %
        Column("humid", "number", "Relative humidity", "percent", 0, 100, nullable=True,
               max_missing=0.5, max_repeat=0.85),  # nearest: 5 % missing; 63 %, in fog
        # On 23 May the wind blew from one direction all day (83 %), in calm it has none (25 % missing).
        Column("wind_dir", "number", "Where the wind comes from", "degrees", 0, 360, nullable=True, max_missing=0.7),
        Column("wind_speed", "number", "Wind", "miles per hour", 0, 120, nullable=True,
               max_missing=0.5, max_repeat=0.8),  # nearest: 4 % missing; 50 %
        Column("wind_gust", "number", "Gusts; missing when there were none", "miles per hour", 0, 180, nullable=True),
        Column("precip", "number", "Precipitation of the hour", "inches", 0, 6, nullable=True, max_missing=0.5),
        Column("pressure", "number", "Pressure at sea level; missing in one hour of ten", "hectopascal",
               940, 1070, nullable=True, max_missing=0.95, max_repeat=0.6),  # nearest: 67 % missing; 30 %
        Column("visib", "number", "Visibility", "miles", 0, 20, nullable=True, max_missing=0.5),
    ),
    promises=(
        Promise("belongs_to_its_day", "the observation lies in the day that reports it",
                lambda f: local_day(f["observed_at"]) == f["day"]),
        Promise("clock_and_instant_agree", "the local clock and the source's UTC hour tell the same hour",
                lambda f: f["_clock"].dt.tz_localize(None) == local_clock(f["observed_at"])),
        Promise("dew_point_below_temperature", "the dew point is not above the temperature",
                lambda f: _or_missing(f["dewp"] <= f["temp"] + 0.1, f["dewp"], f["temp"])),
        # The largest honest gap of the year is 28 points: 100 % reported in fog just above freezing.
        Promise("humidity_agrees", "humidity follows from temperature and dew point within 35 points",
                lambda f: _or_missing((relative_humidity(f) - f["humid"]).abs() <= 35,
                                      f["humid"], f["temp"], f["dewp"])),
        Promise("gusts_above_wind", "gusts are not weaker than the wind",
                lambda f: _or_missing(f["wind_gust"] >= f["wind_speed"], f["wind_gust"], f["wind_speed"])),
    ),
)  # fmt: skip
