"""Comparing two models on the same rows when a day's rows rise and fall together.

One storm delays everybody: the daily rate of the label varies 74 times more than independent rows would, so 900 rows
of one day carry the information of a dozen. Days, not rows, are the observations of every interval here.

Here: the paired difference with its day-block interval, the jackknife by days. Belongs here: a statistic whose
unit is the day. Does not: sequential tests (``ml.sequential``), what follows from a difference (``ml.evaluation``,
``ml.releases``, ``ml.policy``).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean loss of one model minus that of another on the same rows: below zero, the first one is better."""

    mean: float
    low: float
    """Lower end of the day-block interval; minus infinity with fewer than two days."""
    high: float
    days: int
    rows: int


def paired_difference(
    days: np.ndarray, losses: np.ndarray, other_losses: np.ndarray, confidence: float = 0.95
) -> Difference:
    """Mean of ``losses - other_losses`` with an interval that treats every day as one cluster.

    The ratio estimator (sum of differences over number of rows) with its cluster-robust variance and Student's t
    with days - 1 degrees of freedom (Cochran 1977, chapter 6; Cameron and Miller 2015, section VI).
    All arrays have shape (rows,). No rows give a mean of NaN.
    """
    blocks = pd.DataFrame({"day": days, "difference": losses - other_losses}).groupby("day")["difference"]
    totals, counts = blocks.sum().to_numpy(), blocks.count().to_numpy()
    rows = int(counts.sum())
    if not rows:
        return Difference(mean=math.nan, low=-math.inf, high=math.inf, days=0, rows=0)
    mean = float(totals.sum() / rows)
    half = _half_width(totals - counts * mean, rows, confidence)
    return Difference(mean=mean, low=mean - half, high=mean + half, days=len(counts), rows=rows)


def jackknife(
    days: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of an interval about each number of a statistic, with days as the observations.

    ``statistic`` takes positions of rows and gives an array. Leaves one day out at a time; Student's t with
    days - 1 degrees of freedom (Efron and Tibshirani 1993, chapter 11). Fewer than two days give infinite ends.
    """
    from scipy.special import stdtrit

    whole = statistic(np.arange(len(days)))
    names = np.unique(days)
    if len(names) < 2:
        return np.full_like(whole, -np.inf), np.full_like(whole, np.inf)
    without = np.array([statistic(np.flatnonzero(days != name)) for name in names])
    spread = np.sqrt((len(names) - 1) / len(names) * np.square(without - without.mean(axis=0)).sum(axis=0))
    half = float(stdtrit(len(names) - 1, (1 + confidence) / 2)) * spread
    return whole - half, whole + half


def _half_width(residuals: np.ndarray, rows: int, confidence: float) -> float:
    days = len(residuals)
    if days < 2:
        return math.inf
    from scipy.special import stdtrit

    variance = days / (days - 1) * float(residuals @ residuals) / rows**2
    return float(stdtrit(days - 1, (1 + confidence) / 2)) * math.sqrt(variance)
