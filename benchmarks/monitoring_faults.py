"""Twelve faults at three severities: what goes wrong in feeds, in the code of features and labels, and in the world.

Here: ``FAULTS``. Belongs here: making a fault. Does not: living with it (``benchmarks.monitoring_year``).

Feeds: the rows that land are wrong, in the source's own columns; a fault that a real source would keep consistent (a
clock and its instant, a delay and the clock it shows) stays consistent. Code: the functions that compute features or
labels do something else than they did at training time, online and offline alike, so that ``feature_skew`` cannot see
it. World: nothing is broken, and what leads to a late flight is another thing than it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.monitoring_year import Fault, Frames, Views
from mlops_assets.adapters.source import NycFlights, RawDay
from mlops_assets.ml.features import HOUR, VIEWS
from mlops_assets.ml.schedules import HOME_ZONE, local_day, local_minute, plus_minutes, schedule

Days = dict[str, RawDay]
Raw = Callable[[Days, np.random.Generator], Days]
ALL = ("EWR", "JFK", "LGA")
DELAYS = ("carrier_delays", "destination_delays", "origin_delays")


def each(dataset: str, change: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]) -> Raw:
    """The same change to one dataset of every day."""

    def raw(days: Days, rng: np.random.Generator) -> Days:
        return {day: replace(rows, **{dataset: change(getattr(rows, dataset), rng)}) for day, rows in days.items()}

    return raw


def both(change: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]) -> Raw:
    """The same change to schedules and landings."""
    return lambda days, rng: each("arrivals", change)(each("flights", change)(days, rng), rng)


def celsius(columns: tuple[str, ...], origins: tuple[str, ...]) -> Raw:
    """Degrees Celsius where Fahrenheit was."""

    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        at = rows["origin"].isin(origins)
        return rows.assign(**{n: rows[n].where(~at, ((rows[n] - 32) / 1.8).round(2)) for n in columns})

    return each("weather", change)


_VALUES = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]


def lagged(hours: int, origins: tuple[str, ...]) -> Raw:
    """Observations that come so many hours late, under the time at which they come."""

    def raw(days: Days, rng: np.random.Generator) -> Days:
        first = min(days)
        before = [str((pd.Timestamp(first) - pd.Timedelta(days=n)).date()) for n in (2, 1)]
        past = [NycFlights().part("weather", day) for day in before]
        rows = pd.concat([*past, *(days[day].weather for day in sorted(days))], ignore_index=True)
        moved = rows.assign(time_hour=_later(rows["time_hour"], hours))
        keys = ["origin", "time_hour"]
        found = rows[keys].merge(moved[[*keys, *_VALUES]].drop_duplicates(keys), on=keys, how="left")
        late = rows["origin"].isin(origins).to_numpy()
        changed = rows.assign(**{n: np.where(late, found[n].to_numpy(), rows[n].to_numpy()) for n in _VALUES})
        parts = np.repeat(np.arange(len(past) + len(days)), [*map(len, past), *(len(days[d].weather) for d in days)])
        by_day = {day: changed[parts == n + 2].reset_index(drop=True) for n, day in enumerate(sorted(days))}
        return {day: replace(kept, weather=by_day[day]) for day, kept in days.items()}

    return raw


def stuck(hours: int, origins: tuple[str, ...]) -> Raw:
    """Observations that repeat the day's first one for so many hours."""

    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        rows = rows.copy()
        for origin in origins:
            mine = np.flatnonzero(rows["origin"] == origin)[: hours + 1]
            rows.loc[rows.index[mine], _VALUES] = rows.loc[rows.index[mine[0]], _VALUES].to_numpy()
        return rows

    return each("weather", change)


def without_tail_numbers(share: float) -> Raw:
    """A share of the landings without their aircraft."""
    return each("arrivals", lambda rows, rng: rows.assign(tailnum=rows["tailnum"].where(rng.random(len(rows)) > share)))


def renamed(old: str, new: str) -> Raw:
    """An airline under another code."""
    return both(lambda rows, rng: rows.assign(carrier=rows["carrier"].replace(old, new)))


def _later(instants: pd.Series, hours: int) -> pd.Series:
    return (pd.to_datetime(instants, utc=True) + pd.Timedelta(hours=hours)).astype(instants.dtype)


def weather_clock(hours: int, origins: tuple[str, ...]) -> Raw:
    """Observations of airports on a clock that is so many hours ahead, local and UTC alike."""

    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        at = rows["origin"].isin(origins)
        moved = pd.to_datetime(rows["time_hour"], utc=True) + pd.Timedelta(hours=hours)
        local = moved.dt.tz_convert(HOME_ZONE)
        parts: dict[str, Any] = {
            "time_hour": moved.astype(rows["time_hour"].dtype),
            **{name: getattr(local.dt, name) for name in ("year", "month", "day", "hour")},
        }
        return rows.assign(**{name: rows[name].where(~at, values) for name, values in parts.items()})

    return each("weather", change)


def schedule_in_utc(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Scheduled departures on UTC's clock, the source's hour moved with them."""
    clock = rows["sched_dep_time"]
    minutes = (clock // 100 * 60 + clock % 100 + 240) % 1440
    return rows.assign(sched_dep_time=minutes // 60 * 100 + minutes % 60)


def doubled(share: float) -> Raw:
    """A share of schedules and landings twice."""

    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        again = rows[rng.random(len(rows)) < share]
        return pd.concat([rows, again], ignore_index=True)

    return both(change)


def evening_lost(origin: str, from_hour: int) -> Raw:
    """An airport's landings and weather end at an hour of the day."""

    def raw(days: Days, rng: np.random.Generator) -> Days:
        return {day: _cut(rows, origin, from_hour) for day, rows in days.items()}

    return raw


def _cut(rows: RawDay, origin: str, from_hour: int) -> RawDay:
    arrivals = (rows.arrivals["origin"] == origin) & (rows.arrivals["arr_time"] >= from_hour * 100)
    weather = (rows.weather["origin"] == origin) & (rows.weather["hour"] >= from_hour)
    return replace(rows, arrivals=rows.arrivals[~arrivals], weather=rows.weather[~weather])


def inverted(share: float) -> Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]:
    """Outcomes of which a share says the opposite."""

    def labels(outcomes: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        flipped = rng.random(len(outcomes)) < share
        return outcomes.assign(is_late=np.where(flipped, 1 - outcomes["is_late"], outcomes["is_late"]))

    return labels


def in_views(names: tuple[str, ...], change: Callable[[Views, str, Frames, pd.DatetimeIndex, pd.Timestamp], Any]):
    """Another computation of some views."""

    def faulty(views: Views, first: pd.Timestamp) -> Views:
        def computed(view: str, frames: Frames, hours: pd.DatetimeIndex) -> pd.DataFrame:
            return change(views, view, frames, hours, first) if view in names else views(view, frames, hours)

        return computed

    return faulty


def week_for_a_day(
    views: Views, view: str, frames: Frames, hours: pd.DatetimeIndex, first: pd.Timestamp
) -> pd.DataFrame:
    """Windows of 24 hours are windows of seven days."""
    made = views(view, frames, hours)
    key, means = VIEWS[view].key, [name for name in made if name.endswith("_24h")]
    daily = [hours - pd.Timedelta(days=n) for n in range(7)]
    past = pd.concat([views(view, frames, back).assign(event_timestamp=lambda f, n=n: f["event_timestamp"]
                      + pd.Timedelta(days=n)) for n, back in enumerate(daily)])  # fmt: skip
    mean = past.groupby([key, "event_timestamp"])[means].mean().reset_index()
    merged = made.drop(columns=means).merge(mean, on=[key, "event_timestamp"], how="left")[list(made.columns)]
    late = (made["event_timestamp"] >= first).to_numpy()
    return made.assign(**{name: np.where(late, merged[name].to_numpy(), made[name].to_numpy()) for name in means})


def frozen(views: Views, view: str, frames: Frames, hours: pd.DatetimeIndex, first: pd.Timestamp) -> pd.DataFrame:
    """Every hour from the first instant on says what the hour before it said."""
    known = views(view, frames, hours[hours < first]) if (hours < first).any() else None
    last = views(view, frames, pd.DatetimeIndex([first - pd.Timedelta(microseconds=HOUR)]))
    later = [last.assign(event_timestamp=hour) for hour in hours[hours >= first]]
    return pd.concat(([] if known is None else [known]) + later, ignore_index=True).astype(last.dtypes)


def negated(views: Views, view: str, frames: Frames, hours: pd.DatetimeIndex, first: pd.Timestamp) -> pd.DataFrame:
    """Mean delays with the other sign."""
    made = views(view, frames, hours)
    sign = np.where(made["event_timestamp"] >= first, -1.0, 1.0)
    return made.assign(**{name: made[name] * sign for name in made if name.startswith("mean_arr_delay")})


def another_world(share: float) -> Raw:
    """A share of the flights of an airport's day departs with the delay of another one of them.

    How many are late, and what that does to the features, stays; who is late is another matter. Landings move with
    their departures, clocks and days included.
    """

    def raw(days: Days, rng: np.random.Generator) -> Days:
        rows = pd.concat([days[day].arrivals for day in sorted(days)], ignore_index=True)
        delay, gain = rows["dep_delay"].to_numpy().copy(), (rows["arr_delay"] - rows["dep_delay"]).to_numpy()
        listed = np.repeat(np.arange(len(days)), [len(days[day].arrivals) for day in sorted(days)])
        for _, found in rows.groupby([listed, rows["origin"].to_numpy()]).indices.items():
            chosen = found[rng.random(len(found)) < share]
            delay[chosen] = delay[rng.permutation(chosen)]
        moved = _clocks(rows.assign(dep_delay=delay, arr_delay=delay + gain))
        landed = moved.pop("_landed_day")
        parts = {day: moved[landed == day].reset_index(drop=True) for day in days}
        return {day: replace(kept, arrivals=parts[day]) for day, kept in days.items()}

    return raw


def _clocks(rows: pd.DataFrame) -> pd.DataFrame:
    """Departure and arrival clocks that follow from schedule and delays, and the day of the landing."""
    times = schedule(rows, NycFlights().references().zones)
    out = plus_minutes(times["sched_dep_at"], rows["dep_delay"])
    landed = plus_minutes(times["sched_arr_at"], rows["arr_delay"])
    shown = {"dep_time": local_minute(out, HOME_ZONE), "arr_time": local_minute(landed, times["zone"])}
    clocks = {name: minutes // 60 * 100 + minutes % 60 for name, minutes in shown.items()}
    return rows.assign(**clocks, _landed_day=local_day(landed))


def _fault(name: str, severities: Mapping[str, dict[str, Any]], right: tuple[str, ...] = ("hold",)) -> list[Fault]:
    return [Fault(name=name, severity=severity, right=right, **how) for severity, how in severities.items()]


FAULTS: tuple[Fault, ...] = (
    *_fault("unit change", {
        "temperature, one airport": {"raw": celsius(("temp",), ("JFK",))},
        "temperature and dew point, one airport": {"raw": celsius(("temp", "dewp"), ("LGA",))},
        "temperature and dew point, all airports": {"raw": celsius(("temp", "dewp"), ALL)},
    }),
    *_fault("stuck or lagged weather", {
        "stuck for 5 hours, one airport": {"raw": stuck(5, ("EWR",))},
        "3 hours late, one airport": {"raw": lagged(3, ("LGA",))},
        "24 hours late, all airports": {"raw": lagged(24, ALL)},
    }),
    *_fault("nulls in aircraft data", {
        "tail number of 5 %": {"raw": without_tail_numbers(0.05)},
        "of 25 %": {"raw": without_tail_numbers(0.25)},
        "of all": {"raw": without_tail_numbers(1.0)},
    }),
    *_fault("renamed carrier", {
        "one flight a day (HA)": {"raw": renamed("HA", "HX")},
        "14 a day (VX)": {"raw": renamed("VX", "V2")},
        "160 a day (UA)": {"raw": renamed("UA", "UN")},
    }),
    *_fault("time-zone shift", {
        "weather, one airport, 1 hour": {"raw": weather_clock(1, ("JFK",))},
        "weather, all airports, 4 hours": {"raw": weather_clock(4, ALL)},
        "schedule on UTC's clock": {"raw": both(schedule_in_utc)},
    }),
    *_fault("duplicate rows", {
        "0.5 %": {"raw": doubled(0.005)},
        "5 %": {"raw": doubled(0.05)},
        "half": {"raw": doubled(0.5)},
    }),
    *_fault("one airport missing", {
        "LGA from 20 o'clock on": {"raw": evening_lost("LGA", 20)},
        "EWR from 14 o'clock on": {"raw": evening_lost("EWR", 14)},
        "JFK": {"raw": evening_lost("JFK", 0)},
    }),
    *_fault("window of 7 days for 24 h", {
        "carriers": {"views": in_views(("carrier_delays",), week_for_a_day)},
        "destinations": {"views": in_views(("destination_delays",), week_for_a_day)},
        "all delays": {"views": in_views(DELAYS, week_for_a_day)},
    }),
    *_fault("label inversion", {
        "5 %": {"labels": inverted(0.05)},
        "10 %": {"labels": inverted(0.1)},
        "30 %": {"labels": inverted(0.3)},
    }),
    *_fault("frozen delay statistics", {
        "destinations": {"views": in_views(("destination_delays",), frozen)},
        "carriers": {"views": in_views(("carrier_delays",), frozen)},
        "all delays": {"views": in_views(DELAYS, frozen)},
    }),
    *_fault("sign flip", {
        "destinations": {"views": in_views(("destination_delays",), negated)},
        "carriers": {"views": in_views(("carrier_delays",), negated)},
        "all delays": {"views": in_views(DELAYS, negated)},
    }),
    *_fault("concept drift", {
        "half of the flights": {"raw": another_world(0.5)},
        "three quarters": {"raw": another_world(0.75)},
        "all": {"raw": another_world(1.0)},
    }, right=("retrain", "watch", "roll_back")),
)  # fmt: skip
