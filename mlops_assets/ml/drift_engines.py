"""The one seam to a drift library: two samples of one feature in, a statistic out.

Here: the interface, the choice of an engine by name, and the effect sizes computed from the statistics.
Belongs here: what both engines share. Does not: a library's calls (``ml.drift_alibi``, ``ml.drift_scipy``),
references and thresholds (``ml.drift``).
"""

import abc
import math

import numpy as np


class UnknownEngine(ValueError):
    """No drift engine has that name."""


class DriftEngine(abc.ABC):
    """Statistics of two samples of one feature, both of shape (rows,), float64, without NaN."""

    @abc.abstractmethod
    def kolmogorov_smirnov(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Largest distance between the two empirical distribution functions, in [0, 1]."""

    @abc.abstractmethod
    def chi_square(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Pearson's chi-square statistic of the table (sample, code); with two codes, Yates-corrected."""

    def distance(self, kind: str, reference: np.ndarray, current: np.ndarray) -> float:
        """How far ``current`` is from ``reference``, in [0, 1]: KS for numbers, Cramér's V for categories."""
        if kind == "number":
            return self.kolmogorov_smirnov(reference, current)
        if len(np.union1d(reference, current)) < 2:
            return 0.0
        return math.sqrt(self.chi_square(reference, current) / (len(reference) + len(current)))


def drift_engine(name: str) -> DriftEngine:
    """The engine of that name: ``alibi-detect`` or ``scipy``. Raises UnknownEngine."""
    if name == "alibi-detect":
        from mlops_assets.ml.drift_alibi import AlibiEngine

        return AlibiEngine()
    if name == "scipy":
        from mlops_assets.ml.drift_scipy import ScipyEngine

        return ScipyEngine()
    raise UnknownEngine(f"no drift engine named {name!r}; known: alibi-detect, scipy")


def contingency(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Counts of every code that occurs in one of the samples, shape (2, codes)."""
    codes = np.union1d(reference, current)
    return np.stack([[float((sample == code).sum()) for code in codes] for sample in (reference, current)])
