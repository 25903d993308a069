"""Promises of the calibrators."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.bundles import IDENTITY
from mlops_assets.ml.calibration import METHODS, CalibrationImpossible, apply, fit_calibrator
from mlops_assets.ml.metrics import calibration_error, log_losses

FITTED = METHODS[1:]


def overconfident(rows: int = 20_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose log-odds are twice what they should be, and half a unit too high; and their labels."""
    random = np.random.default_rng(seed)
    odds = random.normal(-1.0, 1.0, rows)
    labels = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-(2 * odds + 0.5))), labels


@pytest.mark.parametrize("method", FITTED)
def test_scores_that_are_too_sure_are_put_right_on_rows_it_was_not_fitted_on(method: str) -> None:
    fitted = fit_calibrator(method, *overconfident(), "2013-01-01")
    scores, labels = overconfident(seed=2)
    right = apply(fitted, scores)
    assert calibration_error(right, labels) < 0.012 < 0.05 < calibration_error(scores, labels)
    assert log_losses(right, labels).mean() < log_losses(scores, labels).mean() - 0.03
    assert (fitted.rows, fitted.first_day) == (20_000, "2013-01-01")


def test_platt_finds_slope_and_intercept() -> None:
    slope, intercept = fit_calibrator("platt", *overconfident(200_000)).weights
    assert slope == pytest.approx(0.5, abs=0.02)
    assert intercept == pytest.approx(-0.25, abs=0.02)


def test_the_identity_gives_the_very_same_scores() -> None:
    scores = np.array([0.1, 0.9])
    assert apply(IDENTITY, scores) is scores
    assert fit_calibrator("identity", scores, np.array([0.0, 1.0])) is IDENTITY


@pytest.mark.parametrize("method", FITTED)
@given(scores=st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_order_stays_nothing_leaves_the_unit_interval_and_rows_do_not_matter_to_each_other(
    method: str, scores: list[float]
) -> None:
    calibrator = fit_calibrator(method, *overconfident(2_000))
    given = np.sort(np.array(scores))
    told = apply(calibrator, given)
    assert (np.diff(told) >= 0).all()
    assert ((told >= 0) & (told <= 1)).all()
    assert told.tobytes() == np.concatenate([apply(calibrator, given[i : i + 1]) for i in range(len(given))]).tobytes()


def test_an_isotonic_map_never_says_never() -> None:
    scores = np.linspace(0, 1, 1_000)
    told = apply(fit_calibrator("isotonic", scores, (scores > 0.5).astype(float)), np.array([0.0, 1.0]))
    assert 0 < told[0] < told[1] < 1


@pytest.mark.parametrize("method", FITTED)
def test_one_outcome_is_nothing_to_calibrate_on(method: str) -> None:
    with pytest.raises(CalibrationImpossible, match="2 rows"):
        fit_calibrator(method, np.array([0.1, 0.2]), np.array([0.0, 0.0]))


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'spline'.*identity, platt"):
        fit_calibrator("spline", np.array([0.1, 0.2]), np.array([0.0, 1.0]))
