"""Pictures for metadata and cards, as PNG bytes.

Here: one function per picture, facts in, bytes out. Belongs here: matplotlib, and only here; it is imported lazily and
draws without a display. Does not: computing what is drawn.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.metrics import calibration_curve

_COLOURS = {Verdict.OK: "tab:green", Verdict.ALARM: "tab:red", Verdict.UNKNOWN: "tab:gray"}
_BARS = 15


def drift_plot(excess: Mapping[str, float], title: str) -> bytes:
    """Excess of the farthest features: 1 is the 98th percentile of clean weeks."""
    return bars(dict(list(excess.items())[:_BARS]), "excess over clean weeks", title)


def calibration_plot(scores: np.ndarray, labels: np.ndarray, title: str = "calibration on held-out days") -> bytes:
    """Rate of the label against mean score, in ten bins of equal size."""
    figure, axes = figure_of()
    _, mean_scores, rates, _ = calibration_curve(scores, labels)
    axes.plot([0, 1], [0, 1], color="tab:gray", linewidth=1)
    axes.plot(mean_scores, rates, marker="o")
    axes.set(xlabel="mean score", ylabel="rate", title=title, xlim=(0, 1), ylim=(0, 1))
    return png(figure)


def training_plot(log_loss: Sequence[float], trees: int) -> bytes:
    """Log-loss on the held-out days after each tree; one point where ``trees`` is 0, a family without."""
    figure, axes = figure_of()
    axes.plot(range(1, len(log_loss) + 1), log_loss, marker="" if trees else "o")
    axes.axvline(max(trees, 1), color="tab:gray", linewidth=1)
    xlabel, title = ("trees", f"{trees} trees") if trees else ("fit", f"log-loss {log_loss[-1]:.4f}")
    axes.set(xlabel=xlabel, ylabel="log-loss on held-out days", title=title)
    return png(figure)


def history_plot(judgements: Sequence[Judgement], number: str, limit: str | None = None) -> bytes:
    """One number of one monitor over its days, coloured by verdict; ``limit`` names the number that bounds it."""
    figure, axes = figure_of()
    ordered = sorted(judgements, key=lambda judgement: judgement.day)
    days = [judgement.day for judgement in ordered]
    values = [_value(judgement, number) for judgement in ordered]
    axes.plot(days, values, color="tab:blue", linewidth=1)
    axes.scatter(days, values, c=[_COLOURS[judgement.verdict] for judgement in ordered], zorder=2)
    if limit is not None:
        axes.plot(days, [_value(judgement, limit) for judgement in ordered], color="tab:gray", linestyle="--")
    axes.set(title=f"{ordered[-1].monitor}: {number}" if ordered else number)
    axes.tick_params(axis="x", rotation=90, labelsize=6)
    return png(figure)


def _value(judgement: Judgement, number: str) -> float:
    value = judgement.numbers.get(number)
    return float("nan") if value is None else value


def bars(values: Mapping[str, float], label: str, title: str) -> bytes:
    """One horizontal bar for each value, the first on top."""
    figure, axes = figure_of()
    names = list(values)[::-1]
    axes.barh(names, [values[name] for name in names])
    axes.set(xlabel=label, title=title)
    axes.tick_params(axis="y", labelsize=7)
    return png(figure)


def figure_of(height: float = 4.0, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A figure of ``height`` inches and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def png(figure: Any) -> bytes:
    """The figure drawn. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
    return buffer.getvalue()
