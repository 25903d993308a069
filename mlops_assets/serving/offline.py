"""What the server should answer: the same rows scored outside of it, by the feature store's own client and pandas.

Here: the rows to ask, and their features put together without the server's code. Belongs here: the other side of the
comparison that ``serving.probe`` makes possible. Does not: the server's way (``serving.features``), judging.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.contracts import UseCase
from mlops_assets.ml.bundles import Signature, ViewInput
from mlops_assets.ml.missing import completed
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.on_demand import TRANSFORMATIONS

EVENT_TIME = "event_time"


def rows_to_ask(use_case: UseCase, signature: Signature, frame: pd.DataFrame, rows: int) -> list[dict[str, Any]]:
    """Requests for rows spread evenly over a training frame, each at its own decision time."""
    spread = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, rows).astype(int))]
    names = dict.fromkeys([use_case.entity_id, *(field.name for field in signature.request_fields)])
    asked = spread[list(names)].to_dict("records")
    times = pd.DatetimeIndex(spread["event_timestamp"]).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [{**{str(k): v for k, v in row.items()}, EVENT_TIME: at} for row, at in zip(asked, times, strict=True)]


def offline_scores(scorer: Scorer, store: FeatureStore, rows: Sequence[Mapping[str, Any]]) -> list[float | None]:
    """The scores of requests, from the store's present online values; None where a feature bars an answer.

    A value older than its view's time to live, counted from the row's event time, is missing; policies say what stands
    for it.
    """
    signature = scorer.signature
    frame = pd.DataFrame([dict(row) for row in rows])
    instants = pd.to_datetime(frame[EVENT_TIME], utc=True)
    for name in signature.transformations:
        frame = frame.assign(**TRANSFORMATIONS[name]({str(c): frame[c].to_numpy() for c in frame.columns}))
    barred = np.zeros(len(frame), dtype=bool)
    for view in signature.views:
        values = _values(view, store, list(frame[view.join_key]), instants)
        filled, without = completed(view, values)
        frame = frame.assign(**{**values, **filled})
        barred = np.logical_or.reduce([barred, *without.values()])
    scores = scorer.score(frame)
    return [None if bar else float(score) for bar, score in zip(barred, scores, strict=True)]


def _values(view: ViewInput, store: FeatureStore, keys: list[str], instants: pd.Series) -> dict[str, np.ndarray]:
    kept = [
        snapshot[1] if snapshot and not _old(at - snapshot[0], view.ttl_seconds) else {}
        for snapshot, at in zip(store.snapshots(view.name, keys), instants, strict=True)
    ]
    return {f"{view.name}__{f}": np.array([_number(row.get(f)) for row in kept]) for f in view.features}


def _old(age: pd.Timedelta, ttl_seconds: int) -> bool:
    return bool(ttl_seconds) and age.total_seconds() > ttl_seconds


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
