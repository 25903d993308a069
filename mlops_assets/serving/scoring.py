"""The answering arms' scores of the same rows, and the record that says who answered what.

Here: scoring one batch of one model. Belongs here: what happens when an arm cannot score. Does not: requests
(``serving.data_plane``), features (``serving.features``), the shadow's scores (``serving.shadow``).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mlops_assets.adapters.online_reader import OnlineReader
from mlops_assets.adapters.traffic_log import ArmScore, TrafficRecord
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.serving.arms import ORDER, Holding, ModelState
from mlops_assets.serving.features import Assembled, BatchFeatures, Transformation
from mlops_assets.serving.given import GivenFeatures
from mlops_assets.serving.metrics import Labels, Metrics
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.validation import DecisionRow

ANSWERING = (Arm.CHAMPION, Arm.CANARY)
Features = BatchFeatures | GivenFeatures
FALLBACK = "fallback"
"""The arm in the answer when no champion could give it."""


@dataclass(frozen=True)
class BatchScores:
    """What the arms said of one batch of one model."""

    scores: Mapping[Arm, list[float]]
    assembled: Mapping[Arm, Assembled]
    vectors: Mapping[Arm, list[bytes]]
    errors: Mapping[Arm, str] = field(default_factory=dict)
    store_error: str | None = None
    features: Mapping[str, Sequence[ModelFeature]] = field(default_factory=dict)
    batch: Features | None = None
    """What the arms were fed with, for those that are still to score it."""
    took_ms: Mapping[Arm, float] = field(default_factory=dict)
    """How long each arm took for the batch, its features included where no arm before it had them made."""

    def answers(self, arm: Arm, i: int) -> bool:
        """True when the arm has a score of row ``i`` that may be used."""
        return arm in self.scores and i not in self.assembled[arm].barred

    def barred(self, arm: Arm, i: int) -> str | None:
        """Why the arm's score of row ``i`` must not be used, if so."""
        return self.assembled[arm].barred.get(i) if arm in self.assembled else None


def score_rows(
    state: ModelState,
    rows: Sequence[DecisionRow],
    online: OnlineReader,
    transformations: Mapping[str, Transformation],
    metrics: Metrics,
) -> BatchScores:
    """Let the arms that answer score the rows, whose features were all sent or are all to be fetched.

    An arm that fails is left out and counted: the others are not held up by it. A shadow alone holds up nobody: it
    scores here, so that the record has features.
    """
    batch = GivenFeatures(rows) if rows[0].given else BatchFeatures(rows, online, transformations)
    scores: dict[Arm, list[float]] = {}
    assembled: dict[Arm, Assembled] = {}
    errors: dict[Arm, str] = {}
    took_ms: dict[Arm, float] = {}
    for arm in on_path(state):
        holding, began = state.arms[arm], time.perf_counter()
        try:
            inputs = batch.assemble(holding.bundle.signature, holding.bundle.recipe)
            scores[arm] = scores_of(holding, inputs.matrix)
        except Exception as error:
            metrics.count("mlops_arm_errors_total", model=state.facts.name, arm=arm)
            errors[arm] = f"{type(error).__name__}: {error}"
            continue
        assembled[arm], took_ms[arm] = inputs, round((time.perf_counter() - began) * 1000, 3)
        metrics.count("mlops_scores_total", len(rows), model=state.facts.name, arm=arm, version=holding.version)
    _count_views(state, assembled, batch.store_error, metrics)
    features = {state.arms[arm].bundle.digest: state.arms[arm].bundle.signature.features for arm in assembled}
    return BatchScores(scores, assembled, _vectors(assembled), errors, batch.store_error, features, batch, took_ms)


def on_path(state: ModelState) -> list[Arm]:
    """The arms that score before the answer goes."""
    return [arm for arm in ANSWERING if arm in state.arms] or [arm for arm in ORDER if arm in state.arms]


def scores_of(holding: Holding, matrix: np.ndarray) -> list[float]:
    """What a version says of these rows. Raises whatever its engine raises, and ArithmeticError."""
    scores = holding.bundle.engine.predict(matrix)
    if not np.isfinite(scores).all():
        raise ArithmeticError("a score is not a finite number")
    return scores.tolist()


def _vectors(assembled: Mapping[Arm, Assembled]) -> dict[Arm, list[bytes]]:
    """Every row's vector as little-endian float64; arms that share a matrix share its bytes."""
    made: dict[int, list[bytes]] = {}
    for inputs in assembled.values():
        if id(inputs) not in made:
            made[id(inputs)] = [row.tobytes() for row in inputs.matrix.astype("<f8", copy=False)]
    return {arm: made[id(inputs)] for arm, inputs in assembled.items()}


def _count_views(
    state: ModelState, assembled: Mapping[Arm, Assembled], store_error: str | None, metrics: Metrics
) -> None:
    if store_error is not None:
        metrics.count("mlops_online_store_errors_total")
    model = state.facts.name
    for arm, inputs in assembled.items():
        if inputs.barred:
            metrics.count("mlops_barred_rows_total", len(inputs.barred), model=model, arm=arm)
    inputs = next(iter(assembled.values()), None)
    ages: dict[Labels, float] = {}
    for name, view in inputs.views.items() if inputs else ():
        for (features, reason), rows in view.gaps.items():
            metrics.count_each("mlops_missing_features_total", gap_labels(model, name, features, reason), rows)
        if view.age_s is not None:
            ages[view_labels(model, name)] = view.age_s
        if view.future:
            metrics.count("mlops_future_features_total", view.future, model=model, view=name)
    metrics.set("mlops_feature_age_seconds", ages)


@lru_cache(maxsize=4096)
def gap_labels(model: str, view: str, features: tuple[str, ...], reason: str) -> tuple[Labels, ...]:
    """The series of missing features; kept, for most rows miss something, and mostly the same."""
    return tuple((("model", model), ("view", view), ("feature", name), ("reason", reason)) for name in features)


@lru_cache(maxsize=256)
def view_labels(model: str, view: str) -> Labels:
    """The series of a view."""
    return (("model", model), ("view", view))


def record_of(
    state: ModelState, said: BatchScores, i: int, row: DecisionRow, latency_ms: float, received_at: str
) -> TrafficRecord:
    """The record of row ``i`` of a batch: the answer, who gave it, and what everybody else said.

    Without a champion the declared fallback answers; a canary that failed leaves its share to the champion. An arm
    whose features are missing and must not be has no score for the row, and nobody answers for a champion without one.
    Raises Refusal when there is nobody.
    """
    wanted = state.answering(row.entity_id)
    arm = wanted if said.answers(wanted, i) else Arm.CHAMPION
    if barred := said.barred(arm, i):
        # Not the caller's fault, and it may be over soon: 503.
        raise Refusal(503, "rows", f"{row.entity_id}: {barred}; try again later")
    answers = arm in said.scores
    if not answers and state.facts.fallback_score is None:
        raise Refusal(503, "model", f"no version of {state.facts.name} can answer: see /ready, try again later")
    seen_by = arm if answers else next(iter(said.scores), None)
    holding = state.arms[arm] if answers else None
    return TrafficRecord(
        request_id=row.request_id,
        event_time=row.event_time,
        day=row.day,
        model=state.facts.name,
        entity_id=row.entity_id,
        arm=str(arm) if answers else FALLBACK,
        version=holding.version if holding else None,
        digest=holding.bundle.digest if holding else None,
        score=said.scores[arm][i] if answers else float(state.facts.fallback_score or 0.0),
        scores=tuple(
            said_by(o, state.arms[o], scores[i], said.took_ms[o])
            for o, scores in said.scores.items()
            if said.answers(o, i)
        ),
        request=row.fields,
        features=said.vectors[seen_by][i] if seen_by else b"",
        features_digest=state.arms[seen_by].bundle.digest if seen_by else None,
        feature_times=said.assembled[seen_by].times(i) if seen_by else {},
        missing=said.assembled[seen_by].missing(i) if seen_by else 0,
        latency_ms=round(latency_ms, 3),
        received_at=received_at,
    )


def said_by(arm: Arm, holding: Holding, score: float, took_ms: float | None = None) -> ArmScore:
    """An arm's score as it is logged."""
    return ArmScore(str(arm), holding.version, holding.bundle.digest, score, took_ms)
