"""Promises of the scoring rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml import metrics

SCORES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=60)


def arrays(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in pairs]), np.array([float(y) for _, y in pairs])


@given(SCORES)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[float, int]]) -> None:
    scores, labels = arrays(pairs)
    late, on_time = scores[labels == 1], scores[labels == 0]
    if not len(late) or not len(on_time):
        assert np.isnan(metrics.auc(scores, labels))
        return
    compared = np.sign(late[:, None] - on_time[None, :])
    assert metrics.auc(scores, labels) == pytest.approx((compared.mean() + 1) / 2)


@given(SCORES)
def test_brier_scores_stay_between_zero_and_one_and_log_losses_are_finite(pairs: list[tuple[float, int]]) -> None:
    scores, labels = arrays(pairs)
    assert ((metrics.brier_scores(scores, labels) >= 0) & (metrics.brier_scores(scores, labels) <= 1)).all()
    assert np.isfinite(metrics.log_losses(scores, labels)).all()


def test_true_probabilities_have_a_small_calibration_error_and_shifted_ones_have_their_shift() -> None:
    random = np.random.default_rng(1)
    scores = random.uniform(0.1, 0.6, 20_000)
    labels = (random.random(20_000) < scores).astype(float)
    assert metrics.calibration_error(scores, labels) < 0.02
    assert metrics.calibration_error(scores + 0.2, labels) == pytest.approx(0.2, abs=0.02)


def test_the_summary_names_what_a_person_who_knows_nothing_would_lose() -> None:
    labels = np.array([0.0, 0.0, 0.0, 1.0])
    summary = metrics.summary(np.full(4, 0.25), labels, constant=0.25)
    assert summary["log_loss"] == pytest.approx(summary["constant_log_loss"])
    assert summary["late_rate"] == 0.25


def test_the_calibration_slope_is_one_for_true_probabilities_and_none_for_those_of_somebody_else() -> None:
    random = np.random.default_rng(1)
    scores = random.uniform(0.05, 0.95, size=4000)
    labels = (random.random(4000) < scores).astype(float)
    assert metrics.calibration_slope(scores, labels) == pytest.approx(1.0, abs=0.1)
    assert metrics.calibration_slope(scores, random.permutation(labels)) == pytest.approx(0.0, abs=0.1)
    assert metrics.calibration_slope(1 - scores, labels) == pytest.approx(-1.0, abs=0.15)
    assert metrics.calibration_slope(scores, np.ones(4000)) < 3, "one label alone has a slope as well"
