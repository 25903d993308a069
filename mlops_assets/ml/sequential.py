"""Evidence that may be looked at every day: e-processes by betting.

A player starts with 1 and bets before each observation that it will exceed the margin. If the true mean is at most the
margin, the wealth is a non-negative supermartingale, so the chance that it ever reaches 1/alpha is at most alpha
(Ville's inequality) however often anybody looks. Bets: the predictable plug-in of Waudby-Smith and Ramdas, Estimating
means of bounded random variables by betting, Journal of the Royal Statistical Society B 86 (2024), section 4 and
appendix B.3 (aGRAPA).

The guarantee needs each observation's mean, given the past, to stay below the margin. Rows of one day share their
weather: over rows the guarantee is approximate. Betting on every row with no margin rejected an equal model in 45-63 %
of the tries; with a margin of 0.005 Brier and looking only after full days in 0-4 % (the fast lane), and with one
observation per day in 0-0.5 % (the strict lane, slow).

Here: the wealth process and its two lanes. Belongs here: an anytime-valid test. Does not: what a rejection means
for a release (``ml.releases``) or a champion (``ml.performance``).
"""

from dataclasses import dataclass

import numpy as np

_CAUTION = 0.5
"""Largest share of the wealth that one observation may take; the value that the paper uses throughout."""

_MOST_LOG_WEALTH = 700.0
"""Wealth is reported up to e^700: evidence beyond that changes nothing and would not fit a float."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Evidence against "worse by at most the margin", at the end of the last full day."""

    fast: float
    """Largest wealth at the end of a full day, betting on every row."""
    strict: float
    """Largest wealth at the end of a full day, betting on the means of days."""
    full_days: int

    def rejects(self, alpha: float) -> bool:
        """True when at least one full day is in and one of the lanes reached 1/alpha."""
        return self.full_days >= 1 and max(self.fast, self.strict) >= 1 / alpha


def worse_than(days: np.ndarray, differences: np.ndarray, margin: float, min_rows_per_day: int = 100) -> Evidence:
    """Evidence that the mean of ``differences`` exceeds ``margin``.

    ``differences`` are Brier score of the model minus that of the other on the same rows, in [-1, 1], in the order in
    which their outcomes became known; ``days`` are the days on which they did. A day with fewer than
    ``min_rows_per_day`` rows is not full: its rows count, but no verdict is taken at its end.
    """
    _, counts = np.unique(days, return_counts=True)
    full = counts >= min_rows_per_day
    if not full.any():
        return Evidence(fast=1.0, strict=1.0, full_days=0)
    order = np.argsort(days, kind="stable")
    ends = np.cumsum(counts) - 1
    by_row = log_wealth(differences[order] - margin, 1 + margin)[ends[full]]
    sums = np.add.reduceat(differences[order], np.r_[0, ends[:-1] + 1])
    by_day = log_wealth((sums / counts)[full] - margin, 1 + margin)
    fast, strict = (float(np.exp(min(lane.max(), _MOST_LOG_WEALTH))) for lane in (by_row, by_day))
    return Evidence(fast=fast, strict=strict, full_days=int(full.sum()))


def log_wealth(excess: np.ndarray, lowest: float) -> np.ndarray:
    """Logarithm of the wealth after every observation, shape (observations,).

    ``excess`` is the observation minus the margin and never below ``-lowest``.
    The bet is fixed by the observations before: mean / (variance + mean^2), cut to [0, caution / lowest].
    """
    count = np.arange(1, len(excess) + 1)
    sums, squares = np.cumsum(excess), np.cumsum(np.square(excess))
    mean = np.r_[0.0, sums[:-1]] / count
    variance = np.maximum((0.25 + np.r_[0.0, squares[:-1]]) / count - np.square(mean), 1e-9)
    bets = np.clip(mean / (variance + np.square(mean)), 0.0, _CAUTION / lowest)
    return np.cumsum(np.log1p(bets * excess))
