"""Which engine computes a bundle, in the server.

Here: the choice, by the name in the signature, and by what was found equal. Belongs here: nothing else. Does not: the
engines (``serving.booster``, ``serving.compiled_trees``, ``ml.onnx_engine``), outside the server (``ml.families``).

A worker imports an engine when a version needs it: one that serves trees only never imports ONNX Runtime. Trees are
computed by compiled code where that says the same as LightGBM to the last bit, for each version anew.
"""

import logging
from collections.abc import Callable

import numpy as np

from mlops_assets.ml.bundles import Signature
from mlops_assets.ml.engines import Engine, EngineError, calibrated
from mlops_assets.serving.booster import Booster

LOG = logging.getLogger(__name__)
COMPARED_ROWS = 256


class Trees:
    """Trees in two engines that were found equal: scores by the compiled one, contributions by LightGBM."""

    def __init__(self, booster: Booster, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self._booster, self._predict = booster, predict

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """See Engine."""
        return self._predict(matrix)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """See Engine."""
        return self._booster.contributions(matrix)


def load_engine(signature: Signature, content: bytes, threads: int = 1, *, compiled: bool = True) -> tuple[Engine, str]:
    """The model of a bundle, its calibrator applied, and what computes it: onnx, lightgbm or compiled trees.

    ``compiled`` False: trees are always LightGBM's. Raises EngineError; a damaged tree text may abort the process.
    """
    features = len(signature.features)
    if signature.engine == "onnx":
        from mlops_assets.ml.onnx_engine import OnnxEngine

        return calibrated(OnnxEngine(content, features=features), signature.calibrator), "onnx"
    booster = Booster(content, features=features, trees=signature.trees, threads=threads)
    trees = _compiled(booster, signature, content) if compiled else None
    if trees is None:
        return calibrated(booster, signature.calibrator), "lightgbm"
    return calibrated(trees, signature.calibrator), "compiled trees"


def _compiled(booster: Booster, signature: Signature, content: bytes) -> Trees | None:
    """The trees compiled; None, and a line in the log, where they cannot be, or say something else."""
    try:
        from mlops_assets.serving.compiled_trees import CompiledTrees

        made = CompiledTrees(content, features=len(signature.features), trees=signature.trees)
    except (ImportError, EngineError) as error:
        LOG.warning("%s: LightGBM itself computes this version: %s", signature.model, error)
        return None
    rows = specimens(signature)
    if made.predict(rows).tobytes() != booster.predict(rows).tobytes():
        LOG.error("%s: compiled trees say something else than LightGBM, which computes this version", signature.model)
        return None
    return Trees(booster, made.predict)


def specimens(signature: Signature) -> np.ndarray:
    """Rows to compare two engines with: mixtures of the golden rows' values, with gaps and extremes among them."""
    random = np.random.default_rng(0)
    golden = [[np.nan if value is None else value for value in row.values] for row in signature.golden]
    known = np.array(golden or [[0.0] * len(signature.features)], dtype=np.float64)
    picked = random.integers(0, len(known), size=(COMPARED_ROWS, known.shape[1]))
    rows = np.take_along_axis(known, picked, axis=0) * random.choice([1.0, 1.0, 0.5, 2.0, -1.0], size=picked.shape)
    for i, feature in enumerate(signature.features):
        if feature.kind == "category":
            rows[:, i] = random.integers(-1, len(feature.levels) + 2, size=len(rows))
    extremes = np.array([np.nan, 0.0, 1e308, -1e308, 1e-40])
    odd = random.random(size=rows.shape) < 0.15
    rows[odd] = random.choice(extremes, size=int(odd.sum()))
    return np.ascontiguousarray(rows)
