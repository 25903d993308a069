"""Which engine computes a bundle, in the server.

Here: the choice, by the name in the signature. Belongs here: nothing else. Does not: the engines
(``serving.booster``, ``ml.onnx_engine``), outside the server (``ml.families``).

A worker imports an engine when a version needs it: one that serves trees only never imports ONNX Runtime.
"""

from mlops_assets.ml.bundles import Signature
from mlops_assets.ml.engines import Engine, calibrated


def load_engine(signature: Signature, content: bytes, threads: int = 1) -> Engine:
    """The model of a bundle, its calibrator applied. Raises EngineError; a damaged tree text may abort the process."""
    features = len(signature.features)
    if signature.engine == "onnx":
        from mlops_assets.ml.onnx_engine import OnnxEngine

        return calibrated(OnnxEngine(content, features=features), signature.calibrator)
    from mlops_assets.serving.booster import Booster

    booster = Booster(content, features=features, trees=signature.trees, threads=threads)
    return calibrated(booster, signature.calibrator)
