"""Drift statistics by alibi-detect: the default engine, under the Business Source License 1.1.

Detectors are built from the reference sample each time. They are never saved: alibi-detect's own format is dill.

Here: one engine. Belongs here: alibi-detect calls. Does not: its p-values (useless at this size, see ``ml.drift``),
thresholds.
"""

import numpy as np

from mlops_assets.ml.drift_engines import DriftEngine


class AlibiEngine(DriftEngine):
    """Kolmogorov-Smirnov and chi-square from alibi_detect.cd."""

    def kolmogorov_smirnov(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Largest distance between the two empirical distribution functions, in single precision."""
        from alibi_detect.cd import KSDrift

        _, statistics = KSDrift(reference.reshape(-1, 1)).feature_score(
            reference.reshape(-1, 1), current.reshape(-1, 1)
        )
        return float(statistics[0])

    def chi_square(self, reference: np.ndarray, current: np.ndarray) -> float:
        """Pearson's statistic of the table (sample, code), in single precision."""
        from alibi_detect.cd import ChiSquareDrift

        _, statistics = ChiSquareDrift(reference.reshape(-1, 1)).feature_score(
            reference.reshape(-1, 1), current.reshape(-1, 1)
        )
        return float(statistics[0])
