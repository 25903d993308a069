"""Promises of the simple models."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml import metrics
from mlops_assets.ml.linear import fit_design, fit_each_from_the_others, fit_logistic, logistic
from mlops_assets.ml.models import TrainedModel


def test_the_logistic_model_is_calibrated_on_its_own_rows(history: pd.DataFrame, trained: TrainedModel) -> None:
    design = fit_design(history, trained.features)
    matrix, labels = design.matrix(history), history["is_late"].to_numpy(float)
    weights = fit_logistic(matrix, labels)
    scores = logistic(matrix, weights)
    assert scores.mean() == pytest.approx(labels.mean(), abs=1e-6)
    assert metrics.auc(scores, labels) > 0.7
    np.testing.assert_allclose(weights, fit_logistic(matrix, labels, steps=20), atol=1e-6)


def test_the_regressions_from_one_inverse_are_the_regressions_one_by_one(
    history: pd.DataFrame, trained: TrainedModel
) -> None:
    design = fit_design(history, trained.features)
    matrix = design.matrix(history)
    weights = fit_each_from_the_others(design, matrix.T @ matrix)
    for position in range(len(design.numbers)):
        others = np.delete(np.arange(matrix.shape[1]), position + 1)
        ridge = matrix[:, others].T @ matrix[:, others] + 100.0 * np.eye(len(others))
        alone = np.linalg.solve(ridge, matrix[:, others].T @ matrix[:, position + 1])
        np.testing.assert_allclose(weights[others, position], alone, atol=1e-8)
        assert weights[position + 1, position] == 0


def test_a_column_without_variation_and_missing_values_are_no_obstacle(
    history: pd.DataFrame, trained: TrainedModel
) -> None:
    flat = history.assign(wind=1.0, gust=np.nan)
    assert np.isfinite(fit_design(flat, trained.features).matrix(flat)).all()
