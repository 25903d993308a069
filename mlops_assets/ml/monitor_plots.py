"""Pictures of monitors, as SVG text: the last weeks of a number with its limits, bars, a calibration curve.

Here: one function per picture, facts in, SVG out. Belongs here: drawing what monitors say, every day anew. Does not:
computing it, pictures of models (``ml.plots``, which has matplotlib draw PNGs).

Written out by hand, for a dozen monitors draw every day: matplotlib took 0.5 s and 35 kB a picture here, this
takes less than a millisecond and 3 kB. Equal facts give equal bytes.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.metrics import calibration_curve

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 26
COLOURS = {Verdict.OK: "#2e7d32", Verdict.ALARM: "#c62828", Verdict.UNKNOWN: "#9e9e9e"}
LINE, QUIET, LIMIT = "#1565c0", "#9e9e9e", "#ef6c00"
_BARS = 8


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Which numbers of a monitor its picture shows."""

    number: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True)
class _Axes:
    """From values to places in the picture."""

    left: float
    right: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.bottom) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM)


def history_picture(judgements: Sequence[Judgement], drawn: Drawn) -> str:
    """A number over its days, a point coloured by the verdict of each; dashed, the limits of each day.

    A day without the number stands as a grey mark at the bottom: the monitor gave no verdict.
    """
    days = sorted({judgement.day: judgement for judgement in judgements}.items())
    title = f"{days[-1][1].monitor}: {drawn.number}" if days else drawn.number
    known = [v for _, j in days for name in (drawn.number, drawn.low, drawn.high) if (v := _value(j, name)) is not None]
    if not known:
        return _picture(title, [_text(WIDTH / 2, HEIGHT / 2, "no number yet", "middle")])
    first = dt.date.fromisoformat(days[0][0])
    last = (dt.date.fromisoformat(days[-1][0]) - first).days
    axes = _axes(-0.5, last + 0.5, min(known), max(known))
    places = [((dt.date.fromisoformat(day) - first).days, judgement) for day, judgement in days]
    parts = [*_frame(axes), _text(LEFT, HEIGHT - 8, days[0][0]), _text(WIDTH - RIGHT, HEIGHT - 8, days[-1][0], "end")]
    for name, colour, dashes in ((drawn.low, LIMIT, "4 3"), (drawn.high, LIMIT, "4 3"), (drawn.number, LINE, "")):
        parts += _lines(axes, [(x, _value(judgement, name)) for x, judgement in places], colour, dashes)
    parts += [_point(axes, x, _value(judgement, drawn.number), judgement) for x, judgement in places]
    return _picture(title, parts)


def bars_picture(values: Mapping[str, float], title: str, limit: float | None = None) -> str:
    """One horizontal bar for each value, the first on top; a dashed line at the limit."""
    shown = list(values.items())[:_BARS]
    if not shown:
        return _picture(title, [_text(WIDTH / 2, HEIGHT / 2, "no number yet", "middle")])
    names = 190
    ends = [0.0, limit or 0.0, *(value for _, value in shown)]
    scale = (WIDTH - RIGHT - names - 50) / ((max(ends) - min(ends)) or 1.0)
    zero, step = names - min(ends) * scale, (HEIGHT - TOP - 8) / len(shown)
    parts = []
    for line, (name, value) in enumerate(shown):
        y, width = TOP + line * step, abs(value) * scale
        colour = COLOURS[Verdict.ALARM] if limit is not None and value > limit else LINE
        parts.append(f'<rect x="{zero + min(value, 0) * scale:.1f}" y="{y:.1f}" width="{width:.1f}" '
                     f'height="{step * 0.7:.1f}" fill="{colour}"/>')  # fmt: skip
        parts.append(_text(names - 6, y + step * 0.55, name[:34], "end"))
        parts.append(_text(zero + max(value, 0) * scale + 4, y + step * 0.55, f"{value:.3g}"))
    if limit is not None:
        parts.append(_segment(zero + limit * scale, TOP - 4, zero + limit * scale, HEIGHT - 8, LIMIT, "4 3"))
    return _picture(title, parts)


def calibration_picture(scores: np.ndarray, labels: np.ndarray, title: str) -> str:
    """Rate of the label against mean score, in ten bins of equal size."""
    if not len(scores):
        return _picture(title, [_text(WIDTH / 2, HEIGHT / 2, "no outcome yet", "middle")])
    _, means, rates, _ = calibration_curve(scores, labels)
    axes = _axes(0.0, float(max(means.max(), 0.1)) * 1.05, 0.0, float(max(rates.max(), means.max())))
    diagonal = [(0.0, 0.0), (min(axes.right, axes.top), min(axes.right, axes.top))]
    points = list(zip(map(float, means), map(float, rates), strict=True))
    parts = [*_frame(axes), *_lines(axes, diagonal, QUIET, ""), *_lines(axes, points, LINE, "")]
    parts += [f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3" fill="{LINE}"/>' for x, y in points]
    parts += [_text(LEFT, HEIGHT - 8, "mean score 0"), _text(WIDTH - RIGHT, HEIGHT - 8, f"{axes.right:.2f}", "end")]
    return _picture(title, parts)


def _value(judgement: Judgement, name: str | None) -> float | None:
    return judgement.numbers.get(name) if name else None


def _axes(left: float, right: float, lowest: float, highest: float) -> _Axes:
    room = (highest - lowest) * 0.08 or abs(highest) * 0.1 or 1.0
    return _Axes(left, right, lowest - room, highest + room)


def _frame(axes: _Axes) -> Iterator[str]:
    yield _segment(LEFT, TOP, LEFT, HEIGHT - BOTTOM, QUIET)
    yield _segment(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, QUIET)
    for value in np.linspace(axes.bottom, axes.top, 4):
        yield _text(LEFT - 4, axes.y(float(value)) + 3, f"{value:.3g}", "end")


def _lines(axes: _Axes, values: Sequence[tuple[float, float | None]], colour: str, dashes: str) -> Iterator[str]:
    """A line through neighbours that both have a value; it breaks where one is missing."""
    runs: list[list[str]] = [[]]
    for x, y in values:
        if y is None:
            runs.append([])
        else:
            runs[-1].append(f"{axes.x(x):.1f},{axes.y(y):.1f}")
    for run in runs:
        if len(run) > 1:
            pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
            yield f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}"{pattern}/>'


def _point(axes: _Axes, x: float, y: float | None, judgement: Judgement) -> str:
    place = HEIGHT - BOTTOM if y is None else axes.y(y)
    size = 4 if judgement.verdict is Verdict.ALARM else 2.5
    return f'<circle cx="{axes.x(x):.1f}" cy="{place:.1f}" r="{size}" fill="{COLOURS[judgement.verdict]}"/>'


def _segment(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{pattern}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    body = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', _text(LEFT, 16, title), *parts]
    return "\n".join([f'{head} font-family="sans-serif" font-size="10" fill="#333333">', *body, "</svg>"])
