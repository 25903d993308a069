"""Did everything land that should have? Rows of a day against what was published, not against last week.

Here: arrivals against the schedule, observations against the clock, rows that cannot stand beside others. Belongs
here: what a dataset promises in view of another one. Does not: promises of a row (``ml.dataset_contracts``) or of one
feed (``ml.feeds``).

Last week is no measure: holidays halve a schedule and storms a day's landings. The published schedule knows the first,
and what the second leaves is told by the limits below, each set on every day of the real year.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from mlops_assets.ml.dataset_contracts import ORIGINS, References
from mlops_assets.ml.schedules import HOME_ZONE, local_day

DOUBTFUL_SHARE = 0.65
"""Of an airport's scheduled landings fewer than these is a day to look at. On 2 of the 365 days of 2013 it was so, the
blizzard of 8 and 9 February (0.51 to 0.59 and 0.34 to 0.39 at the three airports); the next day, 12 September, had
0.675 at LGA. Both were true: hence a warning."""
BROKEN_SHARE = 0.25
"""Fewer than these is a feed that broke off: no airport was below 0.34 in 2013, not even in the blizzard."""
LANDED_TWICE = "landed twice"
MISSING_HOURS = 3
"""So many hours of weather may be missing of an airport's day. More were on 4 days of 2013 (25 October, 2 November, 30
and 31 December), at all airports at once: true outages of the source. Up to 3 were missing on 22 days."""


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How much of one day landed, by airport of departure."""

    day: str
    expected: Mapping[str, int]
    found: Mapping[str, int]

    @property
    def shares(self) -> dict[str, float]:
        """Airport -> found of expected; 1 where nothing was to be expected."""
        return {
            airport: self.found.get(airport, 0) / expected if expected else 1.0
            for airport, expected in self.expected.items()
        }

    @property
    def most_missing(self) -> int:
        """The rows that are missing at the airport where most are."""
        return max(expected - self.found.get(airport, 0) for airport, expected in self.expected.items())


def landings(flights: pd.DataFrame, arrivals: pd.DataFrame, days: Sequence[str]) -> list[Completeness]:
    """Each day's arrivals against the flights that by the schedule should have landed in it, by airport of departure.

    ``flights`` must reach back one day before the first: a red-eye lands on the day after its departure.
    """
    planned = _counts(local_day(flights["sched_arr_at"]), flights["origin"])
    found = _counts(arrivals["day"], arrivals["origin"])
    return [Completeness(day=day, expected=_of(planned, day), found=_of(found, day)) for day in days]


def observations(weather: pd.DataFrame, days: Sequence[str]) -> list[Completeness]:
    """Each day's hours with an observation against the hours of that local day (23, 24 or 25), by airport."""
    found = _counts(weather["day"], weather["origin"])
    return [
        Completeness(day=day, expected=dict.fromkeys(ORIGINS, hours_in(day)), found=_of(found, day)) for day in days
    ]


def hours_in(day: str) -> int:
    """Hours of a day on New York's clocks.

    >>> hours_in("2013-03-10"), hours_in("2013-11-03"), hours_in("2013-07-04")
    (23, 25, 24)
    """
    begin = pd.Timestamp(day, tz=HOME_ZONE)
    return int((begin + pd.DateOffset(days=1) - begin) / pd.Timedelta(hours=1))


def airports_without_schedule(flights: pd.DataFrame, days: Sequence[str]) -> dict[str, list[str]]:
    """Day -> the airports of departure of which its schedule holds no flight (171 at least on each day of 2013)."""
    counts = _counts(flights["day"], flights["origin"])
    return {day: sorted(origin for origin, rows in _of(counts, day).items() if not rows) for day in days}


def strange_flights(flights: pd.DataFrame, references: References) -> pd.Series:
    """Why each scheduled flight may not stand where it does, None for a good one; on the index of ``flights``."""
    why = pd.Series(None, flights.index, dtype=object)
    why[~flights["dest"].isin(list(references.zones))] = "unknown destination"
    why[~flights["origin"].isin(ORIGINS)] = "unknown origin"
    why[~flights["carrier"].isin(references.carriers)] = "unknown carrier"
    why[flights["flight_id"].duplicated(keep=False)] = "there twice"
    return why


def strange_arrivals(arrivals: pd.DataFrame, flights: pd.DataFrame, first_scheduled_day: str) -> pd.Series:
    """Why each arrival may not stand where it does, None for a good one; on the index of ``arrivals``.

    ``arrivals`` should hold the days around the judged ones: a flight lands once. ``first_scheduled_day`` is the first
    day of which ``flights`` holds the schedule.
    """
    why = pd.Series(None, arrivals.index, dtype=object)
    unplanned = ~arrivals["flight_id"].isin(flights["flight_id"]) & (arrivals["scheduled_day"] >= first_scheduled_day)
    why[unplanned] = "not in the schedule"
    why[arrivals["flight_id"].duplicated(keep=False)] = LANDED_TWICE
    return why


Counts = Mapping[tuple[str, str], int]


def _counts(days: pd.Series, origins: pd.Series) -> Counts:
    counted = pd.DataFrame({"day": days.to_numpy(), "origin": origins.to_numpy()}).value_counts()
    return {(str(day), str(origin)): int(rows) for (day, origin), rows in counted.items()}


def _of(counts: Counts, day: str) -> dict[str, int]:
    return {origin: counts.get((day, origin), 0) for origin in ORIGINS}
