"""From named columns to the model's matrix: the one encoding that training, server and monitoring share.

Here: numpy functions that turn columns into float64 by a signature's feature list.
Belongs here: whatever must be bit-equal between training and serving after the features are known.
Does not: pandas (the server's workers import this), feature computation (``ml.features``, ``ml.on_demand``).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

import numpy as np

from mlops_assets.ml.bundles import ModelFeature


class MissingColumn(ValueError):
    """A feature the model needs is not among the columns."""


def encode(columns: Mapping[str, Sequence[object] | np.ndarray], features: Sequence[ModelFeature]) -> np.ndarray:
    """The model's matrix, shape (rows, features), float64, C order; missing values are NaN.

    Numbers pass through; a category becomes the index of its level, NaN when it is missing or unknown: to a model the
    two are the same. What it makes of them is the family's to say (``ml.boosted_trees``: not one of the levels that a
    split names; ``ml.logistic``: an average one).

    Raises MissingColumn, naming the feature, when a column is absent.
    """
    rows = _rows(columns, features)
    matrix = np.empty((rows, len(features)), dtype=np.float64, order="C")
    for position, feature in enumerate(features):
        values = columns[feature.name]
        matrix[:, position] = _codes(values, feature.levels) if feature.kind == "category" else _numbers(values)
    return matrix


def _rows(columns: Mapping[str, Sequence[object] | np.ndarray], features: Sequence[ModelFeature]) -> int:
    missing = [feature.name for feature in features if feature.name not in columns]
    if missing:
        raise MissingColumn(f"the model needs {', '.join(missing)}; compute or send it")
    return len(columns[features[0].name])


def _numbers(values: Sequence[object] | np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array([np.nan if value is None else value for value in array], dtype=np.float64)
    return array.astype(np.float64)


def _codes(values: Sequence[object] | np.ndarray, levels: Sequence[str]) -> np.ndarray:
    index = {level: float(code) for code, level in enumerate(levels)}
    look: Callable[[object, float], float] = index.get  # type: ignore[assignment]
    return np.fromiter(map(look, values, repeat(np.nan)), np.float64, len(values))
