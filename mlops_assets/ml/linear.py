"""The simple models that stand beside the real one: linear, small, plain numbers.

Monitoring needs two of them. A logistic model on the same features says how hard a day's rows were, so that a storm is
not mistaken for a broken model. A ridge regression of each feature on the others says what season and weather explain
of it, so that only the rest can count as drift.

Here: the design matrix of a frame and the two fits. Belongs here: closed-form or Newton fits in numpy. Does not: what
is done with them (``ml.drift``, ``ml.performance``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.ml.bundles import ModelFeature

_MOST_LEVELS = 20
"""Categories with more levels than this get no columns: a linear model of 100 destinations is not simple."""
_CUT = 4.0
"""Standardised values are cut here: one gust of 60 knots must not bend a line."""
_PENALTY = 100.0
"""Ridge penalty in units of rows; between 10 and 1,000 the log-loss of 2013 does not change in the third digit."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a frame becomes standardised columns."""

    numbers: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    levels: tuple[tuple[str, str], ...]
    """(feature, level) of every 0/1 column."""

    def matrix(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (rows, 1 + numbers + levels): a one, the numbers (missing is the mean, 0), the 0/1 columns."""
        numbers = np.nan_to_num(self.standardised(frame))
        flags = [(frame[feature].to_numpy() == level).astype(np.float64) for feature, level in self.levels]
        return np.column_stack([np.ones(len(frame)), numbers, *flags])

    def standardised(self, frame: pd.DataFrame) -> np.ndarray:
        """The numbers in standard deviations from their mean, cut at +-4, NaN where missing."""
        values = frame[list(self.numbers)].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.clip((values - np.array(self.means)) / np.array(self.scales), -_CUT, _CUT)


def fit_design(frame: pd.DataFrame, features: Sequence[ModelFeature]) -> Design:
    """Means and standard deviations of the numbers, levels of the small categories but the first."""
    numbers = [feature.name for feature in features if feature.kind == "number"]
    values = frame[numbers].to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    means = np.where(known, values, 0.0).sum(axis=0) / count
    scales = np.sqrt(np.where(known, np.square(values - means), 0.0).sum(axis=0) / count)
    return Design(
        numbers=tuple(numbers),
        means=tuple(float(v) for v in means),
        scales=tuple(float(v) if v > 0 else 1.0 for v in scales),
        levels=tuple(
            (feature.name, level)
            for feature in features
            if feature.kind == "category" and len(feature.levels) <= _MOST_LEVELS
            for level in feature.levels[1:]
        ),
    )


def fit_logistic(design_matrix: np.ndarray, labels: np.ndarray, steps: int = 8) -> np.ndarray:
    """Weights of a ridge-penalised logistic regression by Newton's method, shape (columns,).

    Eight steps are enough: the weights then change by less than 1e-6.
    """
    weights = np.zeros(design_matrix.shape[1])
    penalty = _PENALTY * np.eye(len(weights))
    penalty[0, 0] = 0.0
    for _ in range(steps):
        scores = logistic(design_matrix, weights)
        gradient = design_matrix.T @ (labels - scores) - penalty @ weights
        curvature = (design_matrix * (scores * (1 - scores))[:, None]).T @ design_matrix + penalty
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def logistic(design_matrix: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probabilities, shape (rows,)."""
    return 1.0 / (1.0 + np.exp(-np.clip(design_matrix @ weights, -30, 30)))


def fit_each_from_the_others(design: Design, products: np.ndarray) -> np.ndarray:
    """Ridge weights that predict each number from all other columns, shape (columns, numbers); its own weight is 0.

    ``products`` is X'X of the design matrix X, which adds up over parts of the rows. All regressions at once: the
    weights of column j are -P[:, j] / P[j, j] with P the inverse of X'X + penalty (Lauritzen 1996, section 5.1).
    """
    precision = np.linalg.inv(products + _PENALTY * np.eye(len(products)))
    chosen = np.arange(1, len(design.numbers) + 1)
    weights = -precision[:, chosen] / np.diag(precision)[chosen]
    weights[chosen, np.arange(len(chosen))] = 0.0
    return weights
