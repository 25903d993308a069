"""LightGBM as a data scientist would call it: the peer of the training through the graph.

Here: the same two fits on the same frame with nothing around them, and LightGBM's defaults. Does not belong here:
anything of this project.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
import pandas as pd


def prepared(frame: pd.DataFrame, names: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
    """The feature columns, categories as pandas knows them."""
    return frame[list(names)].astype(dict.fromkeys(categories, "category"))


def two_fits(
    frame: pd.DataFrame,
    names: Sequence[str],
    categories: Sequence[str],
    label: str,
    params: Mapping[str, Any],
    rounds: int,
    patience: int,
    days: int,
) -> Any:
    """Early stopping on the last days, then a fit of all rows with as many trees."""
    features, labels = prepared(frame, names, categories), frame[label].to_numpy(np.float64)
    first_held_out = (dt.date.fromisoformat(frame["day"].max()) - dt.timedelta(days=days - 1)).isoformat()
    held_out = (frame["day"] >= first_held_out).to_numpy()
    fitted = lightgbm.Dataset(features[~held_out], labels[~held_out], params=dict(params))
    first = lightgbm.train(
        {**params, "metric": "binary_logloss"},
        fitted,
        num_boost_round=rounds,
        valid_sets=[fitted.create_valid(features[held_out], labels[held_out])],
        callbacks=[lightgbm.early_stopping(patience, verbose=False)],
    )
    return lightgbm.train(dict(params), lightgbm.Dataset(features, labels), num_boost_round=first.best_iteration)


def with_defaults(
    frame: pd.DataFrame, later: pd.DataFrame, names: Sequence[str], categories: Sequence[str], label: str
) -> np.ndarray:
    """Scores of ``later`` by LightGBM with nothing set but its objective, fitted on all of ``frame``."""
    both = prepared(pd.concat([frame, later]), names, categories)
    known, asked = both.iloc[: len(frame)], both.iloc[len(frame) :]
    params = {"objective": "binary", "verbosity": -1}
    booster = lightgbm.train(params, lightgbm.Dataset(known, frame[label].to_numpy(np.float64)))
    return np.asarray(booster.predict(asked))
