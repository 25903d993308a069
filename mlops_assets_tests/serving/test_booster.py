"""LightGBM through ctypes gives what LightGBM's own package gives, and refuses what it could read wrongly."""

import numpy as np
import pytest

from mlops_assets.ml.bundles import MODEL_FILE
from mlops_assets.ml.engines import EngineError
from mlops_assets.serving.booster import Booster, BoosterError

WIDTH = 6


@pytest.fixture(scope="module")
def text(make_bundle) -> bytes:
    return make_bundle(1)[MODEL_FILE]


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    random = np.random.default_rng(5)
    values = random.normal(size=(300, WIDTH))
    values[:, 0] = random.integers(-1, 5, size=300)
    values[random.random(size=values.shape) < 0.2] = np.nan
    return np.ascontiguousarray(values)


@pytest.mark.parametrize("trees", [1, 5, 10, 12])
def test_scores_are_bit_equal_to_the_package(text, matrix, trees):
    import lightgbm

    wanted = lightgbm.Booster(model_str=text.decode()).predict(matrix, num_iteration=trees)
    booster = Booster(text, features=WIDTH, trees=trees)
    one_by_one = np.concatenate([booster.predict(matrix[i : i + 1]) for i in range(len(matrix))])
    assert booster.predict(matrix).tobytes() == wanted.tobytes()
    assert one_by_one.tobytes() == wanted.tobytes()


def test_no_rows_give_no_scores(text):
    assert Booster(text, features=WIDTH, trees=5).predict(np.empty((0, WIDTH))).shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(WIDTH),
        np.zeros((2, WIDTH - 1)),
        np.zeros((2, WIDTH + 1)),
        np.zeros((2, WIDTH), dtype=np.float32),
        np.zeros((2, WIDTH), dtype=np.int64),
        np.zeros((2, WIDTH), order="F"),
        np.zeros((4, WIDTH))[::2],
        np.zeros((1, 2, WIDTH)),
    ],
    ids=["flat", "narrow", "wide", "float32", "int64", "fortran", "strided", "deep"],
)
def test_a_matrix_that_could_be_read_out_of_bounds_is_refused(text, wrong):
    with pytest.raises(EngineError, match="matrix must"):
        Booster(text, features=WIDTH, trees=5).predict(wrong)


@pytest.mark.parametrize(("features", "trees"), [(WIDTH + 1, 5), (WIDTH, 0), (WIDTH, 13)])
def test_a_model_that_does_not_fit_its_signature_is_refused(text, features, trees):
    with pytest.raises(BoosterError, match="signature"):
        Booster(text, features=features, trees=trees)
