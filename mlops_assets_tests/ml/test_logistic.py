"""Promises of the logistic family: what ONNX computes is what scikit-learn fitted, and a missing value says nothing."""

import numpy as np
import onnx
import pytest

from mlops_assets.ml.engines import EngineError
from mlops_assets.ml.logistic import fit_coefficients, fit_design, to_onnx
from mlops_assets.ml.matrices import rows_of, with_levels
from mlops_assets.ml.onnx_engine import OnnxEngine
from mlops_assets_tests.ml.made_rows import FEATURES, made_rows


@pytest.fixture(scope="module")
def made():
    """Rows, design, scikit-learn's model, and its ONNX bytes."""
    frame = made_rows(days=20)
    features = with_levels(FEATURES, frame)
    rows = rows_of(frame.assign(carrier=frame["carrier"].mask(frame.index % 7 == 0)), features, "is_late")
    design = fit_design(rows.matrix, features)
    model = fit_coefficients(design.columns(rows.matrix), rows.labels, {"C": 0.1})
    return rows, design, model, to_onnx(design, model.coef_[0], float(model.intercept_[0]))


def test_onnx_is_scikit_learn_to_fifteen_digits(made) -> None:
    rows, design, model, content = made
    wanted = model.predict_proba(design.columns(rows.matrix))[:, 1]
    scores = OnnxEngine(content, features=4).predict(rows.matrix)
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-14)


def test_far_tails_keep_their_digits(made) -> None:
    _, design, model, _ = made
    content = to_onnx(design, model.coef_[0] * 20, -30.0)
    engine = OnnxEngine(content, features=4)
    values = np.array([[-9.0, -9.0, -9.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    margins = engine.contributions(values).sum(axis=1)
    np.testing.assert_allclose(engine.predict(values), 1 / (1 + np.exp(-margins)), rtol=1e-14)


def test_every_number_in_the_graph_is_float64(made) -> None:
    graph = onnx.load_from_string(made[3]).graph
    floats = {t.data_type for t in graph.initializer} - {onnx.TensorProto.INT64}
    assert floats == {onnx.TensorProto.DOUBLE}
    onnx.checker.check_model(onnx.load_from_string(made[3]), full_check=True)


def test_a_missing_category_adds_nothing_and_a_contribution_is_coefficient_times_value(made) -> None:
    rows, design, model, content = made
    engine = OnnxEngine(content, features=4)
    missing = rows.matrix.copy()
    missing[:, 3] = np.nan
    assert not engine.contributions(missing)[:, 3].any()
    terms = design.columns(rows.matrix) * model.coef_[0]
    told = engine.contributions(rows.matrix)
    for feature in range(4):
        np.testing.assert_allclose(told[:, feature], terms[:, design.owners == feature].sum(axis=1), atol=1e-12)
    np.testing.assert_array_equal(told[:, 4], float(model.intercept_[0]))


def test_the_columns_have_mean_zero_in_training(made) -> None:
    rows, design, _, _ = made
    columns = design.columns(rows.matrix)
    assert np.abs(columns.mean(axis=0)).max() < 0.01
    assert np.abs(columns[:, : len(design.numbers)]).max() <= 4.0


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\x08\x09"])
def test_bytes_that_are_no_model_are_refused(damage: bytes) -> None:
    with pytest.raises(EngineError):
        OnnxEngine(damage, features=4)


def test_a_model_of_another_width_is_refused(made) -> None:
    with pytest.raises(EngineError, match="eats"):
        OnnxEngine(made[3], features=5)
