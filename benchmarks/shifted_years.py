"""The real year again and again: landing files of as many years as a benchmark wants.

Here: ``land_years`` and ``YearsLanded``. Belongs here: making more data out of the real data. Does not: measuring.

Day and month stay, the year is replaced; 29 February repeats the 28th. The source's UTC hour is worked out anew from
the local clock, because the clocks change on other days; the weather of such a day is that of a day with as many hours.
"""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mlops_assets.adapters.source import LandedSource, NycFlights, RawDay, Source
from mlops_assets.ml.completeness import hours_in
from mlops_assets.ml.schedules import HOME_ZONE

FIRST_YEAR = 2013


class YearsLanded(Source):
    """Behind the landing folder: registers only, as every day of the benchmark has landed already."""

    def __init__(self) -> None:
        """Over the files of the real year."""
        self._real = NycFlights()

    def day(self, day: str) -> RawDay:
        """As in Source: raises, because the benchmark is to read landed files and nothing else."""
        raise LookupError(f"{day} was not landed")

    def static(self, dataset: str) -> pd.DataFrame:
        """As in Source."""
        return self._real.static(dataset)


def days_of_years(first: int, last: int) -> list[str]:
    """Every ISO day of the years, both included."""
    begin, end = dt.date(first, 1, 1), dt.date(last, 12, 31)
    return [(begin + dt.timedelta(days=n)).isoformat() for n in range((end - begin).days + 1)]


def land_years(root: Path, last: int) -> LandedSource:
    """Land the days from 2013 to the end of year ``last`` that have not landed yet; the folder in front of nothing."""
    real, landed = NycFlights(), LandedSource(root, YearsLanded())
    for day in days_of_years(FIRST_YEAR, last):
        if not (root / day).exists():
            raw = _shifted(real.day(_model_of(day)), day)
            landed.land(day, replace(raw, weather=_weather(real, day)))
    return landed


def _weather(real: NycFlights, day: str) -> pd.DataFrame:
    """Of the same day of the real year, or, when that one has another number of hours, of one that has as many."""
    model = _model_of(day)
    if hours_in(model) != hours_in(day):
        model = {23: "2013-03-10", 24: model[:8] + f"{int(model[8:]) - 1:02}", 25: "2013-11-03"}[hours_in(day)]
    frame, (year, month, number) = real.part("weather", model), map(int, day.split("-"))
    later = _midnight(day) - _midnight(model)
    instants = pd.to_datetime(frame["time_hour"], utc=True) + later
    return frame.assign(
        year=year,
        month=month,
        day=number,
        time_hour=instants.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _midnight(day: str) -> pd.Timestamp:
    return pd.Timestamp(day, tz=HOME_ZONE).tz_convert("UTC")


def _model_of(day: str) -> str:
    return f"{FIRST_YEAR}-02-28" if day[5:] == "02-29" else f"{FIRST_YEAR}{day[4:]}"


def _shifted(raw: RawDay, day: str) -> RawDay:
    frames = {}
    later = dt.date.fromisoformat(day) - dt.date.fromisoformat(_model_of(day))
    for name in ("flights", "arrivals"):
        frame = getattr(raw, name)
        dates = pd.to_datetime(frame[["year", "month", "day"]]) + later
        if day.endswith("02-29") and name == "arrivals":
            # Late landings of the 27th would be the second ones of flights of the 28th.
            frame, dates = frame[dates == day], dates[dates == day]
        frame = frame.assign(year=dates.dt.year, month=dates.dt.month, day=dates.dt.day)
        frames[name] = frame.assign(time_hour=_hours(frame)) if "time_hour" in frame else frame
    return replace(raw, **frames)


def _hours(frame: pd.DataFrame) -> pd.Series:
    """The UTC hour of each row's local clock."""
    hour = frame["hour"] if "hour" in frame else frame["sched_dep_time"] // 100
    parts = {"year": frame["year"], "month": frame["month"], "day": frame["day"].clip(upper=31), "hour": hour}
    local = pd.to_datetime(pd.DataFrame(parts), errors="coerce")
    utc = local.dt.tz_localize(HOME_ZONE, ambiguous=False, nonexistent="shift_forward").dt.tz_convert("UTC")
    return utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
