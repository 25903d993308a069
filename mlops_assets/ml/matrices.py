"""From training frames to what a family is fitted on.

Here: levels of categories, the matrix of a frame, matrix with labels. Belongs here: pandas on the way into a matrix.
Does not: the encoding itself, which the server shares (``ml.encoding``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pandas as pd

from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.ml.encoding import encode


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a family is fitted on."""

    matrix: np.ndarray
    """Shape (rows, features), float64, C order; NaN is missing."""
    labels: np.ndarray
    """0 or 1, shape (rows,), float64."""

    def parted(self, first: int) -> "tuple[Rows, Rows]":
        """The first rows, so many, and the others."""
        parts = (slice(None, first), slice(first, None))
        before, after = (Rows(matrix=self.matrix[part], labels=self.labels[part]) for part in parts)
        return before, after


def rows_of(frame: pd.DataFrame, features: Sequence[ModelFeature], label: str) -> Rows:
    """Matrix and labels of a frame. Raises MissingColumn."""
    return Rows(matrix=matrix(frame, features), labels=frame[label].to_numpy(np.float64))


def matrix(frame: pd.DataFrame, features: Sequence[ModelFeature]) -> np.ndarray:
    """The model's matrix of a frame, shape (rows, features): ``ml.encoding`` fed with the frame's columns."""
    wanted = {feature.name for feature in features}
    return encode({str(name): frame[name].to_numpy() for name in frame.columns if name in wanted}, features)


def with_levels(features: Sequence[ModelFeature], fitted: pd.DataFrame) -> tuple[ModelFeature, ...]:
    """The features, every category with the levels that occur in ``fitted``, sorted."""
    return tuple(
        msgspec.structs.replace(feature, levels=tuple(sorted(str(v) for v in fitted[feature.name].dropna().unique())))
        if feature.kind == "category" and feature.name in fitted
        else feature
        for feature in features
    )
