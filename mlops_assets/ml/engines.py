"""What a loaded model can do, whatever computes it: the one seam between model families and everything else.

Here: ``Engine`` and the engine with its calibrator. Belongs here: what holds for every engine. Does not: an engine
(``ml.boosted_trees``, ``ml.onnx_engine``, ``serving.booster``), training (``ml.families``), pandas, heavy libraries.
"""

from typing import Protocol

import numpy as np

from mlops_assets.ml.bundles import Calibrator
from mlops_assets.ml.calibration import apply


class EngineError(ValueError):
    """The engine refused, or the matrix is not one it could read safely."""


class Engine(Protocol):
    """A loaded model. ``matrix`` has shape (rows, features), float64, C order; NaN is missing (``ml.encoding``).

    A row's numbers do not depend on the rows beside it, to the last bit.
    """

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Scores between 0 and 1, shape (rows,), float64. Raises EngineError."""
        ...

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """What each feature adds to the log-odds, shape (rows, features + 1); the last column is the expected value.

        A row sums to its margin: the log-odds of the engine's own score, before any calibrator. Raises EngineError.
        """
        ...


class CalibratedEngine:
    """An engine whose scores go through a calibrator; its contributions still sum to the engine's margin."""

    def __init__(self, engine: Engine, calibrator: Calibrator) -> None:
        self._engine, self._calibrator = engine, calibrator

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities, shape (rows,)."""
        return apply(self._calibrator, self._engine.predict(matrix))

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """As in Engine."""
        return self._engine.contributions(matrix)


def calibrated(engine: Engine, calibrator: Calibrator) -> Engine:
    """The engine followed by the calibrator; the identity adds nothing."""
    return engine if calibrator.method == "identity" else CalibratedEngine(engine, calibrator)


def checked_matrix(matrix: np.ndarray, features: int) -> np.ndarray:
    """The matrix itself. Raises EngineError unless it has shape (rows, features), float64, in C order."""
    if matrix.ndim != 2 or matrix.shape[1] != features:
        raise EngineError(f"the matrix must have shape (rows, {features}), not {matrix.shape}")
    if matrix.dtype != np.float64 or not matrix.flags.c_contiguous:
        raise EngineError(f"the matrix must be float64 in C order, not {matrix.dtype}")
    return matrix
