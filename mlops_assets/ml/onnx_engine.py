"""Models in ONNX's format, computed by ONNX Runtime in float64: the same code in training, monitoring and server.

Here: ``OnnxEngine``. Belongs here: every call into ONNX Runtime. Does not: making such a model (``ml.logistic``).
``import onnxruntime`` costs 0.1 s and 20 MB, so it is imported when the first such model is loaded.

One thread, rows in blocks: a row's score is the same alone and among a thousand (a contract test and the server's own
proof hold it), and a year of rows does not fill the memory.
"""

from typing import Any

import numpy as np

from mlops_assets.ml.calibration import sigmoid
from mlops_assets.ml.engines import EngineError, checked_matrix

INPUT, CONTRIBUTIONS = "matrix", "contributions"
"""Names in the graph. Input (rows, features), output (rows, features + 1), both float64.

Their sum and its sigmoid are NumPy's, not the graph's: in ONNX Runtime 1.32 ReduceSum gives a row alone another last
bit than among others (482 of 2,400 rows), Exp and Sigmoid in a batch of an odd size than of an even one."""
_BLOCK = 8192


class OnnxEngine:
    """One loaded model."""

    def __init__(self, content: bytes, *, features: int) -> None:
        """Load the bytes. Raises EngineError when they are no such model or do not eat ``features`` columns."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise EngineError(f"ONNX Runtime refuses the model: {error}") from error
        self._features = features
        _check(self._session, features)

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """As in Engine."""
        contributions = self.contributions(matrix)
        # Column by column: the order of the sum is the same for one row and for many.
        margins = np.zeros(len(matrix))
        for column in contributions.T:
            margins += column
        return sigmoid(margins)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """As in Engine: coefficient times value in the transformed space, and the intercept."""
        checked_matrix(matrix, self._features)
        told = np.empty((len(matrix), self._features + 1))
        for start in range(0, len(matrix), _BLOCK):
            (told[start : start + _BLOCK],) = self._session.run(None, {INPUT: matrix[start : start + _BLOCK]})
        return told


def _check(session: Any, features: int) -> None:
    eaten = {i.name: (i.type, i.shape[1:]) for i in session.get_inputs()}
    given = {o.name: (o.type, o.shape[1:]) for o in session.get_outputs()}
    double = "tensor(double)"
    if eaten != {INPUT: (double, [features])}:
        raise EngineError(f"the model eats {eaten}, its signature names {features} columns of float64")
    if given != {CONTRIBUTIONS: (double, [features + 1])}:
        raise EngineError(f"the model gives {given}, {features + 1} contributions are expected")
