"""Promises of the drift score: quiet on days like the training days, loud when a move persists unexplained."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.drift import SAMPLE_ROWS, InputReference, fit_inputs, measure_window, spread_rows
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.models import TrainedModel
from mlops_assets_tests.ml.made_rows import made_rows

ENGINE = drift_engine("scipy")
Fitted = tuple[InputReference, pd.DataFrame]


@pytest.fixture(scope="module")
def fitted(history: pd.DataFrame, trained: TrainedModel) -> Fitted:
    inputs, prepared = fit_inputs(history, trained.features, ENGINE)
    return inputs, spread_rows(prepared, SAMPLE_ROWS)


def score(fitted: Fitted, window: pd.DataFrame) -> float:
    return measure_window(*fitted, window, ENGINE).score


@pytest.mark.parametrize("seed", range(100, 106))
def test_weeks_like_the_training_weeks_do_not_drift(fitted: Fitted, seed: int) -> None:
    assert score(fitted, made_rows(days=7, first=42, seed=seed)) <= fitted[0].limit


def test_a_move_that_the_other_features_do_not_explain_drifts_and_more_of_it_drifts_more(fitted: Fitted) -> None:
    scores = [score(fitted, made_rows(days=7, first=42, seed=7, warmer=shift)) for shift in (0.0, 1.0, 2.0, 3.0)]
    assert scores == sorted(scores)
    assert scores[-1] > fitted[0].limit


def test_a_storm_that_moves_everything_together_is_explained(fitted: Fitted) -> None:
    calm = made_rows(days=7, first=42, seed=8)
    stormy = calm.assign(wind=calm["wind"] + 1, gust=calm["gust"] + 1, delay=calm["delay"] + 0.7)
    broken = calm.assign(wind=calm["wind"] + 1, gust=calm["gust"] - 1, delay=calm["delay"] + 0.7)
    assert score(fitted, stormy) < score(fitted, broken)


def test_a_column_gone_missing_drifts(fitted: Fitted) -> None:
    window = made_rows(days=7, first=42, seed=9)
    drift = measure_window(*fitted, window.assign(delay=np.nan), ENGINE)
    assert next(iter(drift.excess)) == "delay"
    assert drift.score > fitted[0].limit


def test_renamed_categories_drift(fitted: Fitted) -> None:
    window = made_rows(days=7, first=42, seed=9).assign(carrier="AA")
    assert next(iter(measure_window(*fitted, window, ENGINE).excess)) == "carrier"


def test_the_same_rows_give_the_same_score(fitted: Fitted) -> None:
    window = made_rows(days=7, first=42, seed=10)
    assert measure_window(*fitted, window, ENGINE) == measure_window(*fitted, window, ENGINE)


def test_too_few_days_to_know_what_is_normal_is_an_error(history: pd.DataFrame, trained: TrainedModel) -> None:
    with pytest.raises(ValueError, match="20 days"):
        fit_inputs(made_rows(days=20), trained.features, ENGINE)


def test_every_clean_window_is_below_the_limit(fitted: Fitted) -> None:
    assert max(fitted[0].clean_scores) < fitted[0].limit
