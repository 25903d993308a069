"""Why an answer is what it is: the contributions that moved it most, on request (``?explain=true``).

Computed from the vector and by the version in the answer's own record, so that a reason is about the logged answer and
nothing else. The expected value, the leading contributions and the rest add up to the margin: the log-odds of the
model before its calibrator.

Here: ``reasons_of``. Belongs here: the form of a reason. Does not: contributions (the engine's), when to explain
(``serving.data_plane``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.adapters.traffic_log import TrafficRecord
from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.serving.arms import LoadedBundle

LEADING = 5
MOST_ROWS = 100
"""Rows explained in one request: a row of 400 trees takes a millisecond, and others wait for the same thread."""


def reasons_of(
    records: Sequence[TrafficRecord], bundles: Mapping[str, LoadedBundle], leading: int = LEADING
) -> list[dict[str, Any] | None]:
    """One for each record, in their order; ``bundles`` are the loaded ones by digest.

    None where nothing can be said: the fallback answered, or a version that is loaded no more (an answer given earlier
    under the same request id).
    """
    found: list[dict[str, Any] | None] = [None] * len(records)
    for digest, bundle in bundles.items():
        mine = [i for i, record in enumerate(records) if record.digest == digest == record.features_digest]
        for i, reason in zip(mine, _explain(bundle, [records[i].features for i in mine], leading), strict=True):
            found[i] = reason
    return found


def _explain(bundle: LoadedBundle, vectors: Sequence[bytes], leading: int) -> list[dict[str, Any]]:
    if not vectors:
        return []
    matrix = np.array([np.frombuffer(vector, dtype="<f8") for vector in vectors], dtype=np.float64, order="C")
    contributions = bundle.engine.contributions(matrix)
    features = bundle.signature.features
    return [_reason(features, vector, row, leading) for vector, row in zip(matrix, contributions, strict=True)]


def _reason(features: Sequence[ModelFeature], vector: np.ndarray, row: np.ndarray, leading: int) -> dict[str, Any]:
    order = np.argsort(-np.abs(row[:-1]), kind="stable")
    return {
        "margin": float(row.sum()),
        "expected_value": float(row[-1]),
        "top": [
            {"feature": features[i].name, "value": _value(features[i], float(vector[i])), "contribution": float(row[i])}
            for i in order[:leading]
        ],
        "rest": float(row[order[leading:]].sum()),
    }


def _value(feature: ModelFeature, code: float) -> float | str | None:
    """As the caller knows it: a category by its level, a missing value (or an unknown level) as null."""
    if np.isnan(code):
        return None
    return feature.levels[int(code)] if feature.kind == "category" else float(code)
