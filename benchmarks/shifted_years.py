"""The real year again and again: landing files of as many years as a benchmark wants.

Here: ``land_years`` and ``YearsLanded``. Belongs here: making more data out of the real data. Does not: measuring.

Day and month stay, the year is replaced; 29 February repeats the 28th. The source's UTC hour is worked out anew from
the local clock, because the clocks change on other days.
"""

import datetime as dt
from pathlib import Path

import pandas as pd

from mlops_assets.adapters.source import LandedSource, NycFlights, RawDay, Source
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
            landed.land(day, _shifted(real.day(_model_of(day)), int(day[:4])))
    return landed


def _model_of(day: str) -> str:
    return f"{FIRST_YEAR}-02-28" if day[5:] == "02-29" else f"{FIRST_YEAR}{day[4:]}"


def _shifted(raw: RawDay, year: int) -> RawDay:
    frames = {}
    for name in RawDay.__dataclass_fields__:
        frame = getattr(raw, name)
        # A landing on 1 January belongs to a departure of the year before.
        frame = frame.assign(year=frame["year"] + year - FIRST_YEAR)
        frames[name] = frame.assign(time_hour=_hours(frame)) if "time_hour" in frame else frame
    return RawDay(**frames)


def _hours(frame: pd.DataFrame) -> pd.Series:
    """The UTC hour of each row's local clock."""
    hour = frame["hour"] if "hour" in frame else frame["sched_dep_time"] // 100
    parts = {"year": frame["year"], "month": frame["month"], "day": frame["day"].clip(upper=31), "hour": hour}
    local = pd.to_datetime(pd.DataFrame(parts), errors="coerce")
    utc = local.dt.tz_localize(HOME_ZONE, ambiguous=False, nonexistent="shift_forward").dt.tz_convert("UTC")
    return utc.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
