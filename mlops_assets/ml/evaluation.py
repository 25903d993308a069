"""What a candidate showed on days it was not fitted on, beside the champion, and every gate's answer.

The held-out days are the last ``validation_days`` of the training window. The numbers refer to a fit of the same recipe
that never saw those days (they chose its number of trees and nothing else); the released bytes, fitted on all rows,
are asked the same rows and must agree. Labels are the true ones, whatever a drill did to the training set.

Here: metrics with their intervals, slices, the paired comparison with the champion. Belongs here: a measurement that
is possible before release. Does not: what is good enough (``ml.gates``), what happens in traffic (``ml.releases``,
``ml.performance``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mlops_assets.contracts import Evaluation, Gates, ServerAnswers, Slice
from mlops_assets.ml.day_blocks import Difference, jackknife, paired_difference
from mlops_assets.ml.gates import (
    beats_champion,
    better_than_chance,
    better_than_constant,
    calibrated,
    no_slice_worse,
    released_agrees,
    server_gates,
)
from mlops_assets.ml.metrics import log_losses, summary
from mlops_assets.ml.slices import differences, divide, measures

WITH_INTERVAL = ("auc", "log_loss", "brier", "calibration_error", "late_rate")


def evaluate(
    held_out: pd.DataFrame,
    scores: np.ndarray,
    released_scores: np.ndarray | None,
    *,
    label: str,
    gates: Gates,
    model_digest: str,
    training_rate: float,
    champion_version: int | None = None,
    champion_scores: np.ndarray | None = None,
    champion_cutoff_day: str | None = None,
    slices: Sequence[Slice] = (),
    day: str = "day",
) -> Evaluation:
    """Measure a candidate on ``held_out`` and pass it through the gates that need no server.

    ``scores`` (first fit), ``released_scores`` (the bytes to release; None when they are not those of the manifest and
    were not loaded) and ``champion_scores`` are in the frame's order; ``training_rate`` is the true rate among the
    fitted rows. Days that the champion has seen are not compared: there its scores are of rows it was trained on.
    """
    labels, days = held_out[label].to_numpy(np.float64), held_out[day].to_numpy()
    metrics, losses = summary(scores, labels, training_rate), log_losses(scores, labels)
    unseen = days > (champion_cutoff_day or "")
    beside_champion = unseen & (champion_scores is not None)
    constant = np.full(len(labels), training_rate)
    other = log_losses(constant if champion_scores is None else champion_scores, labels)
    parts = divide(held_out, slices)
    beside = differences(parts, days, losses, other, unseen)
    against = None if champion_scores is None else paired_difference(days[unseen], losses[unseen], other[unseen])
    return Evaluation(
        model_digest=model_digest,
        first_day=str(held_out[day].min()),
        last_day=str(held_out[day].max()),
        rows=len(held_out),
        metrics=metrics,
        champion_version=champion_version,
        champion_metrics=_summary_of(champion_scores, labels, training_rate, beside_champion),
        compared_metrics=_summary_of(scores, labels, training_rate, beside_champion),
        compared_rows=int(beside_champion.sum()),
        compared_days=len(np.unique(days[beside_champion])),
        slices=_told(measures(parts, scores, labels), beside),
        gates=(
            better_than_chance(metrics, gates),
            better_than_constant(metrics, gates),
            calibrated(metrics, gates),
            released_agrees(losses, None if released_scores is None else log_losses(released_scores, labels)),
            beats_champion(against, gates),
            no_slice_worse(beside, gates, _name(champion_version)),
        ),
        intervals=intervals(days, scores, labels),
    )


def with_server(
    evaluation: Evaluation, answers: ServerAnswers, offline: Sequence[float], gates: Gates, *, enforced: bool = True
) -> Evaluation:
    """The evaluation with the gates that the real server answered; ``enforced`` False makes it a dry run.

    ``offline`` are the scores of the rows that the server was asked, computed outside of it.
    """
    asked = server_gates(answers, offline, evaluation.model_digest, gates)
    return replace(evaluation, gates=(*evaluation.gates, *asked), enforced=enforced)


def intervals(days: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> dict[str, tuple[float, float]]:
    """Metric -> 95 % interval by days, cut at 0, below which no metric goes; none for fewer than two days."""

    def measured(rows: np.ndarray) -> np.ndarray:
        found = summary(scores[rows], labels[rows], 0.5)
        return np.array([found[name] for name in WITH_INTERVAL])

    low, high = jackknife(days, measured)
    ends = zip(WITH_INTERVAL, low, high, strict=True)
    return {name: (max(float(a), 0.0), float(b)) for name, a, b in ends if np.isfinite(a) and np.isfinite(b)}


def _summary_of(scores: np.ndarray | None, labels: np.ndarray, constant: float, rows: np.ndarray) -> dict[str, float]:
    if scores is None or not rows.any():
        return {}
    found = summary(scores[rows], labels[rows], constant)
    # One day can have one label alone: it has no AUC, and JSON has no NaN.
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _name(champion_version: int | None) -> str:
    return "the constant rate" if champion_version is None else f"the champion, version {champion_version},"


def _told(found: Mapping[str, Mapping[str, float]], beside: Mapping[str, Difference]) -> dict[str, dict[str, float]]:
    """The measures of every slice; the difference too where it has an interval."""
    told = {name: dict(values) for name, values in found.items()}
    for name, difference in beside.items():
        if difference.days > 1:
            told[name] |= {
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "days": float(difference.days),
                "compared_rows": float(difference.rows),
            }
    return told
