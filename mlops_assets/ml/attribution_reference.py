"""Which features a version decides by on clean days, and how much that varies from week to week.

Here: ``DayAttributions`` (the size of every feature's contributions on one day), the reference made of the training
window, the distance between two. Belongs here: what is fixed when a model is trained. Does not: computing contributions
(``ml.explanations``), judging a day (``ml.attribution_drift``), pictures.

Few rows a day, for exact contributions of trees are dear: 2 to 7 ms a row here. The reference is made of windows of as
many rows as a day's verdict sees, so that both vary alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.ml.drift import WINDOW_DAYS, spread_rows
from mlops_assets.ml.explanations import attribute
from mlops_assets.ml.models import Scorer

ROWS_A_DAY = 20
"""Rows explained a day. A model of January to March judged weekly until December speaks on 99 of 269 days with 20 rows
a day and on 82 with 40, in 15 episodes either way, first in the storms of late April."""
WINDOWS = 8
"""Clean weeks of the training window that are explained: 1,120 rows, so 3 to 8 s of a training."""
LIMIT_FACTOR = 1.25
"""Attribution has drifted when it is this much farther from the reference than the farthest clean week."""


@dataclass(frozen=True, kw_only=True)
class DayAttributions:
    """How much each feature moved one version's answers on one day."""

    day: str
    version: int
    rows: int
    sizes: Mapping[str, float]
    """Feature -> mean |contribution| in log-odds."""


@dataclass(frozen=True, kw_only=True)
class AttributionReference:
    """What is normal for one version."""

    shares: Mapping[str, float]
    """Feature -> its part in the sum of mean |contribution| over the clean weeks."""
    clean_distances: tuple[float, ...]
    """Of every clean week from the others."""
    limit: float
    rows: int


def attributions_of(scorer: Scorer, rows: pd.DataFrame, day: str, version: int) -> DayAttributions:
    """Explain at most ``ROWS_A_DAY`` rows of one day, evenly spread. Raises ValueError without rows."""
    found = attribute(scorer, rows, ROWS_A_DAY)
    sizes = np.abs(found.values).mean(axis=0)
    known = dict(zip(found.names, map(float, sizes), strict=True))
    return DayAttributions(day=day, version=version, rows=len(found.values), sizes=known)


def shares_of(days: Sequence[DayAttributions]) -> dict[str, float]:
    """Feature -> its part in the sum over these days, every day alike."""
    names = list(dict.fromkeys(name for day in days for name in day.sizes))
    mean = np.mean([[day.sizes.get(name, 0.0) for name in names] for day in days], axis=0)
    return dict(zip(names, map(float, mean / max(float(mean.sum()), 1e-300)), strict=True))


def distance(shares: Mapping[str, float], others: Mapping[str, float]) -> float:
    """Half the sum of the absolute differences: 0 is equal, 1 is no feature in common.

    >>> distance({"wind": 0.75, "delay": 0.25}, {"wind": 0.5, "delay": 0.5})
    0.25
    """
    return sum(abs(shares.get(name, 0.0) - others.get(name, 0.0)) for name in {**shares, **others}) / 2


def fit_attributions(scorer: Scorer, frame: pd.DataFrame, day: str = "day") -> AttributionReference:
    """Learn from the training rows what is normal. Raises ValueError for fewer than two windows of days."""
    days = sorted(frame[day].unique())
    if len(days) < 2 * WINDOW_DAYS:
        raise ValueError(f"{len(days)} days of training rows do not show how weeks of attribution vary")
    starts = np.unique(np.linspace(0, len(days) - WINDOW_DAYS, WINDOWS).astype(int))
    windows = [days[start : start + WINDOW_DAYS] for start in starts]
    wanted = sorted({one for window in windows for one in window})
    by_day = _explained(scorer, frame[frame[day].isin(wanted)], day)
    clean = tuple(_from_the_others(by_day, window) for window in windows)
    return AttributionReference(
        shares=shares_of(list(by_day.values())),
        clean_distances=clean,
        limit=max(clean) * LIMIT_FACTOR,
        rows=sum(found.rows for found in by_day.values()),
    )


def _explained(scorer: Scorer, frame: pd.DataFrame, day: str) -> dict[str, DayAttributions]:
    """All days in one call of the model."""
    chosen = pd.concat([spread_rows(rows, ROWS_A_DAY) for _, rows in frame.groupby(day)], ignore_index=True)
    found = attribute(scorer, chosen, len(chosen))
    sizes, days = np.abs(found.values), chosen[day].to_numpy()
    by_day = {}
    for name in np.unique(days):
        mean = dict(zip(found.names, map(float, sizes[days == name].mean(axis=0)), strict=True))
        by_day[str(name)] = DayAttributions(day=str(name), version=0, rows=int((days == name).sum()), sizes=mean)
    return by_day


def _from_the_others(by_day: Mapping[str, DayAttributions], window: Sequence[str]) -> float:
    inside = [by_day[day] for day in window]
    outside = [found for day, found in by_day.items() if day not in window]
    return distance(shares_of(inside), shares_of(outside))
