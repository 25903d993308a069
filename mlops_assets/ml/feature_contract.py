"""What clean days promise of the served features, learnt from the training window: a broken computation breaks it.

A feature whose window, sign or source changed still has possible values; what it loses is its relation to the others,
its pace, or its presence. Of every feature three numbers are taken each day:

- slope: how its values move, within the day, with what the other features say of them (least squares about the day's
  means): about 1 over the training window, -1 after a sign flip. Storms and seasons move feature and expectation
  together, so the slope of a clean day stays where it was.
- pace: logarithm of the way its values go in a day, per key of its view, in standard deviations. A statistic of seven
  days goes a third of the way of one of 24 hours; one that is stuck goes none.
- missing: share of rows without a value.

The clean range of each, over 1, 3 and 7 days, is that of the training window (expectations out of fold), made wider.

Here: the daily numbers, their ranges, what lies outside. Belongs here: a promise about features that no single row can
break. Does not: how far a distribution moved (``ml.drift``: that trains a challenger, this holds), promises of feeds
(``ml.plausibility``, ``ml.dataset_contracts``).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

SPANS = (1, 3, 7)
"""Days whose mean is held against the range: one day is noisy, and seven of a small change are not."""
WIDER = 2.0
"""A range of slopes reaches beyond the extremes of the training window by this much of their distance from the median.
With 0.75 a month of January to June leaves the range of the five others on 4 days, with 1.25 on none: 2 has room for
what half a year does not show. A flipped sign lies far outside all the same."""
LEAST_WIDER = 0.3
SLOWEST = 0.6
"""Of the pace of the slowest clean day: slower is a broken window or a stuck value. The slowest day of a month of
January to June has at least 0.55 of the slowest of the five others (0.66 but for one feature)."""
MOST_MISSING = 0.1
"""More than in the worst clean day by this share of rows."""
_LEAST_PRESENT = 0.5
"""Share of the rows with a value below which slope and pace say nothing: gusts are mostly missing."""
_RIDGE = 0.01
"""Added to the day's variance of the expectation: a slope over next to no variance would be anything."""
_LEAST_VARIANCE = 0.0025
"""Below it the others say nothing about a feature within the day, and neither does the slope."""
_MOST_SLOPE = 3.0
_LEAST_WAY = 0.01
"""Added to the way before its logarithm: a way of nothing is a long way below a short one, and finite."""
_FAR = 1e9
"""No end: infinity has no JSON."""


@dataclass(frozen=True, kw_only=True)
class FeatureContract:
    """The clean ranges of one model version: statistic -> feature -> (low, high) for each of ``SPANS``."""

    scales: Mapping[str, float] = field(default_factory=dict)
    """Feature -> standard deviation over the training window: the unit of its pace."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Feature -> the column that says whose it is; features of the request have none, and no pace."""
    ranges: Mapping[str, Mapping[str, tuple[tuple[float, float], ...]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """One statistic that lies outside of its clean range."""

    feature: str
    statistic: str
    days: int
    value: float
    low: float
    high: float

    @property
    def excess(self) -> float:
        """How far outside, in widths of the range; of one that is open, in its own unit."""
        width = 1.0 if _FAR in (self.high, -self.low) else max(self.high - self.low, 1e-9)
        return max(self.low - self.value, self.value - self.high) / width

    def __str__(self) -> str:
        over = "" if self.days == 1 else f" over {self.days} days"
        clean = f"{self.low:.2f} to {self.high:.2f}"
        if _FAR in (self.high, -self.low):
            clean = f"at least {self.low:.2f}" if self.high == _FAR else f"at most {self.high:.2f}"
        return f"{self.statistic} of {self.feature}{over} is {self.value:.2f}, clean {clean}"


def keys_of(views: Sequence[tuple[str, str, Sequence[str]]], columns: Sequence[str]) -> dict[str, str]:
    """Feature -> its view's key. ``views``: name, join key, features of each; keys that are no column are left out."""
    return {f"{view}__{name}": key for view, key, names in views for name in names if key in columns}


def fit_contract(
    frame: pd.DataFrame,
    expected: np.ndarray,
    numbers: Sequence[str],
    standardised: np.ndarray,
    keys: Mapping[str, str],
    day: str = "day",
) -> FeatureContract:
    """Learn the ranges of clean days.

    ``frame``: training rows in the order of time, a column per feature and ``day``. ``standardised``: its ``numbers``
    in standard deviations, shape (rows, numbers), NaN where missing; ``expected``: what the others say of them, out of
    fold, the same shape.
    """
    scales = {name: float(frame[name].std()) or 1.0 for name in keys}
    daily = daily_numbers(frame, expected, numbers, standardised, FeatureContract(scales=scales, keys=keys), day)
    ranges = {statistic: _ranges(statistic, table) for statistic, table in daily.items()}
    return FeatureContract(scales=scales, keys=dict(keys), ranges=ranges)


def breaches(
    contract: FeatureContract,
    frame: pd.DataFrame,
    expected: np.ndarray,
    numbers: Sequence[str],
    standardised: np.ndarray,
    day: str = "day",
) -> list[Breach]:
    """What of the last days lies outside, farthest first. ``frame`` as for ``fit_contract``, of up to seven days."""
    daily = daily_numbers(frame, expected, numbers, standardised, contract, day)
    found = [
        Breach(feature=feature, statistic=statistic, days=days, value=value, low=low, high=high)
        for statistic, features in contract.ranges.items()
        for feature, ends in features.items()
        if feature in daily[statistic]
        for days, (low, high) in zip(SPANS, ends, strict=True)
        for value in [_mean_of_last(daily[statistic][feature].to_numpy(), days)]
        if value < low or value > high
    ]
    return sorted(found, key=lambda breach: -breach.excess)


def daily_numbers(
    frame: pd.DataFrame,
    expected: np.ndarray,
    numbers: Sequence[str],
    standardised: np.ndarray,
    contract: FeatureContract,
    day: str = "day",
) -> dict[str, pd.DataFrame]:
    """Statistic -> a row for each day in order, a column for each feature."""
    codes, days = pd.factorize(frame[day], sort=True)
    rows = {str(name): np.flatnonzero(codes == code) for code, name in enumerate(days)}
    values = frame[list(contract.keys)]
    slopes = [_slopes(standardised[mine], expected[mine]) for mine in rows.values()]
    return {
        "slope": pd.DataFrame(slopes, index=list(rows), columns=list(numbers)),
        "pace": pd.DataFrame([_paces(frame, values, mine, contract) for mine in rows.values()], index=list(rows)),
        "missing": values.isna().groupby(codes).mean().set_axis(list(rows)),
    }


def _slopes(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    moved, foreseen = (
        np.where(known, part - np.where(known, part, 0.0).sum(axis=0) / count, 0.0) for part in (values, expected)
    )
    variance = np.square(foreseen).sum(axis=0) / count
    slope = ((moved * foreseen).sum(axis=0) / count + _RIDGE) / (variance + _RIDGE)
    says = (variance > _LEAST_VARIANCE) & (known.mean(axis=0) >= _LEAST_PRESENT)
    return np.where(says, np.clip(slope, -_MOST_SLOPE, _MOST_SLOPE), np.nan)


def _paces(frame: pd.DataFrame, values: pd.DataFrame, mine: np.ndarray, contract: FeatureContract) -> dict[str, float]:
    paces: dict[str, float] = {}
    present = values.iloc[mine].notna().mean()
    for key in dict.fromkeys(contract.keys.values()):
        names = [name for name, owner in contract.keys.items() if owner == key]
        codes, owners = pd.factorize(frame[key].to_numpy()[mine])
        order = np.argsort(codes, kind="stable")
        steps = np.abs(np.diff(values[names].to_numpy(np.float64)[mine][order], axis=0))
        steps[np.diff(codes[order]) != 0] = np.nan
        ways = np.nansum(steps, axis=0) / max(len(owners), 1)
        for name, way in zip(names, ways, strict=True):
            told = present[name] >= _LEAST_PRESENT
            paces[name] = math.log(way / contract.scales[name] + _LEAST_WAY) if told else math.nan
    return paces


def _ranges(statistic: str, daily: pd.DataFrame) -> dict[str, tuple[tuple[float, float], ...]]:
    spans = [_span_ranges(statistic, daily.rolling(days).mean()) for days in SPANS]
    told = [name for name in daily if all(name in span for span in spans)]
    return {name: tuple(span[name] for span in spans) for name in told}


def _span_ranges(statistic: str, means: pd.DataFrame) -> dict[str, tuple[float, float]]:
    low, high, middle = means.min(), means.max(), means.median()
    if statistic == "pace":
        low, high = low + math.log(SLOWEST), high * 0 + _FAR
    elif statistic == "missing":
        low, high = low * 0 - _FAR, high + MOST_MISSING
    else:
        low = low - np.maximum(WIDER * (middle - low), LEAST_WIDER)
        high = high + np.maximum(WIDER * (high - middle), LEAST_WIDER)
    return {str(n): (float(low[n]), float(high[n])) for n in means if not math.isnan(middle[n])}


def _mean_of_last(values: np.ndarray, days: int) -> float:
    """Mean of the last days; NaN, which lies in no comparison outside, when one of them is not told."""
    return float(values[-days:].mean()) if len(values) >= days else math.nan
