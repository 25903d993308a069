"""How a model is trained: LightGBM, the same bytes from the same rows on any machine.

Here: the split in time, the training itself, the bundle it becomes, the score of a bundle, and the one fault that
drills inject into a training set. Belongs here: whatever decides the bytes of a model. Does not: which rows are in
the training set (``ml.training``), what a good model is (``ml.evaluation``).

Two fits: the first leaves the last days out, chooses the number of trees on them and gives the scores that are
evaluated; the second, the released one, repeats it on all rows. Holding two weeks back from the released model would
cost 0.0004 to 0.0117 in the next month's log-loss (mean 0.0049; six cut-offs of 2013), a third of what a year of
retraining gains.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import (
    MODEL_FILE,
    SIGNATURE_FILE,
    GoldenRow,
    ModelFeature,
    RequestField,
    Signature,
    ViewInput,
    decode_signature,
    encode_signature,
)
from mlops_assets.ml.encoding import encode

DETERMINISM: Mapping[str, Any] = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 0,
    "verbosity": -1,
}
"""Always applied last. With these and a seed the trees do not depend on the number of threads."""

GOLDEN_ROWS = 10


class BrokenBundle(ValueError):
    """The bytes load but do not give the scores they gave at training time."""


class WindowTooShort(ValueError):
    """The training set leaves nothing to fit or nothing to hold out."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves behind: the bytes, and what it takes to use and to describe them."""

    model_text: bytes
    """The released model, fitted on all rows: LightGBM's text, free of the machine's thread count."""
    features: tuple[ModelFeature, ...]
    """The features in matrix order, categories with the levels seen in training."""
    trees: int
    """The number that did best on the held-out days."""
    params: Mapping[str, Any]
    golden: tuple[GoldenRow, ...]
    training_rate: float
    """Rate of the label among all rows but the held-out ones."""
    rows: int
    window_first_day: str
    validation_first_day: str
    """First held-out day."""
    cutoff_day: str
    held_out: pd.DataFrame
    """Columns entity id, day, ``score``: scores of the held-out rows by the first fit, which never saw them."""
    validation_log_loss: tuple[float, ...]
    """Log-loss on the held-out days after each tree of the first fit."""


def split(frame: pd.DataFrame, validation_days: int, day: str = "day") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The fitted rows and the held-out rows: the last ``validation_days`` days of the frame, in time order.

    ``day`` holds ISO dates. Raises WindowTooShort when one of the parts would be empty.
    """
    if frame.empty:
        raise WindowTooShort("the training set has no rows")
    last = dt.date.fromisoformat(str(frame[day].max()))
    first_held_out = (last - dt.timedelta(days=validation_days - 1)).isoformat()
    held_out = frame[day] >= first_held_out
    if held_out.all():
        begin = frame[day].min()
        raise WindowTooShort(f"the training set begins on {begin}: nothing is left to fit before {first_held_out}")
    return frame.loc[~held_out], frame.loc[held_out]


def train(
    frame: pd.DataFrame,
    training: Training,
    features: Sequence[ModelFeature],
    *,
    label: str,
    entity_id: str,
    day: str = "day",
    threads: int = 0,
) -> TrainedModel:
    """Choose the number of trees on the last days, then fit all rows with it.

    ``frame`` has one row per decision: the unique ``entity_id``, the 0/1 ``label``, ISO dates in ``day`` and a column
    per feature. Rows are put into the order of (day, entity_id) first, so the order of the frame does not matter,
    and neither does ``threads`` (0: all cores).
    Raises WindowTooShort, and MissingColumn when a feature is absent.
    """
    ordered = frame.sort_values([day, entity_id], kind="stable")
    fitted, held_out = split(ordered, training.validation_days, day)
    params = {**training.params, **DETERMINISM}
    machine = {**params, "num_threads": threads}
    first_features, features = with_levels(features, fitted), with_levels(features, ordered)
    first, curve = _fit_and_stop(fitted, held_out, first_features, label, training, machine)
    released = _fit(ordered, features, label, first.best_iteration, machine)
    text = canonical_text(released.model_to_string())
    scores = first.predict(matrix(held_out, first_features), num_iteration=first.best_iteration)
    return TrainedModel(
        model_text=text,
        features=features,
        trees=first.best_iteration,
        params={**params, "rounds": training.rounds, "early_stopping_rounds": training.early_stopping_rounds},
        golden=_golden_rows(text, matrix(_spread(held_out, GOLDEN_ROWS - 1), features)),
        training_rate=float(fitted[label].mean()),
        rows=len(ordered),
        window_first_day=str(fitted[day].min()),
        validation_first_day=str(held_out[day].min()),
        cutoff_day=str(held_out[day].max()),
        held_out=held_out[[entity_id, day]].assign(score=scores).reset_index(drop=True),
        validation_log_loss=tuple(curve),
    )


def _fit_and_stop(
    fitted: pd.DataFrame,
    held_out: pd.DataFrame,
    features: Sequence[ModelFeature],
    label: str,
    training: Training,
    params: Mapping[str, Any],
) -> tuple[Any, list[float]]:
    import lightgbm

    fit_set = _dataset(fitted, features, label, params)
    history: dict[str, Any] = {}
    booster = lightgbm.train(
        {**params, "metric": "binary_logloss"},
        fit_set,
        num_boost_round=training.rounds,
        valid_sets=[fit_set.create_valid(matrix(held_out, features), held_out[label].to_numpy(np.float64))],
        valid_names=["held_out"],
        callbacks=[
            lightgbm.early_stopping(training.early_stopping_rounds, verbose=False),
            lightgbm.record_evaluation(history),
        ],
    )
    return booster, history["held_out"]["binary_logloss"]


def _fit(
    frame: pd.DataFrame, features: Sequence[ModelFeature], label: str, trees: int, params: Mapping[str, Any]
) -> Any:
    import lightgbm

    return lightgbm.train(dict(params), _dataset(frame, features, label, params), num_boost_round=trees)


def _dataset(frame: pd.DataFrame, features: Sequence[ModelFeature], label: str, params: Mapping[str, Any]) -> Any:
    import lightgbm

    return lightgbm.Dataset(
        matrix(frame, features),
        frame[label].to_numpy(np.float64),
        feature_name=[feature.name for feature in features],
        categorical_feature=[feature.name for feature in features if feature.kind == "category"],
        params=dict(params),
    )


def with_levels(features: Sequence[ModelFeature], fitted: pd.DataFrame) -> tuple[ModelFeature, ...]:
    """The features, every category with the levels that occur in ``fitted``, sorted."""
    return tuple(
        msgspec.structs.replace(feature, levels=tuple(sorted(str(v) for v in fitted[feature.name].dropna().unique())))
        if feature.kind == "category" and feature.name in fitted
        else feature
        for feature in features
    )


def matrix(frame: pd.DataFrame, features: Sequence[ModelFeature]) -> np.ndarray:
    """The model's matrix of a frame, shape (rows, features): ``ml.encoding`` fed with the frame's columns."""
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    return encode(columns, features)


def canonical_text(model_text: str) -> bytes:
    """LightGBM's text without the one line that tells how many threads the machine had."""
    lines = model_text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("[num_threads:")).encode()


def make_bundle(
    trained: TrainedModel,
    *,
    model: str,
    label: str,
    entity_id: str,
    feature_service: str,
    feature_service_digest: str,
    request_fields: Sequence[RequestField],
    views: Sequence[ViewInput],
    transformations: Sequence[str],
) -> dict[str, bytes]:
    """The files of the model version, path -> content. ``ml.bundles.bundle_digest`` names them."""
    signature = Signature(
        model=model,
        label=label,
        entity_id=entity_id,
        feature_service=feature_service,
        feature_service_digest=feature_service_digest,
        request_fields=tuple(request_fields),
        views=tuple(views),
        transformations=tuple(transformations),
        features=trained.features,
        golden=trained.golden,
        trees=trained.trees,
    )
    return {MODEL_FILE: trained.model_text, SIGNATURE_FILE: encode_signature(signature)}


class Scorer:
    """A loaded bundle: frames in, probabilities out. Its copy of the golden rows has been checked."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Load ``files``; raises BrokenBundle when a golden row does not give its score to the last bit."""
        self.signature = decode_signature(files[SIGNATURE_FILE])
        self._booster = _load(files[MODEL_FILE])
        golden = self.signature.golden
        values = np.array([[np.nan if v is None else v for v in row.values] for row in golden], dtype=np.float64)
        scores = self._booster.predict(values, num_threads=1)
        if [row.score for row in golden] != list(scores):
            raise BrokenBundle("the loaded model does not reproduce its golden rows")

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        """Probability of the label for every row, shape (rows,). Raises MissingColumn."""
        if frame.empty:
            return np.empty(0)
        return np.asarray(self._booster.predict(matrix(frame, self.signature.features)))

    def contributions(self, frame: pd.DataFrame) -> np.ndarray:
        """Exact TreeSHAP values in log-odds, shape (rows, features + 1); the last column is the expected value."""
        return np.asarray(self._booster.predict(matrix(frame, self.signature.features), pred_contrib=True))


def invert_labels(frame: pd.DataFrame, label: str, share: float, seed: int) -> pd.DataFrame:
    """A drill's fault: a copy of the frame in which ``share`` of the labels, chosen by ``seed``, say the opposite.

    Inverting hurts calibration at once; shuffling the same share does not hurt LightGBM and is no test.
    """
    chosen = np.random.default_rng(seed).random(len(frame)) < share
    labels = frame[label].to_numpy()
    return frame.assign(**{label: np.where(chosen, 1 - labels, labels)})


def _spread(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, rows).astype(int))]


def _golden_rows(model_text: bytes, values: np.ndarray) -> tuple[GoldenRow, ...]:
    everything_missing = np.full((1, values.shape[1]), np.nan)
    rows = np.vstack([values, everything_missing])
    scores = _load(model_text).predict(rows, num_threads=1)
    return tuple(
        GoldenRow(values=tuple(None if np.isnan(v) else float(v) for v in row), score=float(score))
        for row, score in zip(rows, scores, strict=True)
    )


def _load(model_text: bytes) -> Any:
    import lightgbm

    return lightgbm.Booster(model_str=model_text.decode())
