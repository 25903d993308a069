"""From an engine's scores to probabilities: one small monotone map, fitted on scores of days nobody had seen.

Here: applying a calibrator and fitting one. Belongs here: whatever must be bit-equal between training and serving
after the engine. Does not: where the scores come from (``ml.models``), pandas (the server's workers import this).

Which map is right was measured, not assumed: ``make bench-model`` compares them month by month, out of time.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mlops_assets.ml.bundles import IDENTITY, Calibrator

METHODS = ("identity", "platt", "beta", "isotonic")
_EDGE = 1e-12
"""Scores are kept this far from 0 and 1 before a logarithm."""
_FEWEST_IN_A_STEP = 200
"""Rows under each step of the isotonic map: the rate in a step then has a standard error below 0.035."""
_NEWTON_STEPS = 25


class CalibrationImpossible(ValueError):
    """There is nothing to fit the map on."""


def apply(calibrator: Calibrator, scores: np.ndarray) -> np.ndarray:
    """Probabilities of the same shape as ``scores``, float64. The identity gives the very same array back."""
    if calibrator.method == "identity":
        return scores
    if calibrator.method == "isotonic":
        return np.interp(scores, calibrator.knots, calibrator.values)
    return _logistic(_terms(calibrator.method, scores), np.array(calibrator.weights))


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    """Probabilities of log-odds. NumPy's exp gives a number the same result wherever it stands in an array."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-log_odds))


def fit_calibrator(method: str, scores: np.ndarray, labels: np.ndarray, first_day: str | None = None) -> Calibrator:
    """The calibrator of that method which fits the labels (0 or 1) best; both arrays have shape (rows,).

    ``first_day`` is recorded. Raises ValueError for an unknown method, CalibrationImpossible when a label is absent.
    """
    if method == "identity":
        return IDENTITY
    if method not in _FITS:
        raise ValueError(f"no calibration named {method!r}: choose one of {', '.join(METHODS)}")
    if len(np.unique(labels)) < 2:
        raise CalibrationImpossible(f"{len(labels)} rows to calibrate on, of one outcome only: take more days")
    fitted = _FITS[method](np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64))
    return Calibrator(method=fitted.method, weights=fitted.weights, knots=fitted.knots, values=fitted.values,
                      rows=len(labels), first_day=first_day)  # fmt: skip


def _fit_platt(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Platt 1999 on the log-odds, without his smoothing of the labels: here are thousands of rows, not dozens."""
    return Calibrator(method="platt", weights=_newton(_terms("platt", scores), labels))


def _fit_beta(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Kull, Silva Filho, Flach 2017, Beta calibration. A negative slope would turn the order: then Platt's map."""
    weights = _newton(_terms("beta", scores), labels)
    return Calibrator(method="beta", weights=weights) if min(weights[:2]) >= 0 else _fit_platt(scores, labels)


def _fit_isotonic(scores: np.ndarray, labels: np.ndarray) -> Calibrator:
    """Pool adjacent violators over blocks of rows of neighbouring scores, with straight lines between (Zadrozny 2002).

    A step's rate is (positives + 1) / (rows + 2): no probability is 0 or 1.
    """
    order = np.argsort(scores, kind="stable")
    blocks = np.array_split(order, max(len(order) // _FEWEST_IN_A_STEP, 1))
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append([float(scores[block].sum()), float(labels[block].sum()), float(len(block))])
        while len(pooled) > 1 and _rate(pooled[-2]) >= _rate(pooled[-1]):
            last = pooled.pop()
            pooled[-1] = [a + b for a, b in zip(pooled[-1], last, strict=True)]
    return Calibrator(
        method="isotonic",
        knots=tuple(total / rows for total, _, rows in pooled),
        values=tuple(_rate(step) for step in pooled),
    )


_FITS: Mapping[str, Callable[[np.ndarray, np.ndarray], Calibrator]] = {
    "platt": _fit_platt,
    "beta": _fit_beta,
    "isotonic": _fit_isotonic,
}


def _rate(step: list[float]) -> float:
    return (step[1] + 1.0) / (step[2] + 2.0)


def _terms(method: str, scores: np.ndarray) -> np.ndarray:
    """Columns whose weighted sum is the log-odds; the last is a one."""
    sure = np.clip(scores, _EDGE, 1 - _EDGE)
    positive, negative = np.log(sure), -np.log1p(-sure)
    columns = (positive + negative,) if method == "platt" else (positive, negative)
    return np.stack([*columns, np.ones_like(sure)], axis=-1)


def _logistic(terms: np.ndarray, weights: np.ndarray | Sequence[float]) -> np.ndarray:
    # A sum of two or three products in a fixed order: a BLAS product may differ between one row and many.
    odds = np.zeros(terms.shape[:-1])
    for position, weight in enumerate(weights):
        odds = odds + terms[..., position] * weight
    return sigmoid(odds)


def _newton(terms: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Weights of an unpenalised logistic regression by Newton's method (a ridge of 1e-6 rows keeps it solvable)."""
    weights = np.zeros(terms.shape[1])
    ridge = 1e-6 * np.eye(len(weights))
    for _ in range(_NEWTON_STEPS):
        scores = _logistic(terms, weights)
        curvature = (terms * (scores * (1 - scores))[:, None]).T @ terms + ridge
        weights = weights + np.linalg.solve(curvature, terms.T @ (labels - scores))
    return tuple(float(weight) for weight in weights)
