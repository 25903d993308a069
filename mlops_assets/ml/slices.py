"""The rows divided by what is known of them, and how a model does on each part.

Here: from declared slices to positions of rows, the measures of each part, and its difference from another model's
losses. Belongs here: anything about a part of the held-out rows. Does not: which divisions matter (``use_cases``),
whether a part is bad enough to refuse a model (``ml.gates``).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mlops_assets.contracts import Slice
from mlops_assets.ml.day_blocks import Difference, paired_difference
from mlops_assets.ml.metrics import auc, log_losses

SMALLEST_SLICE = 100
"""Rows below which a slice says nothing: its AUC would have a standard error above 0.05."""


def divide(frame: pd.DataFrame, slices: Sequence[Slice]) -> dict[str, np.ndarray]:
    """``name=value`` -> positions of its rows in the frame, for every part with enough rows.

    >>> hours = Slice(name="hour", column="minute", width=60)
    >>> {name: len(rows) for name, rows in divide(pd.DataFrame({"minute": [600] * 120}), [hours]).items()}
    {'hour=10': 120}
    """
    parts: dict[str, np.ndarray] = {}
    for division in slices:
        values = _values(frame[division.column], division)
        for value, positions in sorted(values.groupby(values).indices.items(), key=lambda item: _order(item[0])):
            if len(positions) >= SMALLEST_SLICE:
                parts[f"{division.name}={value}"] = positions
    return parts


def _values(column: pd.Series, division: Slice) -> pd.Series:
    plain = column.reset_index(drop=True)
    if division.at_least is not None:
        return (plain >= division.at_least).map({True: "yes", False: "no"}).where(plain.notna())
    if division.width is not None:
        return (plain // division.width).astype("Int64")
    return plain


def _order(value: object) -> tuple[bool, float, str]:
    return (isinstance(value, str), 0.0 if isinstance(value, str) else float(value), str(value))  # type: ignore[arg-type]


def measures(parts: Mapping[str, np.ndarray], scores: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """``name=value`` -> rows, auc (not where all labels are alike), log_loss, late_rate, mean_score."""
    return {name: _measures(scores[rows], labels[rows]) for name, rows in parts.items()}


def _measures(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    # Where all labels are alike there is no AUC, and JSON has no NaN.
    ranking = {"auc": auc(scores, labels)} if 0 < labels.mean() < 1 else {}
    return {
        "rows": float(len(labels)),
        **ranking,
        "log_loss": float(log_losses(scores, labels).mean()),
        "late_rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
    }


def differences(
    parts: Mapping[str, np.ndarray], days: np.ndarray, losses: np.ndarray, other_losses: np.ndarray, keep: np.ndarray
) -> dict[str, Difference]:
    """``name=value`` -> the mean loss less the other model's, by day blocks, over the rows that ``keep`` says."""
    found: dict[str, Difference] = {}
    for name, rows in parts.items():
        chosen = rows[keep[rows]]
        found[name] = paired_difference(days[chosen], losses[chosen], other_losses[chosen])
    return found
