"""Promises of the e-processes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.sequential import log_wealth, worse_than


def days(count: int, rows: int) -> np.ndarray:
    return np.repeat([f"{d:03d}" for d in range(count)], rows)


def test_an_equal_model_is_rarely_rejected_however_often_one_looks() -> None:
    random = np.random.default_rng(0)
    rejected = sum(
        worse_than(days(10, 200), random.choice([-0.2, 0.2], 2000), margin=0.005).rejects(0.05) for _ in range(200)
    )
    assert rejected / 200 <= 0.05


def test_a_clearly_worse_model_is_rejected_on_its_first_full_day() -> None:
    random = np.random.default_rng(1)
    evidence = worse_than(days(1, 900), random.normal(0.03, 0.14, 900).clip(-1, 1), margin=0.005)
    assert evidence.full_days == 1
    assert evidence.rejects(0.05)


def test_nothing_is_concluded_before_a_full_day() -> None:
    evidence = worse_than(days(3, 50), np.full(150, 0.9), margin=0.005, min_rows_per_day=100)
    assert evidence.full_days == 0
    assert not evidence.rejects(0.05)


def test_a_worse_model_leaves_more_evidence_than_a_better_one() -> None:
    noise = np.random.default_rng(2).normal(0, 0.1, 500).clip(-0.5, 0.5)
    lanes = [worse_than(days(5, 100), noise + shift, margin=0.005).fast for shift in (0.0, 0.02, 0.05, 0.1)]
    assert lanes == sorted(lanes)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=200))
def test_the_wealth_is_never_lost_altogether(differences: list[float]) -> None:
    assert np.isfinite(log_wealth(np.array(differences) - 0.005, 1.005)).all()


@given(st.lists(st.floats(-1, 0.004), min_size=1, max_size=200))
def test_a_model_that_is_never_worse_by_the_margin_leaves_no_evidence(differences: list[float]) -> None:
    assert (log_wealth(np.array(differences) - 0.005, 1.005) <= 1e-12).all()


def test_the_first_bet_is_zero_because_nothing_is_known() -> None:
    assert log_wealth(np.array([1.0]), 1.005)[0] == pytest.approx(0.0)
