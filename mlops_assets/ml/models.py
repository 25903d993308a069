"""How a model is trained, whatever its family: the same bytes from the same rows on any machine.

Here: the split in time, the two fits, the bundle they become, the score of a bundle, and the one fault that drills
inject into a training set. Belongs here: what is the same for every family. Does not: a family (``ml.families``),
which rows are in the training set (``ml.training``), what a good model is (``ml.evaluation``).

Two fits: the first leaves the last days out, sees on them how far to go and gives the scores that are evaluated; the
second, the released one, repeats it on all rows. Holding two weeks back from the released model would cost 0.0004 to
0.0117 in the next month's log-loss (mean 0.0049; six cut-offs of 2013), a third of what a year of retraining gains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import (
    IDENTITY,
    SIGNATURE_FILE,
    Calibrator,
    EngineName,
    GoldenRow,
    ModelFeature,
    RequestField,
    Signature,
    ViewInput,
    decode_signature,
    encode_signature,
)
from mlops_assets.ml.calibration import apply, fit_calibrator
from mlops_assets.ml.engines import Engine
from mlops_assets.ml.families import family_of, load_engine
from mlops_assets.ml.matrices import matrix, rows_of, with_levels
from mlops_assets.ml.time_splits import WindowTooShort, rolling_origins, split

__all__ = [
    "BrokenBundle",
    "Scorer",
    "TrainedModel",
    "WindowTooShort",
    "invert_labels",
    "make_bundle",
    "matrix",
    "split",
    "train",
    "with_levels",
]

GOLDEN_ROWS = 10
CALIBRATION_FOLDS = 4
"""Rolling origins, each of as many days as are held out, whose scores a calibrator is fitted on besides the held-out
ones. With a method other than the identity a training costs that many fits more."""


class BrokenBundle(ValueError):
    """The bytes load but do not give the scores they gave at training time."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves behind: the bytes, and what it takes to use and to describe them."""

    content: bytes
    """The released model, fitted on all rows: the model's file, free of the machine's thread count."""
    engine: EngineName
    """What computes it."""
    features: tuple[ModelFeature, ...]
    """The features in matrix order, categories with the levels seen in training."""
    trees: int
    """The number that did best on the held-out days; 0 for a family without trees."""
    calibrator: Calibrator
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
    """Columns entity id, day, ``score``: scores of the held-out rows by the first fit, which never saw them, through a
    calibrator that never saw them either."""
    validation_log_loss: tuple[float, ...]
    """Log-loss on the held-out days after each step of the first fit, before the calibrator."""


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
    """See on the last days how far to go, then fit all rows that far.

    ``frame`` has one row per decision: the unique ``entity_id``, the 0/1 ``label``, ISO dates in ``day`` and a column
    per feature. Rows are put into the order of (day, entity_id) first, so the order of the frame does not matter,
    and neither does ``threads`` (0: all cores).
    Raises WindowTooShort, UnknownFamily, and MissingColumn when a feature is absent.
    """
    ordered = frame.take(_sorted(frame, day, entity_id))
    fitted, held_out = split(ordered, training.validation_days, day)
    family = family_of(training.family)
    first_features, features = with_levels(features, fitted), with_levels(features, ordered)
    rows = rows_of(ordered, features, label)
    if first_features == features:
        # The held-out days are the last ones.
        known, unseen = rows.parted(len(fitted))
    else:
        known, unseen = (rows_of(part, first_features, label) for part in (fitted, held_out))
    first = family.choose(known, unseen, first_features, training, threads)
    earlier = scored_unseen(fitted, training, features, label=label, day=day, threads=threads)
    now = Unseen(first.scores, unseen.labels, str(held_out[day].min()))
    calibrator = _calibrate(training, [*earlier, now])
    content = family.fit(rows, features, training, first.trees, threads)
    engine = load_engine(family.engine, content, len(features), calibrator)
    return TrainedModel(
        content=content,
        engine=family.engine,
        features=features,
        trees=first.trees,
        calibrator=calibrator,
        params={**family.recorded(training), "family": family.name, "calibration": training.calibration},
        golden=_golden_rows(engine, matrix(_spread(held_out, GOLDEN_ROWS - 1), features)),
        training_rate=float(fitted[label].mean()),
        rows=len(ordered),
        window_first_day=str(fitted[day].min()),
        validation_first_day=str(held_out[day].min()),
        cutoff_day=str(held_out[day].max()),
        held_out=held_out[[entity_id, day]]
        .assign(score=apply(_calibrate(training, earlier), first.scores))
        .reset_index(drop=True),
        validation_log_loss=first.curve,
    )


def _sorted(frame: pd.DataFrame, *names: str) -> np.ndarray:
    """The positions of the rows in the order of those columns; five times faster than pandas' own for text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = pa.table({name: pa.array(frame[name], from_pandas=True) for name in names})
    return pc.sort_indices(keys, [(name, "ascending") for name in names]).to_numpy()


@dataclass(frozen=True)
class Unseen:
    """Scores of rows by a fit that had seen only earlier days."""

    scores: np.ndarray
    labels: np.ndarray
    first_day: str


def scored_unseen(
    frame: pd.DataFrame,
    training: Training,
    features: Sequence[ModelFeature],
    *,
    label: str,
    day: str = "day",
    threads: int = 0,
) -> list[Unseen]:
    """Out-of-time scores of the frame's last blocks of ``validation_days`` days, oldest first: for a calibrator.

    One fit for each of up to CALIBRATION_FOLDS blocks; none, and no scores, when the calibration is the identity.
    """
    if training.calibration == "identity":
        return []
    family, scored = family_of(training.family), []
    for before, after in rolling_origins(frame, CALIBRATION_FOLDS, training.validation_days, day):
        known = with_levels(features, before)
        unseen = rows_of(after, known, label)
        choice = family.choose(rows_of(before, known, label), unseen, known, training, threads)
        scored.append(Unseen(choice.scores, unseen.labels, str(after[day].min())))
    return scored


def _calibrate(training: Training, unseen: Sequence[Unseen]) -> Calibrator:
    if not unseen:
        return IDENTITY
    scores = np.concatenate([part.scores for part in unseen])
    labels = np.concatenate([part.labels for part in unseen])
    return fit_calibrator(training.calibration, scores, labels, unseen[0].first_day)


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
        engine=trained.engine,
        calibrator=trained.calibrator,
    )
    return {signature.model_file: trained.content, SIGNATURE_FILE: encode_signature(signature)}


class Scorer:
    """A loaded bundle: frames in, probabilities out. Its copy of the golden rows has been checked."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Load ``files``; raises BrokenBundle when a golden row does not give its score to the last bit."""
        self.signature = decode_signature(files[SIGNATURE_FILE])
        known = self.signature
        content = files[known.model_file]
        # The loaded model with its calibrator, for whoever has a matrix instead of a frame.
        self.engine = load_engine(known.engine, content, len(known.features), known.calibrator)
        values = [[np.nan if value is None else value for value in row.values] for row in known.golden]
        scores = self.engine.predict(np.array(values, dtype=np.float64))
        if [row.score for row in known.golden] != list(scores):
            raise BrokenBundle("the loaded model does not reproduce its golden rows")

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        """Probability of the label for every row, shape (rows,). Raises MissingColumn."""
        if frame.empty:
            return np.empty(0)
        return self.engine.predict(matrix(frame, self.signature.features))

    def contributions(self, frame: pd.DataFrame) -> np.ndarray:
        """What each feature adds to the log-odds, shape (rows, features + 1); the last column is the expected value.

        Exact: TreeSHAP values of trees, coefficient times centred value of a linear model. A row sums to the engine's
        margin, before the calibrator.
        """
        return self.engine.contributions(matrix(frame, self.signature.features))


def invert_labels(frame: pd.DataFrame, label: str, share: float, seed: int) -> pd.DataFrame:
    """A drill's fault: a copy of the frame in which ``share`` of the labels, chosen by ``seed``, say the opposite.

    Inverting hurts calibration at once; shuffling the same share does not hurt LightGBM and is no test. Without a share
    it is the frame itself: copying a year takes 0.2 s of a training.
    """
    if not share:
        return frame
    chosen = np.random.default_rng(seed).random(len(frame)) < share
    labels = frame[label].to_numpy()
    return frame.assign(**{label: np.where(chosen, 1 - labels, labels)})


def _spread(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, rows).astype(int))]


def _golden_rows(engine: Engine, values: np.ndarray) -> tuple[GoldenRow, ...]:
    everything_missing = np.full((1, values.shape[1]), np.nan)
    rows = np.vstack([values, everything_missing])
    return tuple(
        GoldenRow(values=tuple(None if np.isnan(v) else float(v) for v in row), score=float(score))
        for row, score in zip(rows, engine.predict(rows), strict=True)
    )
