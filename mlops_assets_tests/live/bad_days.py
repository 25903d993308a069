"""Bad days: real ones on which most flights land an hour later than they did. A broken day.

Here: which days, and how they are made: every row of a bad day still keeps its contract, those of a broken one do not.
Belongs here: raw days to land. Does not: landing them where a running system finds them (``live_loop``).
"""

import numpy as np

from mlops_assets.adapters.source import RawDay, Source
from mlops_assets.drills.feeds import later

LATER_MINUTES = 60


def bad_day(source: Source, day: str) -> RawDay:
    """The day with most landings an hour later, and without those that would then be of the next day."""
    return later(source.day(day), source.references(), day, LATER_MINUTES)


BROKEN_EVERY = 25
"""Of the arrivals: 4 % of them and 2 % of all rows of the day. More than 1 % cannot be trusted; from 5 % of a dataset
on the feed would be stopped, and nothing decided."""


def broken_day(source: Source, day: str) -> RawDay:
    """The real day with labels that contradict themselves: some delays are not those that the clocks tell."""
    raw = source.day(day)
    broken = np.arange(len(raw.arrivals)) % BROKEN_EVERY == 0
    delays = raw.arrivals["arr_delay"].where(~broken, raw.arrivals["arr_delay"] + LATER_MINUTES)
    return RawDay(flights=raw.flights, arrivals=raw.arrivals.assign(arr_delay=delays), weather=raw.weather)
