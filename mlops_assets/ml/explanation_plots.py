"""Pictures of explanations, as PNG bytes: importance, beeswarm, dependence.

Here: one function per picture. Belongs here: drawing contributions. Does not: computing them (``ml.explanations``).
Equal attributions give equal pictures: the swarm spreads by rank, not by chance.
"""

from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.ml.explanations import Attributions, Explanations
from mlops_assets.ml.plots import bars, figure_of, png

LEADING = 12
PANELS = (2, 3)
MOST_LEVELS = 8
COLOURS = "coolwarm"


def importance_plot(explanations: Explanations) -> bytes:
    """Mean absolute contribution of the leading features."""
    top = dict(list(explanations.mean_contribution.items())[:15])
    return bars(top, "mean |contribution| to the log-odds", f"what moves the model ({explanations.rows} rows)")


def beeswarm_plot(attributions: Attributions) -> bytes:
    """Every row's contribution by leading feature; the colour is the feature's value from low to high, grey without."""
    figure, axes = figure_of(height=5.0)
    order = _leading(attributions, LEADING)[::-1]
    for line, feature in enumerate(order):
        shades = _ranks(attributions.frame[attributions.names[feature]])
        moves = attributions.values[:, feature]
        heights = line + _swarm(moves)
        known = ~np.isnan(shades)
        axes.scatter(moves[~known], heights[~known], color="tab:gray", s=2, linewidths=0)
        axes.scatter(moves[known], heights[known], c=shades[known], cmap=COLOURS, s=2, linewidths=0)
    axes.axvline(0, color="tab:gray", linewidth=0.5)
    axes.set_yticks(range(len(order)), [attributions.names[i] for i in order], fontsize=7)
    axes.set(xlabel="contribution to the log-odds (blue: low value, red: high)", title="row by row")
    return png(figure)


def dependence_plot(attributions: Attributions) -> bytes:
    """Contribution against value, of the leading features; levels of a category by their means."""
    rows, columns = PANELS
    figure, panels = figure_of(height=5.0, rows=rows, columns=columns)
    for axes, feature in zip(np.ravel(panels), _leading(attributions, rows * columns), strict=False):
        name = attributions.names[feature]
        _draw_dependence(axes, attributions.frame[name], attributions.values[:, feature])
        axes.set_title(name, fontsize=7)
        axes.tick_params(labelsize=6)
    return png(figure)


def _draw_dependence(axes: Any, values: pd.Series, moves: np.ndarray) -> None:
    if values.dtype.kind in "fiub":
        axes.scatter(values.to_numpy(float), moves, s=2, linewidths=0)
        axes.axhline(0, color="tab:gray", linewidth=0.5)
        return
    means = pd.Series(moves).groupby(values.astype(str).to_numpy()).agg(["mean", "size"])
    top = means.nlargest(MOST_LEVELS, "size").sort_values("mean")
    axes.barh(top.index.tolist(), top["mean"].to_numpy())
    axes.axvline(0, color="tab:gray", linewidth=0.5)


def _leading(attributions: Attributions, count: int) -> np.ndarray:
    return np.argsort(-attributions.shares(), kind="stable")[:count]


def _ranks(values: pd.Series) -> np.ndarray:
    """0 to 1 by rank; NaN where missing, and for a category, which has no order."""
    if values.dtype.kind not in "fiub":
        return np.full(len(values), np.nan)
    return values.rank(pct=True).to_numpy(float)


def _swarm(moves: np.ndarray, bins: int = 80, width: float = 0.8) -> np.ndarray:
    """How far each point is moved off its line, so that many equal values make a thick place."""
    span = float(np.ptp(moves)) or 1.0
    bin_of = np.minimum(((moves - moves.min()) / span * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    places = pd.Series(bin_of).groupby(bin_of).cumcount().to_numpy()
    return (places / np.maximum(counts[bin_of] - 1, 1) - 0.5) * width * counts[bin_of] / counts.max()
