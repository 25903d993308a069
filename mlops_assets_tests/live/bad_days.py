"""Bad days: real storms of June moved onto days of April, and every landing an hour later than it was. A broken day.

Here: which days, and how they are made: every row of a bad day still keeps its contract, those of a broken one do not.
Belongs here: raw days to land. Does not: landing them where a running system finds them (``live_loop``).
"""

import numpy as np
import pandas as pd

from mlops_assets.adapters.source import RawDay, Source
from mlops_assets.ml.schedules import clock_minutes, dates, local_day, plus_minutes, schedule

MOVED_DAYS = 84
"""Twelve weeks, so that weekdays stay; New York and its destinations keep summer time on both ends."""
LATER_MINUTES = 60
"""Added to every arrival. The storms alone make 40 % of the flights late; then nearly all are."""


def bad_day(source: Source, day: str) -> RawDay:
    """The day twelve weeks later, as if it had been ``day``, with the flights of it that land before midnight.

    What was scheduled the day before stays out: in the moved calendar those flights have landed already.
    """
    past = str((pd.Timestamp(day) + pd.Timedelta(days=MOVED_DAYS)).date())
    raw = source.day(past)
    zones = source.references().zones
    arrivals = _later(raw.arrivals)
    landed = plus_minutes(schedule(arrivals, zones)["sched_arr_at"], arrivals["arr_delay"])
    that_day = (local_day(landed) == past) & (dates(arrivals) == pd.Timestamp(past))
    return RawDay(flights=_moved(raw.flights), arrivals=_moved(arrivals[that_day]), weather=_moved(raw.weather))


BROKEN_EVERY = 25
"""Of the arrivals: 4 % of them and 2 % of all rows of the day. More than 1 % cannot be trusted; from 5 % of a dataset
on the feed would be stopped, and nothing decided."""


def broken_day(source: Source, day: str) -> RawDay:
    """The real day with labels that contradict themselves: some delays are not those that the clocks tell."""
    raw = source.day(day)
    broken = np.arange(len(raw.arrivals)) % BROKEN_EVERY == 0
    delays = raw.arrivals["arr_delay"].where(~broken, raw.arrivals["arr_delay"] + LATER_MINUTES)
    return RawDay(flights=raw.flights, arrivals=raw.arrivals.assign(arr_delay=delays), weather=raw.weather)


def day_after(source: Source, day: str) -> RawDay:
    """The real day after bad ones, without the landings of the flights of the night before: those have landed already,
    moved ones with the same numbers, and no flight lands twice."""
    raw = source.day(day)
    own = dates(raw.arrivals) == pd.Timestamp(day)
    return RawDay(flights=raw.flights, arrivals=raw.arrivals[own], weather=raw.weather)


def _later(arrivals: pd.DataFrame) -> pd.DataFrame:
    minutes = (clock_minutes(arrivals["arr_time"]) + LATER_MINUTES) % (24 * 60)
    clock = minutes // 60 * 100 + minutes % 60
    return arrivals.assign(arr_delay=arrivals["arr_delay"] + LATER_MINUTES, arr_time=clock)


def _moved(raw: pd.DataFrame) -> pd.DataFrame:
    """The same rows twelve weeks earlier, on every clock they carry."""
    local = dates(raw) - pd.Timedelta(days=MOVED_DAYS)
    hour = pd.to_datetime(raw["time_hour"], utc=True) - pd.Timedelta(days=MOVED_DAYS)
    return raw.assign(year=local.dt.year, month=local.dt.month, day=local.dt.day, time_hour=hour)
