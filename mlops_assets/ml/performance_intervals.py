"""How sure the outcomes of a week are, and of whom they tell: intervals by day blocks, and the same by slice.

Here: the week's measures with their intervals, the table of slices. Belongs here: what stands beside the verdict on
performance. Does not: the verdict and its limits (``ml.performance``), which slices matter (``use_cases``), the
mathematics of intervals (``ml.day_blocks``).

Frames are those of ``ml.performance``: the ``score`` that was answered, the label, ``day``, a column per feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.contracts import Slice
from mlops_assets.ml.day_blocks import Difference, jackknife, paired_difference
from mlops_assets.ml.metrics import auc, brier_scores, log_losses
from mlops_assets.ml.references import SCORE, DriftReference
from mlops_assets.ml.slices import divide

MEASURES = ("log_loss", "brier", "auc", "gap")
"""``gap`` is the mean score minus the rate."""


@dataclass(frozen=True, kw_only=True)
class SliceOutcome:
    """One part of a week's outcomes."""

    rows: int
    rate: float
    mean_score: float
    log_loss: float
    regret: Difference
    """Log-loss minus that of the simple model on the same rows, by day blocks."""


def week_intervals(window: pd.DataFrame, *, label: str, day: str = "day") -> dict[str, float]:
    """Measure of the week -> its value, and ``low`` and ``high`` of its 95 % interval by days.

    Fewer than two days have no interval: infinite ends, which a judgement keeps as missing.
    """
    labels, scores = window[label].to_numpy(np.float64), window[SCORE].to_numpy(np.float64)
    losses, squares = log_losses(scores, labels), brier_scores(scores, labels)

    def measured(rows: np.ndarray) -> np.ndarray:
        some, said = labels[rows], scores[rows]
        return np.array([losses[rows].mean(), squares[rows].mean(), auc(said, some), said.mean() - some.mean()])

    low, high = jackknife(window[day].to_numpy(), measured)
    found: dict[str, float] = {}
    ends = zip(MEASURES, measured(np.arange(len(labels))), low, high, strict=True)
    for name, value, least, most in ends:
        found |= {f"week_{name}": value, f"week_{name}_low": least, f"week_{name}_high": most}
    return found


def by_slice(
    window: pd.DataFrame, reference: DriftReference, slices: Sequence[Slice], *, label: str, day: str = "day"
) -> dict[str, SliceOutcome]:
    """``carrier=UA`` -> its outcomes of the week, for every part with enough rows, in the order of the slices."""
    labels, scores, days = (window[name].to_numpy() for name in (label, SCORE, day))
    labels = labels.astype(np.float64)
    losses, base = log_losses(scores, labels), log_losses(reference.base_scores(window), labels)
    found = {}
    for name, rows in divide(window, slices).items():
        found[name] = SliceOutcome(
            rows=len(rows),
            rate=float(labels[rows].mean()),
            mean_score=float(scores[rows].mean()),
            log_loss=float(losses[rows].mean()),
            regret=paired_difference(days[rows], losses[rows], base[rows]),
        )
    return found


def slice_numbers(found: Mapping[str, SliceOutcome]) -> dict[str, float]:
    """The log-loss of every slice, to be plotted."""
    return {f"log_loss {name}": outcome.log_loss for name, outcome in found.items()}


def slice_table(found: Mapping[str, SliceOutcome]) -> str:
    """Markdown, the part that loses most to the simple model first."""
    lines = [
        "| slice | rows | late rate | mean score | log-loss | against the simple model | 95 % interval by days |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, told in sorted(found.items(), key=lambda part: -part[1].regret.mean):
        low, high = told.regret.low, told.regret.high
        interval = f"{low:+.3f} to {high:+.3f}" if np.isfinite(low) else "one day has none"
        cells = (f"{told.rate:.3f}", f"{told.mean_score:.3f}", f"{told.log_loss:.3f}", f"{told.regret.mean:+.3f}")
        lines.append(f"| {name} | {told.rows} | {' | '.join(cells)} | {interval} |")
    return "\n".join(lines)
