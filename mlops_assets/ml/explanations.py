"""Which features move a model's answers, and by how much: exact contributions of every family.

Of trees they are TreeSHAP values, which LightGBM computes itself (``pred_contrib``: Lundberg, Erion, Lee 2018,
Consistent individualized feature attribution for tree ensembles); of a linear model coefficient times value in the
transformed space, where every training mean is 0 (its SHAP values for independent features). A row's contributions and
the expected value add up to its margin: the log-odds before any calibrator.

Here: contributions of rows, their summary per feature and slice, and what moved since another version. Belongs here:
anything that explains a score. Does not: pictures (``ml.explanation_plots``), the shap package (its values are the
same: a test says so).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from mlops_assets.contracts import Slice
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.slices import divide

T = TypeVar("T")
SAMPLE_ROWS = 2000
"""Rows explained for the summary: mean contributions of the features then vary by less than 2 % between samples."""
FOLDS = 5
"""Parts of consecutive days between which the shares vary."""
LIMIT_FOLDS = 2.0
"""Attribution has drifted beyond this many times the largest distance between a fold and the whole. None of 10 monthly
retrains of 2013 did (largest 1.6); three of five of damaged labels did (30 % inverted, one carrier's, storms')."""
SLICE_FEATURES = 5


@dataclass(frozen=True, kw_only=True)
class AttributionDrift:
    """How far the shares of the features are from another version's, on the same rows."""

    against_version: int
    distance: float
    """Half the sum of the absolute differences of the shares: 0 is equal, 1 is no feature in common."""
    limit: float
    moved: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Feature -> (share there, share here), of those that moved beyond their own limit, farthest first."""

    def __post_init__(self) -> None:
        """Order again: JSON sorts keys by name."""
        object.__setattr__(self, "moved", _largest_first(self.moved, size=_moved))

    @property
    def drifted(self) -> bool:
        """True when the versions decide by other features. It informs; no gate asks for it."""
        return self.distance > self.limit


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """A model's global explanation."""

    mean_contribution: Mapping[str, float]
    """Feature -> mean |contribution| in log-odds, largest first."""
    expected_value: float
    """Log-odds of the model's average answer."""
    rows: int
    share_spread: Mapping[str, float] = field(default_factory=dict)
    """Feature -> largest difference between its share in a fold of days and in all rows."""
    fold_distance: float = 0.0
    """Largest distance between the shares of a fold of days and those of all rows."""
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """``carrier=UA`` -> the leading features there, with their shares, largest first."""
    drift: AttributionDrift | None = None
    """None for a version that had no champion before it."""

    def __post_init__(self) -> None:
        """Order again: JSON sorts keys by name."""
        slices = {name: _largest_first(shares) for name, shares in self.slices.items()}
        object.__setattr__(self, "mean_contribution", _largest_first(self.mean_contribution))
        object.__setattr__(self, "slices", slices)


@dataclass(frozen=True, kw_only=True)
class Attributions:
    """The contributions of some rows, with the rows."""

    frame: pd.DataFrame
    names: tuple[str, ...]
    values: np.ndarray
    """Shape (rows, features), log-odds."""
    expected_value: float

    def shares(self, rows: np.ndarray | None = None) -> np.ndarray:
        """The part of each feature in the sum of mean |contribution|, shape (features,); they add up to 1."""
        sizes = np.abs(self.values if rows is None else self.values[rows]).mean(axis=0)
        return sizes / max(float(sizes.sum()), 1e-300)


def attribute(scorer: Scorer, frame: pd.DataFrame, rows: int = SAMPLE_ROWS) -> Attributions:
    """The contributions of up to ``rows`` rows, spread evenly over the frame.

    Raises ValueError when the frame is empty.
    """
    if frame.empty:
        raise ValueError("nothing to explain: the frame has no rows")
    spread = np.unique(np.linspace(0, len(frame) - 1, min(rows, len(frame))).astype(int))
    chosen = frame.iloc[spread].reset_index(drop=True)
    values = scorer.contributions(chosen)
    names = tuple(feature.name for feature in scorer.signature.features)
    return Attributions(frame=chosen, names=names, values=values[:, :-1], expected_value=float(values[0, -1]))


def summarize(attributions: Attributions, slices: Sequence[Slice] = (), day: str = "day") -> Explanations:
    """The model as a whole, slice by slice, and how much the shares vary between days."""
    sizes = np.abs(attributions.values).mean(axis=0)
    order = np.argsort(-sizes, kind="stable")
    whole, folds = attributions.shares(), _fold_shares(attributions, day)
    return Explanations(
        mean_contribution={attributions.names[i]: float(sizes[i]) for i in order},
        expected_value=attributions.expected_value,
        rows=len(attributions.values),
        share_spread={attributions.names[i]: float(np.abs(folds - whole)[:, i].max()) for i in order},
        fold_distance=max(_distance(fold, whole) for fold in folds),
        slices={
            name: _leading(attributions.names, attributions.shares(rows))
            for name, rows in divide(attributions.frame, slices).items()
        },
    )


def explain(scorer: Scorer, frame: pd.DataFrame, rows: int = SAMPLE_ROWS) -> Explanations:
    """Both steps at once. Raises ValueError when the frame is empty."""
    return summarize(attribute(scorer, frame, rows))


def compared(mine: Explanations, attributions: Attributions, other: Attributions, version: int) -> Explanations:
    """The explanations with the drift since another version, both on the same rows.

    A feature that one of the versions does not have counts as a share of 0. The limits are what days do by themselves:
    ``LIMIT_FOLDS`` times the spread between folds.
    """
    here, there = _by_name(attributions), _by_name(other)
    names = [*here, *(name for name in there if name not in here)]
    moves = {name: (there.get(name, 0.0), here.get(name, 0.0)) for name in names}
    gone = {name: pair for name, pair in moves.items() if _moved(pair) > LIMIT_FOLDS * mine.share_spread.get(name, 0.0)}
    drift = AttributionDrift(
        against_version=version,
        distance=sum(map(_moved, moves.values())) / 2,
        limit=LIMIT_FOLDS * mine.fold_distance,
        moved=gone,
    )
    return replace(mine, drift=drift)


def contributions(scorer: Scorer, frame: pd.DataFrame) -> pd.DataFrame:
    """The contribution of every feature to every row in log-odds; column ``expected_value`` completes the sum."""
    names = [*(feature.name for feature in scorer.signature.features), "expected_value"]
    return pd.DataFrame(scorer.contributions(frame), index=frame.index).set_axis(names, axis=1)


def _largest_first(values: Mapping[str, T], size: Callable[[T], float] = float) -> dict[str, T]:
    return dict(sorted(values.items(), key=lambda item: -size(item[1])))


def _by_name(attributions: Attributions) -> dict[str, float]:
    return dict(zip(attributions.names, map(float, attributions.shares()), strict=True))


def _moved(pair: tuple[float, float]) -> float:
    return abs(pair[1] - pair[0])


def _distance(shares: np.ndarray, others: np.ndarray) -> float:
    return float(np.abs(shares - others).sum() / 2)


def _fold_shares(attributions: Attributions, day: str) -> np.ndarray:
    """Shares of each fold of consecutive days, shape (folds, features)."""
    days = attributions.frame[day].to_numpy()
    parts = [part for part in np.array_split(np.unique(days), FOLDS) if len(part)]
    return np.array([attributions.shares(np.isin(days, part)) for part in parts])


def _leading(names: Sequence[str], shares: np.ndarray) -> dict[str, float]:
    order = np.argsort(-shares, kind="stable")[:SLICE_FEATURES]
    return {str(names[int(i)]): float(shares[i]) for i in order}
