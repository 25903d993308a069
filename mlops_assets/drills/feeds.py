"""Days of a feed made bad, so that every row still keeps its contract: a bad day is no broken one.

Here: ``later`` and ``inverted``, raw rows to raw rows. Belongs here: what a source could send. Does not: landing it
(the drills), telling it from a good day (monitors).
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from mlops_assets.adapters.source import RawDay
from mlops_assets.ml.dataset_contracts import References
from mlops_assets.ml.schedules import clock_minutes, local_day, number, plus_minutes, schedule

LATE_FROM = 15
"""Minutes after schedule from which a flight counts as late."""
LATER_SHARE, STRIDE = 0.65, 7919
"""Of the landings, in an order that no airline or hour follows."""
SHORTEST_FLIGHT, SPARE_MINUTES = 10, 2
"""Minutes in the air, and from there to the gate, that stay however much earlier a landing is told."""


def later(raw: RawDay, references: References, day: str, minutes: int) -> RawDay:
    """Most landings so many minutes later than they were; those that would land the next day are left out.

    Not all of them: a day on which every flight is late is unlike any weather, and the feature contract holds it.
    """
    chosen = np.arange(len(raw.arrivals)) * STRIDE % 100 < 100 * LATER_SHARE
    return _moved(raw, references, day, pd.Series(np.where(chosen, float(minutes), 0.0), index=raw.arrivals.index))


def inverted(raw: RawDay, references: References, day: str) -> RawDay:
    """Labels inverted wherever the row stays possible: a flight on time is told to be late, a late one on time.

    The time in the air is told shorter where it would not fit; a flight is too short for that keeps its label. So the
    contract has nothing to say, and only the departures contradict: more than an hour late, and arrived on time.
    """
    arrivals, times = raw.arrivals, schedule(raw.arrivals, references.zones)
    delay, flown = number(arrivals["arr_delay"]), number(arrivals["air_time"])
    departed = plus_minutes(times["sched_dep_at"], arrivals["dep_delay"])
    from_gate_to_gate = _minutes(plus_minutes(times["sched_arr_at"], delay) - departed)
    mirrored = (2 * LATE_FROM - 1 - delay) - delay
    possible = SHORTEST_FLIGHT + SPARE_MINUTES - from_gate_to_gate
    wanted = mirrored.where((delay < LATE_FROM) | (mirrored.clip(upper=0) >= possible), 0).clip(lower=possible)
    fits = from_gate_to_gate + wanted - SPARE_MINUTES
    shorter = replace(raw, arrivals=arrivals.assign(air_time=flown.where(flown <= fits, fits)))
    return _moved(shorter, references, day, wanted.fillna(0))


def _minutes(spans: pd.Series) -> pd.Series:
    return spans.dt.total_seconds() / 60


def _moved(raw: RawDay, references: References, day: str, minutes: pd.Series) -> RawDay:
    """Landings moved by minutes, on both clocks that tell of them."""
    arrivals = raw.arrivals
    clock = (clock_minutes(arrivals["arr_time"]) + minutes) % (24 * 60)
    delay = number(arrivals["arr_delay"]) + minutes
    moved = arrivals.assign(arr_delay=delay, arr_time=clock // 60 * 100 + clock % 60)
    landed = plus_minutes(schedule(moved, references.zones)["sched_arr_at"], delay)
    return replace(raw, arrivals=moved[local_day(landed) == day])
