"""Promises of the paired comparison."""

import math

import numpy as np
import pytest

from mlops_assets.ml.day_blocks import jackknife, paired_difference


def test_a_model_does_not_differ_from_itself() -> None:
    losses = np.random.default_rng(0).random(100)
    difference = paired_difference(np.repeat(["a", "b", "c", "d"], 25), losses, losses)
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)


def test_the_mean_is_that_of_the_rows_however_the_days_are_filled() -> None:
    days = np.array(["a"] * 90 + ["b"] * 10)
    losses = np.where(days == "a", 0.1, 0.9)
    assert paired_difference(days, losses, np.zeros(100)).mean == pytest.approx(losses.mean())


def test_one_day_gives_no_interval_and_no_rows_give_no_mean() -> None:
    one = paired_difference(np.repeat(["a"], 5), np.ones(5), np.zeros(5))
    assert (one.low, one.high) == (-math.inf, math.inf)
    assert math.isnan(paired_difference(np.array([]), np.array([]), np.array([])).mean)


def test_rows_that_move_together_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    days = np.repeat([f"{d:02d}" for d in range(20)], 100)
    alone = random.normal(size=2000)
    together = np.repeat(random.normal(size=20), 100)
    narrow, wide = paired_difference(days, alone, 0 * alone), paired_difference(days, together, 0 * together)
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    days = np.repeat([f"{d:02d}" for d in range(14)], 20)
    covered = 0
    for _ in range(200):
        losses = np.repeat(random.normal(size=14), 20) + random.normal(size=280)
        difference = paired_difference(days, losses, np.zeros(280))
        covered += difference.low <= 0 <= difference.high
    assert covered / 200 == pytest.approx(0.95, abs=0.05)


def test_the_jackknife_of_a_mean_is_the_cluster_robust_interval() -> None:
    random = np.random.default_rng(0)
    days, losses = np.repeat(np.arange(14), 100), np.repeat(random.normal(size=14), 100) + random.normal(size=1400)
    low, high = jackknife(days, lambda rows: np.array([losses[rows].mean()]))
    wanted = paired_difference(days, losses, np.zeros(1400))
    np.testing.assert_allclose([low[0], high[0]], [wanted.low, wanted.high], rtol=1e-6)


def test_the_jackknife_of_one_day_knows_nothing() -> None:
    low, high = jackknife(np.zeros(5), lambda rows: np.array([1.0]))
    assert (low[0], high[0]) == (-np.inf, np.inf)
