"""How good a set of probabilities was, row by row and in one number.

Here: proper scoring rules, ranking and calibration of a binary forecast. Belongs here: a measure that needs only
scores and labels. Does not: comparing two models (``ml.day_blocks``), deciding what is good enough
(``ml.evaluation``, ``ml.performance``).

Scores are probabilities of the positive label, labels are 0 or 1, both of shape (rows,), float64.
"""

import numpy as np

_CLIP = 1e-6
"""A forecast of exactly 0 or 1 that is wrong would cost infinitely much; this caps it at 13.8."""


def log_losses(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-loss of every row, shape (rows,)."""
    sure = np.clip(scores, _CLIP, 1 - _CLIP)
    return -np.where(labels > 0.5, np.log(sure), np.log1p(-sure))


def brier_scores(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared error of every row, shape (rows,). Bounded by 0 and 1, which the sequential tests need."""
    return np.square(scores - labels)


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney, ties count half); NaN when one of the labels is absent."""
    positives = float((labels > 0.5).sum())
    negatives = float(len(labels) - positives)
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mid_ranks[inverse][labels > 0.5].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def calibration_error(scores: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size.

    Mean over the bins of |mean score - rate of the label|, weighted by rows
    (Naeini, Cooper, Hauskrecht 2015, with bins of equal mass instead of equal width).
    """
    _, mean_scores, rates, rows = calibration_curve(scores, labels, bins)
    return float(np.abs(mean_scores - rates) @ rows / rows.sum())


def calibration_curve(
    scores: np.ndarray, labels: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bin number, mean score, rate of the label and rows of every bin of (nearly) equal size."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return (
        np.arange(len(parts)),
        np.array([scores[part].mean() for part in parts]),
        np.array([labels[part].mean() for part in parts]),
        np.array([float(len(part)) for part in parts]),
    )


def calibration_slope(scores: np.ndarray, labels: np.ndarray) -> float:
    """How far the log-odds of the label follow those of the score, within these rows: 1 as a model promises, 0 when it
    knows nothing of them, whatever the rate of the label is.

    Logistic regression of the label on the score's log-odds with a free intercept (Cox 1958; Steyerberg 2019, section
    15.3), with a prior of one observation that the slope is 1. Six Newton steps.
    """
    sure = np.clip(scores, 1e-4, 1 - 1e-4)
    design = np.column_stack([np.ones(len(sure)), np.log(sure / (1 - sure))])
    weights, prior = np.array([0.0, 1.0]), np.diag([1e-6, 1.0])
    for _ in range(6):
        expected = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (labels - expected) - prior @ (weights - np.array([0.0, 1.0]))
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + prior
        weights = weights + np.linalg.solve(curvature, gradient)
    return float(weights[1])


def summary(scores: np.ndarray, labels: np.ndarray, constant: float) -> dict[str, float]:
    """The measures of an evaluation: auc, log_loss, brier, calibration_error, late_rate, constant_log_loss.

    ``constant`` is the rate that somebody who knows nothing about a row would answer: the training set's.
    """
    return {
        "auc": auc(scores, labels),
        "log_loss": float(log_losses(scores, labels).mean()),
        "brier": float(brier_scores(scores, labels).mean()),
        "calibration_error": calibration_error(scores, labels),
        "late_rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
        "constant_log_loss": float(log_losses(np.full(len(labels), constant), labels).mean()),
    }
