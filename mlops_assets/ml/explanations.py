"""Which features move a model's answers, and by how much: exact contributions of every family.

Of trees they are TreeSHAP values, which LightGBM computes itself (``pred_contrib``: Lundberg, Erion, Lee 2018,
Consistent individualized feature attribution for tree ensembles); of a linear model coefficient times value in the
transformed space, where every training mean is 0 (its SHAP values for independent features). A row's contributions and
the expected value add up to its margin: the log-odds before any calibrator.

Here: contributions of rows, and their summary per feature. Belongs here: anything that explains a score. Does not:
pictures (``ml.plots``), the shap package (the values are the same).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.ml.models import Scorer

SAMPLE_ROWS = 2000
"""Rows explained for the summary: mean contributions of the features then vary by less than 2 % between samples."""


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """A model's global explanation."""

    mean_contribution: Mapping[str, float]
    """Feature -> mean |contribution| in log-odds, largest first."""
    expected_value: float
    """Log-odds of the model's average answer."""
    rows: int


def explain(scorer: Scorer, frame: pd.DataFrame, rows: int = SAMPLE_ROWS) -> Explanations:
    """Mean absolute contribution of every feature over up to ``rows`` rows, spread evenly over the frame.

    Raises ValueError when the frame is empty.
    """
    if frame.empty:
        raise ValueError("nothing to explain: the frame has no rows")
    spread = np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame))).astype(int))
    values = scorer.contributions(frame.iloc[spread])
    sizes = np.abs(values[:, :-1]).mean(axis=0)
    names = [feature.name for feature in scorer.signature.features]
    order = np.argsort(-sizes, kind="stable")
    return Explanations(
        mean_contribution={names[i]: float(sizes[i]) for i in order},
        expected_value=float(values[0, -1]),
        rows=len(spread),
    )


def contributions(scorer: Scorer, frame: pd.DataFrame) -> pd.DataFrame:
    """The contribution of every feature to every row in log-odds; column ``expected_value`` completes the sum."""
    names = [*(feature.name for feature in scorer.signature.features), "expected_value"]
    return pd.DataFrame(scorer.contributions(frame), index=frame.index).set_axis(names, axis=1)
