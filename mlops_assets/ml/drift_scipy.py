"""Drift statistics by scipy: the engine without a restrictive licence.

Here: one engine. Belongs here: scipy calls. Does not: thresholds (``ml.drift``).
"""

import numpy as np

from mlops_assets.ml.drift_engines import DriftEngine, contingency


class ScipyEngine(DriftEngine):
    """Kolmogorov-Smirnov and chi-square from scipy.stats."""

    def kolmogorov_smirnov(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Largest distance between the two empirical distribution functions."""
        from scipy.stats import ks_2samp

        statistic, _ = ks_2samp(reference, current, method="asymp")
        return float(statistic)  # type: ignore[arg-type]

    def chi_square(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Pearson's statistic of the table (sample, code)."""
        from scipy.stats import chi2_contingency

        statistic, *_ = chi2_contingency(contingency(reference, current))
        return float(statistic)  # type: ignore[arg-type]
