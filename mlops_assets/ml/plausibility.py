"""What a day's rows must look like beside the other feeds and the days before: invariants that a broken feed breaks.

Here: one function per invariant, each giving what is broken in words, and ``implausible``, which asks them all. Belongs
here: what holds between good rows. Does not: promises of a row (``ml.dataset_contracts``), of one feed's day
(``ml.feeds``), how much must land (``ml.completeness``), what is learnt from clean days (``ml.feature_contract``).

A broken feed says so on its first day in something that weather and holidays never touch: physics (humidity follows
from temperature and dew point), memory (no hour is observed twice), company (the three airports lie 20 miles from each
other). Each limit was set on January to June 2013; the comments tell the nearest day of those, and of July to December.
"""

from dataclasses import dataclass

import pandas as pd

from mlops_assets.ml.completeness import MISSING_HOURS, landings, observations
from mlops_assets.ml.dataset_contracts import relative_humidity

HUMIDITY_GAP = 1.0
"""Percent points between the reported humidity and that of temperature and dew point, median of an airport's day.
The source computes one from the others: 0.04 at most. Degrees Celsius for Fahrenheit give 5 and more."""
JUMP = 20.0
"""Degrees Fahrenheit that the temperature of an airport changes within an hour: 13 at most (13.7 from July on), but for
one bad reading (44, at JFK on 8 May), which is told."""
REPEATED = 3
"""Hours of an airport's day whose whole observation was there already, that day or in the three before: one at most in
either half of the year. A feed that lags by three hours repeats three when it begins to, a stuck one each hour."""
REPEATED_DAYS = 3
_OBSERVATION = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
LONE_SHARE = 0.2
"""By so much may the share of one airport's scheduled landings lie below the middle one's: 0.10 at most (from July on
0.15, on 5 December). A storm that closes LGA closes JFK too; a feed that breaks off does not."""
LONE_HOURS = MISSING_HOURS
"""So many more hours than at the best airport may be missing of one: outages of the source are of all."""
SAME_BREACH = 2
"""Rows of one day that broke the same promise: one at most. A bad reading comes alone, a feed's change does not."""


@dataclass(frozen=True, kw_only=True)
class Feeds:
    """The good rows of one day and those around it, and the broken ones of the day."""

    day: str
    flights: pd.DataFrame
    """Schedules of the day and the one before: day, flight_id, origin, sched_arr_at."""
    arrivals: pd.DataFrame
    """Landings of the day: day, origin."""
    weather: pd.DataFrame
    """Observations of the day and of ``REPEATED_DAYS`` before: all columns."""
    quarantined: pd.DataFrame
    """Broken rows of the day: dataset, reason; of the day before too, with ``day``."""


def implausible(feeds: Feeds) -> list[str]:
    """Everything that is broken about a day, in words; none is the normal case. Feeds without rows say nothing."""
    found = [*same_breaches(feeds.quarantined, feeds.day), *lone_airports(feeds)]
    today = feeds.weather[feeds.weather["day"] == feeds.day]
    if len(today):
        found += [*humidity_gaps(today), *jumps(feeds.weather, feeds.day), *repeated_hours(feeds.weather, feeds.day)]
    return found


def humidity_gaps(today: pd.DataFrame) -> list[str]:
    """Airports whose temperature, dew point and humidity do not belong together."""
    gaps = (relative_humidity(today) - today["humid"]).abs().groupby(today["origin"]).median()
    return [
        f"{origin}: humidity is {gap:.1f} points off what temperature and dew point make of it: a unit changed"
        for origin, gap in gaps.items()
        if gap > HUMIDITY_GAP
    ]


def jumps(weather: pd.DataFrame, day: str) -> list[str]:
    """Airports whose temperature changed more within an hour than it can."""
    rows = weather.sort_values(["origin", "observed_at"])
    airport = rows.groupby("origin")
    hour = airport["observed_at"].diff() == pd.Timedelta(hours=1)
    change = airport["temp"].diff().abs()
    worst = change[hour & (rows["day"] == day) & (change > JUMP)].groupby(rows["origin"]).max()
    return [f"{origin}: the temperature changed by {by:.0f} degrees within an hour" for origin, by in worst.items()]


def repeated_hours(weather: pd.DataFrame, day: str) -> list[str]:
    """Airports whose observations are those of hours before: a feed that lags, is stuck, or was replayed."""
    rows = weather.sort_values("observed_at")
    again = rows.duplicated(["origin", *_OBSERVATION]) & (rows["day"] == day)
    counts = rows.loc[again, "origin"].value_counts(sort=False)
    return [
        f"{origin}: {hours} hours of weather are those of hours before, to the last digit: a feed lags or is stuck"
        for origin, hours in sorted(counts.items())
        if hours >= REPEATED
    ]


def lone_airports(feeds: Feeds) -> list[str]:
    """Airports of which less came than of the others: by the schedule that landed, or by the hours observed."""
    (landed,) = landings(feeds.flights, feeds.arrivals, [feeds.day])
    middle = sorted(landed.shares.values())[len(landed.shares) // 2]
    found = [
        f"{origin}: {share:.0%} of its scheduled landings came, {middle:.0%} of the others'"
        for origin, share in landed.shares.items()
        if share < middle - LONE_SHARE
    ]
    today = feeds.weather[feeds.weather["day"] == feeds.day]
    (seen,) = observations(today, [feeds.day])
    most = max(seen.found.values())
    return found + [
        f"{origin}: {hours} hours of weather came, {most} of the others'"
        for origin, hours in seen.found.items()
        if hours < most - LONE_HOURS
    ]


def same_breaches(quarantined: pd.DataFrame, day: str) -> list[str]:
    """Promises that more than one row of the day broke, or one row on two days running; unknown names at once."""
    if quarantined.empty:
        return []
    kinds = quarantined["reason"].map(kind_of_breach)
    rows = pd.DataFrame({"day": quarantined["day"], "dataset": quarantined["dataset"], "kind": kinds})
    counts = rows.groupby(["dataset", "kind", "day"]).size().unstack("day", fill_value=0)
    today = counts[day] if day in counts else pd.Series(dtype=int)
    return [
        f"{dataset}: {count} rows in quarantine, {kind}"
        for (dataset, kind), count in today.items()
        if count >= SAME_BREACH or (count and (_is_name(kind) or _before(counts, (dataset, kind), day)))
    ]


def kind_of_breach(reason: str) -> str:
    """The promise behind a reason, without the value that broke it.

    >>> kind_of_breach("wind_speed is 1048.36: must lie between 0 and 120 miles per hour; x is 3: y")
    'wind_speed: must lie between 0 and 120 miles per hour'
    """
    first = reason.split("; ")[0]
    column, is_, rest = first.partition(" is ")
    _, colon, promise = rest.partition(": ")
    return f"{column}: {promise}" if is_ and colon else first


def _is_name(kind: str) -> bool:
    return ": is not a known " in kind


def _before(counts: pd.DataFrame, row: tuple[str, str], day: str) -> bool:
    return any(counts.loc[row, other] for other in counts.columns if other < day)
