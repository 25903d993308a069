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

        return float(ks_2samp(reference, current, method="asymp").statistic)

    def chi_square(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Pearson's statistic of the table (sample, code)."""
        from scipy.stats import chi2_contingency

        return float(chi2_contingency(contingency(reference, current))[0])
