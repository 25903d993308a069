"""One contract for both drift engines: the same statistics under two licences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.drift_engines import DriftEngine, UnknownEngine, drift_engine

NAMES = ("alibi-detect", "scipy")
SINGLE_PRECISION = 1e-5
"""alibi-detect reports float32."""


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> DriftEngine:
    return drift_engine(request.param)


def samples(seed: int, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=400), random.normal(size=300) + shift


def codes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 5, 400).astype(float), random.integers(1, 7, 300).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_both_engines_give_the_same_statistics(seed: int) -> None:
    alibi, scipy = (drift_engine(name) for name in NAMES)
    assert alibi.kolmogorov_smirnov(*samples(seed)) == pytest.approx(
        scipy.kolmogorov_smirnov(*samples(seed)), abs=SINGLE_PRECISION
    )
    assert alibi.chi_square(*codes(seed)) == pytest.approx(scipy.chi_square(*codes(seed)), rel=SINGLE_PRECISION)


VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32))
"""Many ties, and few; single precision, for alibi-detect compares no finer."""
NUMBERS = st.lists(VALUES, min_size=1, max_size=60).map(np.array)
CODES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=60).map(np.array)


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_both_engines_are_equally_far_apart_on_any_numbers(reference: np.ndarray, current: np.ndarray) -> None:
    """``distance`` is all that monitors ask an engine for: of values, of residuals, of scores."""
    alibi, scipy = (drift_engine(name).distance("number", reference, current) for name in NAMES)
    assert alibi == pytest.approx(scipy, abs=SINGLE_PRECISION)
    assert -SINGLE_PRECISION <= scipy <= 1 + SINGLE_PRECISION


@settings(deadline=None)
@given(CODES, CODES)
def test_both_engines_are_equally_far_apart_on_any_categories(reference: np.ndarray, current: np.ndarray) -> None:
    """Codes that one sample does not have, two codes (corrected after Yates), one code."""
    alibi, scipy = (drift_engine(name).distance("category", reference, current) for name in NAMES)
    assert alibi == pytest.approx(scipy, abs=SINGLE_PRECISION)
    assert -SINGLE_PRECISION <= scipy <= 1 + SINGLE_PRECISION


def test_a_sample_has_no_distance_from_itself(engine: DriftEngine) -> None:
    numbers, categories = samples(0)[0], codes(0)[0]
    assert engine.distance("number", numbers, numbers) == 0
    assert engine.distance("category", categories, categories) == pytest.approx(0, abs=SINGLE_PRECISION)


def test_the_distance_is_symmetric_and_grows_with_the_shift(engine: DriftEngine) -> None:
    distances = [engine.distance("number", *samples(1, shift)) for shift in (0.0, 0.5, 1.0, 5.0)]
    assert distances == sorted(distances)
    assert distances[-1] <= 1
    left, right = codes(2)
    assert engine.distance("category", left, right) == pytest.approx(engine.distance("category", right, left), rel=1e-6)


def test_a_category_that_is_in_neither_or_in_one_sample_only_is_no_obstacle(engine: DriftEngine) -> None:
    assert engine.distance("category", np.zeros(50), np.zeros(50)) == 0
    assert engine.distance("category", np.zeros(50), np.ones(50)) > 0.9


def test_an_engine_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(UnknownEngine, match="evidently"):
        drift_engine("evidently")
