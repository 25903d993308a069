"""The family of boosted trees: LightGBM, the same bytes from the same rows on any number of threads.

Here: the two fits and the engine of LightGBM's own package. Belongs here: what decides the bytes of a LightGBM model.
Does not: the server's engine, which gives the same scores without the package (``serving.booster``).

Categories are LightGBM's native ones. A category that is missing, or was never seen in training, is NaN in the matrix,
and at every split on that feature goes to the side of "none of the levels named here", as an unseen level would.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import EngineName, ModelFeature
from mlops_assets.ml.families import Choice, Range, Words
from mlops_assets.ml.matrices import Rows
from mlops_assets.ml.metrics import log_losses

DETERMINISM: Mapping[str, Any] = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 0,
    "verbosity": -1,
}
"""Always applied last. With these and a seed the trees do not depend on the number of threads."""


class BoostedTrees:
    """The family. See ``ml.families.Family``."""

    name = "lightgbm"
    engine: EngineName = "lightgbm"
    kind = library = "lightgbm"
    words = Words(
        description="gradient-boosted trees (LightGBM), binary; the answer is a probability",
        file="`model.txt` (LightGBM's own text)",
        choice="The number of trees was chosen on",
        explanation="Exact TreeSHAP",
    )
    defaults: Mapping[str, Any] = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 20,
        "feature_fraction": 1.0,
        "bagging_fraction": 1.0,
        "lambda_l2": 0.0,
        "cat_smooth": 10.0,
        "seed": 7,
    }
    """LightGBM's own where the search begins, but for the learning rate (0.1)."""
    space: Mapping[str, Range] = {
        "learning_rate": Range(0.02, 0.1),
        "num_leaves": Range(15, 127, whole=True),
        "min_data_in_leaf": Range(50, 2000, whole=True),
        "feature_fraction": Range(0.2, 1.0, log=False),
        "bagging_fraction": Range(0.4, 1.0, log=False),
        "lambda_l2": Range(0.1, 100.0),
        "cat_smooth": Range(1.0, 200.0),
    }

    def recorded(self, training: Training) -> Mapping[str, Any]:
        """As in Family."""
        stops = {"rounds": training.rounds, "early_stopping_rounds": training.early_stopping_rounds}
        return {**training.params, **DETERMINISM, **stops}

    def choose(
        self, fitted: Rows, held_out: Rows, features: Sequence[ModelFeature], training: Training, threads: int
    ) -> Choice:
        """As in Family: the number of trees by early stopping."""
        import lightgbm

        params = _params(training, threads)
        data = _dataset(fitted, features, params)
        history: dict[str, Any] = {}
        booster = lightgbm.train(
            {**params, "metric": "none"},
            data,
            num_boost_round=training.rounds,
            valid_sets=[data.create_valid(held_out.matrix, held_out.labels)],
            valid_names=["held_out"],
            feval=_log_loss,
            callbacks=[
                lightgbm.early_stopping(training.early_stopping_rounds, verbose=False),
                lightgbm.record_evaluation(history),
            ],
        )
        trees = booster.best_iteration
        scores = np.asarray(booster.predict(held_out.matrix, num_iteration=trees))
        return Choice(scores=scores, trees=trees, curve=tuple(history["held_out"]["log_loss"]))

    def fit(self, rows: Rows, features: Sequence[ModelFeature], training: Training, trees: int, threads: int) -> bytes:
        """As in Family."""
        import lightgbm

        params = _params(training, threads)
        booster = lightgbm.train(params, _dataset(rows, features, params), num_boost_round=trees)
        return canonical_text(booster.model_to_string())


class BoosterEngine:
    """A LightGBM model in LightGBM's own package. See ``ml.engines.Engine``."""

    def __init__(self, content: bytes) -> None:
        """Load a model's text."""
        import lightgbm

        self._booster = lightgbm.Booster(model_str=content.decode())

    def predict(self, matrix: np.ndarray) -> np.ndarray:
        """As in Engine."""
        return np.asarray(self._booster.predict(matrix)) if len(matrix) else np.empty(0)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        """As in Engine: exact TreeSHAP values (``pred_contrib``)."""
        return np.asarray(self._booster.predict(matrix, pred_contrib=True))


def canonical_text(model_text: str) -> bytes:
    """LightGBM's text without the one line that tells how many threads the machine had."""
    lines = model_text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:")).encode()


def _log_loss(scores: np.ndarray, data: Any) -> tuple[str, float, bool]:
    """Our own: LightGBM's sums over threads, so its last bits, and by them the number of trees, depend on how many."""
    return "log_loss", float(log_losses(scores, data.get_label()).mean()), False


def _params(training: Training, threads: int) -> dict[str, Any]:
    return {**training.params, **DETERMINISM, "num_threads": threads}


def _dataset(rows: Rows, features: Sequence[ModelFeature], params: Mapping[str, Any]) -> Any:
    import lightgbm

    return lightgbm.Dataset(
        rows.matrix,
        rows.labels,
        feature_name=[feature.name for feature in features],
        categorical_feature=[feature.name for feature in features if feature.kind == "category"],
        params=dict(params),
    )
