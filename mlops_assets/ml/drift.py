"""Did the inputs leave the training distribution in a way that the other inputs do not explain?

The usual alarms are worthless on daily data: with p < 0.05 every clean day of 2013 is flagged, because one storm
moves everybody and 900 rows are a dozen independent ones. So no p-value is used. The values of the last days are
compared with those of the training window, and so are, for numbers, the residuals of predicting each from the other
features (out of fold in the training window). How large a distance is normal is learnt from the training window
itself: the same distance for every run of days in it, against the other days. A feature's distance in units of its
own clean variation is its excess (0: a typical clean window, 1: the 98th percentile of clean windows). Of a number
the smaller of the two counts: it has drifted when it moved and the other features do not explain the move. The drift
score is the mean excess.

Here: the reference of the inputs, and the distance of a window from it. Belongs here: what "far from the training
data" means. Does not: a library's statistics (``ml.drift_engines``), outcomes and files (``ml.references``), what a
verdict is (``ml.monitoring``).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.ml.drift_engines import DriftEngine
from mlops_assets.ml.encoding import encode
from mlops_assets.ml.linear import Design, fit_design, fit_each_from_the_others

WINDOW_DAYS = 7
"""Days judged together. A week has all weekdays, and shorter windows cannot tell drift from weather: trained on January
to March, windows of 1, 3 and 7 days are all quiet until 21 April, and exceed their limits on 0, 7 and 41 % of the days
from there to the end of June."""
SAMPLE_ROWS = 4000
"""Rows of the reference sample, and the most rows of a window that are compared: a day's cost does not grow."""
LIMIT_FACTOR = 1.25
"""A window has drifted when its score is this much above the highest of the clean windows. Over April to December, each
champion judged by its own reference, that gives 23 days in five episodes: the storms of April, of late June and of
July, two days in May and one in October."""
_LOWEST_SPREAD = 0.05
"""Least clean variation of a distance: a shift this small does not matter, however steady a feature is. At 0.02 the
April timetable alone (distances, seat of the schedule) raised the alarm of 2013 a week before the weather did."""
_FEWEST_VALUES = 50
"""Present values below which only the share of missing ones is compared."""
_CLEAN_WINDOWS = 40
"""About this many clean windows are measured, however long the training window is."""
_MOST_EXCESS = 20.0
"""One broken feature counts at most this much in the mean."""


@dataclass(frozen=True, kw_only=True)
class Normal:
    """What is normal for one distance."""

    typical: float
    """Median of the clean windows."""
    spread: float
    """98th percentile of the clean windows minus the median."""

    def excess(self, distance: float) -> float:
        """0 for a typical clean window, 1 for the 98th percentile."""
        return (distance - self.typical) / self.spread


@dataclass(frozen=True, kw_only=True)
class FeatureReference:
    """What is normal for one feature."""

    name: str
    kind: Literal["number", "category"]
    levels: tuple[str, ...]
    values: Normal
    residuals: Normal | None
    """None for a category."""


@dataclass(frozen=True, kw_only=True)
class InputReference:
    """What is normal for the inputs of one model version."""

    first_day: str
    last_day: str
    design: Design
    weights: tuple[tuple[float, ...], ...]
    """How the design's columns predict each number, shape (columns, numbers)."""
    features: tuple[FeatureReference, ...]
    clean_scores: tuple[float, ...]
    """Drift scores of the clean windows."""
    limit: float
    """Drift score above which a window has drifted."""


@dataclass(frozen=True, kw_only=True)
class WindowDrift:
    """How far one window is from a reference."""

    score: float
    excess: Mapping[str, float]
    """Feature -> excess, largest first."""
    distance: Mapping[str, float]
    """Column of the sample -> distance in [0, 1]."""
    rows: int
    days: int


def fit_inputs(
    frame: pd.DataFrame, features: Sequence[ModelFeature], engine: DriftEngine, day: str = "day"
) -> tuple[InputReference, pd.DataFrame]:
    """Learn what is normal from the training rows, which are in the order of days.

    Also returns all rows prepared out of fold (``prepare``), of which ``spread_rows`` makes the reference sample that
    distances need. Raises ValueError when there are fewer than three windows of days.
    """
    days = sorted(frame[day].unique())
    if len(days) < 3 * WINDOW_DAYS:
        raise ValueError(f"{len(days)} days of training rows do not show how windows of {WINDOW_DAYS} days vary")
    design = fit_design(frame, features)
    prepared, weights = _out_of_fold(frame, features, design, day)
    sample = spread_rows(prepared, SAMPLE_ROWS)
    clean = [_distances(engine, features, *parts) for parts in _clean_windows(prepared, sample, days, day)]
    normal = _normal(clean)
    references = tuple(_as_reference(feature, normal) for feature in features)
    scores = [_score(_excess(references, distances)) for distances in clean]
    reference = InputReference(
        first_day=str(days[0]),
        last_day=str(days[-1]),
        design=design,
        weights=tuple(tuple(float(value) for value in row) for row in weights),
        features=references,
        clean_scores=tuple(scores),
        limit=max(scores) * LIMIT_FACTOR,
    )
    return reference, prepared


def measure_window(
    reference: InputReference, sample: pd.DataFrame, window: pd.DataFrame, engine: DriftEngine, day: str = "day"
) -> WindowDrift:
    """How far the rows of ``window`` (a column per feature, and ``day``) are from the reference."""
    prepared = prepare(window, reference.features, reference.design, np.array(reference.weights), day)
    distances = _distances(engine, reference.features, sample, spread_rows(prepared, SAMPLE_ROWS))
    excess = _excess(reference.features, distances)
    return WindowDrift(
        score=_score(excess),
        excess=dict(sorted(excess.items(), key=lambda item: -item[1])),
        distance=distances,
        rows=len(window),
        days=int(window[day].nunique()),
    )


def prepare(
    frame: pd.DataFrame,
    features: Sequence[ModelFeature] | Sequence[FeatureReference],
    design: Design,
    weights: np.ndarray,
    day: str,
) -> pd.DataFrame:
    """What distances compare: numbers and their residuals, codes of categories, NaN where missing; and ``day``."""
    numbers = design.standardised(frame)
    residuals = numbers - design.matrix(frame) @ weights
    columns: dict[str, np.ndarray] = dict(zip(design.numbers, numbers.T, strict=True))
    columns |= dict(zip(map(residual_of, design.numbers), residuals.T, strict=True))
    for feature in features:
        if feature.kind == "category":
            known = ModelFeature(name=feature.name, kind="category", levels=feature.levels)
            columns[feature.name] = encode({feature.name: frame[feature.name].to_numpy()}, [known])[:, 0]
    columns[day] = frame[day].to_numpy()
    return pd.DataFrame(columns)


def foreseen(prepared: pd.DataFrame, numbers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of prepared rows, and what the other features say of each, shape (rows, numbers)."""
    values = prepared[list(numbers)].to_numpy(np.float64)
    return values, values - prepared[[residual_of(name) for name in numbers]].to_numpy(np.float64)


def residual_of(feature: str) -> str:
    """Name of the column that holds the residuals of a number."""
    return f"residual of {feature}"


def spread_rows(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most ``most`` rows, evenly spread over the frame: the same ones every time."""
    if len(frame) <= most:
        return frame
    return frame.iloc[np.linspace(0, len(frame) - 1, most).astype(int)]


def _out_of_fold(
    frame: pd.DataFrame, features: Sequence[ModelFeature], design: Design, day: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Every row prepared by the weights of all weeks but its own, and the weights of all rows."""
    weeks = {d: position // WINDOW_DAYS for position, d in enumerate(sorted(frame[day].unique()))}
    week = np.array([weeks[d] for d in frame[day]])
    folds = [frame.loc[week == number] for number in np.unique(week)]
    products = [m.T @ m for m in (design.matrix(fold) for fold in folds)]
    total = np.sum(products, axis=0)
    parts = [
        prepare(fold, features, design, fit_each_from_the_others(design, total - own), day)
        for fold, own in zip(folds, products, strict=True)
    ]
    return pd.concat(parts, ignore_index=True), fit_each_from_the_others(design, total)


def _clean_windows(
    prepared: pd.DataFrame, sample: pd.DataFrame, days: Sequence[str], day: str
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Runs of days spread over the training window, each with the sample of all other days."""
    step = max(2, len(days) // _CLEAN_WINDOWS)
    for start in range(0, len(days) - WINDOW_DAYS + 1, step):
        inside = days[start : start + WINDOW_DAYS]
        window = prepared.loc[prepared[day].isin(inside)]
        yield sample.loc[~sample[day].isin(inside)], spread_rows(window, SAMPLE_ROWS)


def _distances(
    engine: DriftEngine,
    features: Sequence[ModelFeature] | Sequence[FeatureReference],
    reference: pd.DataFrame,
    current: pd.DataFrame,
) -> dict[str, float]:
    columns = [(feature.name, feature.kind) for feature in features]
    columns += [(residual_of(feature.name), feature.kind) for feature in features if feature.kind == "number"]
    return {
        name: _distance(engine, kind, reference[name].to_numpy(), current[name].to_numpy()) for name, kind in columns
    }


def _distance(engine: DriftEngine, kind: str, reference: np.ndarray, current: np.ndarray) -> float:
    """Distance of the present values, or of the shares that are missing: whichever is larger."""
    here, there = ~np.isnan(reference), ~np.isnan(current)
    gap = abs(float(here.mean()) - float(there.mean()))
    if min(here.sum(), there.sum()) < _FEWEST_VALUES:
        return gap
    return max(gap, engine.distance(kind, reference[here], current[there]))


def _normal(clean: Sequence[Mapping[str, float]]) -> dict[str, Normal]:
    names = list(clean[0])
    table = np.array([[distances[name] for name in names] for distances in clean])
    typical, high = np.median(table, axis=0), np.quantile(table, 0.98, axis=0)
    spread = np.maximum(high - typical, _LOWEST_SPREAD)
    return {n: Normal(typical=float(t), spread=float(s)) for n, t, s in zip(names, typical, spread, strict=True)}


def _as_reference(feature: ModelFeature, normal: Mapping[str, Normal]) -> FeatureReference:
    return FeatureReference(
        name=feature.name,
        kind=feature.kind,
        levels=feature.levels,
        values=normal[feature.name],
        residuals=normal.get(residual_of(feature.name)),
    )


def _excess(features: Sequence[FeatureReference], distances: Mapping[str, float]) -> dict[str, float]:
    excess = {}
    for feature in features:
        excess[feature.name] = feature.values.excess(distances[feature.name])
        if feature.residuals is not None:
            unexplained = feature.residuals.excess(distances[residual_of(feature.name)])
            excess[feature.name] = min(excess[feature.name], unexplained)
    return excess


def _score(excess: Mapping[str, float]) -> float:
    return float(np.mean([min(value, _MOST_EXCESS) for value in excess.values()]))
