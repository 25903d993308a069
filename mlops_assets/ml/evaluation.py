"""What a candidate showed on days it was not fitted on, and whether that is good enough to release it.

The held-out days are the last ``validation_days`` of the training window. The numbers refer to a fit of the same recipe
that never saw those days (they chose its number of trees and nothing else); the released bytes, fitted on all rows,
are asked the same rows and must agree. Labels are the true ones, whatever a drill did to the training set.

Here: metrics, slices, the paired comparison with the champion, the gates. Belongs here: a judgement that is possible
before release. Does not: what happens in traffic (``ml.releases``, ``ml.performance``).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlops_assets.contracts import Evaluation, Gate, Gates
from mlops_assets.ml.day_blocks import Difference, paired_difference
from mlops_assets.ml.metrics import auc, log_losses, summary

SMALLEST_SLICE = 100
"""Rows below which a slice says nothing: its AUC would have a standard error above 0.05."""
_AGREEMENT = 0.002
"""Log-loss by which the released fit may be worse on rows it has seen: rounding, not another model."""
_FEWEST_DAYS = 3
"""Days below which the day-block interval is too wide to refuse anybody honestly."""


def evaluate(
    held_out: pd.DataFrame,
    scores: np.ndarray,
    released_scores: np.ndarray,
    *,
    label: str,
    gates: Gates,
    model_digest: str,
    training_rate: float,
    champion_version: int | None = None,
    champion_scores: np.ndarray | None = None,
    champion_cutoff_day: str | None = None,
    slice_columns: Sequence[str] = (),
    day: str = "day",
) -> Evaluation:
    """Measure a candidate on ``held_out`` and pass it through the gates.

    ``scores`` (first fit), ``released_scores`` (the bytes to release) and ``champion_scores`` are in the frame's order;
    ``training_rate`` is the true rate among the fitted rows. Days that the champion has seen are not compared.
    """
    labels, days = held_out[label].to_numpy(np.float64), held_out[day].to_numpy()
    metrics = summary(scores, labels, training_rate)
    against = _against(days, scores, champion_scores, labels, champion_cutoff_day)
    return Evaluation(
        model_digest=model_digest,
        first_day=str(held_out[day].min()),
        last_day=str(held_out[day].max()),
        rows=len(held_out),
        metrics=metrics,
        champion_version=champion_version,
        champion_metrics={} if champion_scores is None else summary(champion_scores, labels, training_rate),
        slices=slices(held_out, scores, labels, slice_columns),
        gates=(
            _better_than_chance(metrics, gates),
            _better_than_constant(metrics, gates),
            _calibrated(metrics, gates),
            _released_agrees(scores, released_scores, labels),
            _beats_champion(against, gates),
        ),
    )


def slices(
    frame: pd.DataFrame, scores: np.ndarray, labels: np.ndarray, columns: Sequence[str]
) -> dict[str, dict[str, float]]:
    """``column=value`` -> rows, auc, log_loss, late_rate, mean_score, for every value with enough rows."""
    found: dict[str, dict[str, float]] = {}
    for column in columns:
        for value, positions in sorted(frame.groupby(column, observed=True).indices.items(), key=str):
            if len(positions) >= SMALLEST_SLICE:
                found[f"{column}={value}"] = _slice(scores[positions], labels[positions])
    return found


def _slice(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {
        "rows": float(len(labels)),
        "auc": auc(scores, labels),
        "log_loss": float(log_losses(scores, labels).mean()),
        "late_rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
    }


def _against(
    days: np.ndarray, scores: np.ndarray, champion_scores: np.ndarray | None, labels: np.ndarray, cutoff: str | None
) -> Difference | None:
    if champion_scores is None:
        return None
    unseen = days > (cutoff or "")
    return paired_difference(
        days[unseen], log_losses(scores, labels)[unseen], log_losses(champion_scores, labels)[unseen]
    )


def _better_than_chance(metrics: Mapping[str, float], gates: Gates) -> Gate:
    value = metrics["auc"]
    return Gate(
        name="ranks_better_than_the_minimum",
        passed=value >= gates.min_auc,
        reason=f"AUC {value:.3f} on held-out days; at least {gates.min_auc:.3f} is asked for",
        numbers={"auc": value, "least": gates.min_auc},
    )


def _better_than_constant(metrics: Mapping[str, float], gates: Gates) -> Gate:
    ratio = metrics["log_loss"] / metrics["constant_log_loss"]
    return Gate(
        name="beats_the_constant_rate",
        passed=ratio <= gates.max_log_loss_ratio,
        reason=(
            f"log-loss {metrics['log_loss']:.4f} is {ratio:.3f} times that of the constant training rate "
            f"({metrics['constant_log_loss']:.4f}); at most {gates.max_log_loss_ratio:.3f} is asked for"
        ),
        numbers={"ratio": ratio, "most": gates.max_log_loss_ratio},
    )


def _calibrated(metrics: Mapping[str, float], gates: Gates) -> Gate:
    error = metrics["calibration_error"]
    return Gate(
        name="probabilities_are_calibrated",
        passed=error <= gates.max_calibration_error,
        reason=(
            f"scores and late rates differ by {error:.3f} on average over ten bins (mean score "
            f"{metrics['mean_score']:.3f}, late rate {metrics['late_rate']:.3f}); "
            f"at most {gates.max_calibration_error:.3f} is asked for"
        ),
        numbers={"calibration_error": error, "most": gates.max_calibration_error},
    )


def _released_agrees(scores: np.ndarray, released_scores: np.ndarray, labels: np.ndarray) -> Gate:
    """The released bytes were fitted on these rows, so they must do at least as well as the fit that was not."""
    excess = float((log_losses(released_scores, labels) - log_losses(scores, labels)).mean())
    return Gate(
        name="released_bytes_agree",
        passed=excess <= _AGREEMENT,
        reason=f"the bytes to release have log-loss {excess:+.4f} against the evaluated fit on the same rows",
        numbers={"difference": excess, "most": _AGREEMENT},
    )


def _beats_champion(difference: Difference | None, gates: Gates) -> Gate:
    """A winner passes whatever its interval: two stormy weeks once gave -0.018 with an upper end above the margin."""
    name = "no_worse_than_the_champion"
    if difference is None:
        return Gate(name=name, passed=True, reason="there is no champion to compare with")
    if difference.days < _FEWEST_DAYS:
        reason = f"only {difference.days} held-out days that the champion has not seen: the shadow will tell"
        return Gate(name=name, passed=True, reason=reason, numbers={"days": float(difference.days)})
    return Gate(
        name=name,
        passed=difference.mean <= 0 or difference.high <= gates.champion_margin,
        reason=(
            f"log-loss {difference.mean:+.4f} against the champion on the same {difference.rows} rows "
            f"(95 % interval by {difference.days} days: {difference.low:+.4f} to {difference.high:+.4f}); "
            f"who does not win needs an upper end of at most {gates.champion_margin:+.4f}"
        ),
        numbers={
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "margin": gates.champion_margin,
        },
    )
