"""Promises of the reference that is saved with a version."""

import json

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.models import Scorer, TrainedModel
from mlops_assets.ml.references import DriftReference, Spread, expected_log_losses, fit_reference, from_files, to_files
from mlops_assets_tests.ml.made_rows import NAMES

ENGINE = drift_engine("scipy")


def test_a_reference_survives_its_files_and_equal_references_have_equal_files(reference: DriftReference) -> None:
    again = from_files(to_files(reference))
    assert again.facts == reference.facts
    pd.testing.assert_frame_equal(again.sample, reference.sample)
    assert to_files(again) == to_files(reference)


def test_the_files_are_json_and_parquet(reference: DriftReference) -> None:
    files = to_files(reference)
    assert json.loads(files["reference.json"])["inputs"]["limit"] == reference.facts.inputs.limit
    assert files["reference_sample.parquet"].startswith(b"PAR1")


def test_the_order_of_the_training_rows_does_not_matter_for_what_is_normal(
    history: pd.DataFrame, scorer: Scorer, trained: TrainedModel, reference: DriftReference
) -> None:
    days = history.sort_values("day", ascending=False, kind="stable")
    other = fit_reference(days, scorer.score(days), trained.held_out, trained.features, **NAMES, engine=ENGINE)
    assert other.facts.inputs.limit == pytest.approx(reference.facts.inputs.limit)
    assert other.facts.outcomes.regret.mean == pytest.approx(reference.facts.outcomes.regret.mean)


def test_held_out_days_tell_how_the_champion_and_the_simple_model_compare(reference: DriftReference) -> None:
    outcomes = reference.facts.outcomes
    assert outcomes.regret.days == 7
    assert abs(outcomes.gap.mean) < 0.1
    assert outcomes.rate.days == 42


def test_the_simple_model_answers_with_probabilities(reference: DriftReference, history: pd.DataFrame) -> None:
    scores = reference.base_scores(history)
    assert scores.mean() == pytest.approx(history["is_late"].mean(), abs=1e-3)


def test_a_bound_narrows_with_the_days_that_are_averaged() -> None:
    spread = Spread(mean=0.1, deviation=0.2, days=14)
    assert spread.bound(1, 2) == pytest.approx(0.5)
    assert spread.bound(4, 2) == pytest.approx(0.3)


def test_calibrated_scores_lose_what_they_expect_to_lose() -> None:
    scores = np.array([0.5, 0.9])
    np.testing.assert_allclose(expected_log_losses(scores), [0.6931, 0.3251], atol=1e-4)
