"""Promises of the explanations."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.explanation_plots import importance_plot
from mlops_assets.ml.explanations import contributions, explain
from mlops_assets.ml.models import Scorer


def test_contributions_and_the_expected_value_add_up_to_the_log_odds(scorer: Scorer, history: pd.DataFrame) -> None:
    rows = history.iloc[:200]
    scores = scorer.score(rows)
    np.testing.assert_allclose(contributions(scorer, rows).sum(axis=1), np.log(scores / (1 - scores)), atol=1e-9)


def test_the_feature_that_decides_the_label_leads(scorer: Scorer, history: pd.DataFrame) -> None:
    explanations = explain(scorer, history)
    assert next(iter(explanations.mean_contribution)) == "delay"
    assert list(explanations.mean_contribution.values()) == sorted(
        explanations.mean_contribution.values(), reverse=True
    )
    assert explanations.rows == 2000
    assert importance_plot(explanations).startswith(b"\x89PNG")


def test_nothing_to_explain_is_an_error(scorer: Scorer, history: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no rows"):
        explain(scorer, history.iloc[:0])
