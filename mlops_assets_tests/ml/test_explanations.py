"""Promises of the explanations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Slice, from_json, to_json
from mlops_assets.ml import explanation_plots
from mlops_assets.ml.explanation_plots import beeswarm_plot, dependence_plot, importance_plot
from mlops_assets.ml.explanations import (
    AttributionDrift,
    Explanations,
    attribute,
    compared,
    contributions,
    explain,
    summarize,
)
from mlops_assets.ml.matrices import matrix
from mlops_assets.ml.models import Scorer, make_bundle, train
from mlops_assets_tests.ml.made_rows import FEATURES, NAMES, TRAINING


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


def test_the_largest_still_leads_after_a_way_through_json() -> None:
    drift = AttributionDrift(
        against_version=1, distance=0.3, limit=0.1, moved={"delay": (0.2, 0.6), "carrier": (0.1, 0.0)}
    )
    kept = Explanations(
        mean_contribution={"wind": 0.9, "delay": 0.5, "carrier": 0.1},
        expected_value=-1.2,
        rows=2000,
        slices={"carrier=UA": {"wind": 0.6, "carrier": 0.1}},
        drift=drift,
    )
    read = from_json(Explanations, to_json(kept))
    assert list(read.mean_contribution) == ["wind", "delay", "carrier"]
    assert list(read.slices["carrier=UA"]) == ["wind", "carrier"]
    assert read.drift is not None
    assert list(read.drift.moved) == ["delay", "carrier"]


def test_nothing_to_explain_is_an_error(scorer: Scorer, history: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no rows"):
        explain(scorer, history.iloc[:0])


def test_the_values_are_those_of_the_shap_library(
    scorer: Scorer, bundle: dict[str, bytes], history: pd.DataFrame
) -> None:
    import lightgbm
    import shap

    rows = history.iloc[::97]
    booster = lightgbm.Booster(model_str=bundle["model.txt"].decode())
    explainer = shap.TreeExplainer(booster)
    values = explainer.shap_values(matrix(rows, scorer.signature.features))
    positive = values[1] if isinstance(values, list) else values
    ours = scorer.contributions(rows)
    np.testing.assert_allclose(ours[:, :-1], positive, atol=1e-12)
    np.testing.assert_allclose(ours[:, -1], np.ravel(explainer.expected_value)[-1], atol=1e-12)


def test_the_values_are_those_of_shaps_own_algorithm(history: pd.DataFrame) -> None:
    """The library hands LightGBM's values through; here its own C++ code walks the trees (it knows no categories)."""
    import lightgbm
    import shap

    numeric = FEATURES[:3]
    trained = train(history, TRAINING, numeric, **NAMES)
    service = {"feature_service": "s", "feature_service_digest": "0", "request_fields": (), "views": ()}
    made = make_bundle(trained, model="m", **NAMES, **service, transformations=())
    ours, rows = Scorer(made), history.iloc[::97]
    explainer = shap.TreeExplainer(lightgbm.Booster(model_str=made["model.txt"].decode()))
    explainer.model.model_type = "internal"
    values = np.asarray(explainer.shap_values(matrix(rows, numeric), check_additivity=False))
    np.testing.assert_allclose(ours.contributions(rows)[:, :-1], values.reshape(len(rows), 3), atol=1e-6)


def test_a_version_against_itself_has_not_moved(scorer: Scorer, history: pd.DataFrame) -> None:
    rows = attribute(scorer, history)
    drift = compared(summarize(rows), rows, rows, 1).drift
    assert drift is not None
    assert (drift.distance, dict(drift.moved), drift.drifted) == (0.0, {}, False)
    assert drift.limit > 0


def test_a_model_that_decides_by_other_features_is_told_with_the_features(
    scorer: Scorer, history: pd.DataFrame
) -> None:
    swapped = history.assign(delay=history["wind"].to_numpy(), wind=history["delay"].to_numpy())
    other = Scorer(bundle_of_rows(swapped))
    mine, theirs = attribute(other, history), attribute(scorer, history)
    drift = compared(summarize(mine), mine, theirs, 1).drift
    assert drift is not None
    assert drift.drifted
    assert set(drift.moved) >= {"delay", "wind"}
    before, now = drift.moved["delay"]
    assert before > now


def test_a_feature_that_only_one_version_has_counts(scorer: Scorer, history: pd.DataFrame) -> None:
    mine = attribute(scorer, history)
    without = replace(mine, names=("wind", "gust", "lag", "carrier"))
    drift = compared(summarize(mine), mine, without, 1).drift
    assert drift is not None
    assert drift.moved["lag"][1] == 0.0
    assert drift.moved["delay"][0] == 0.0


def test_slices_are_explained_apart_and_pictures_repeat_to_the_byte(scorer: Scorer, history: pd.DataFrame) -> None:
    rows = attribute(scorer, history)
    told = summarize(rows, [Slice(name="carrier", column="carrier")])
    assert set(told.slices) == {"carrier=AA", "carrier=B6", "carrier=UA"}
    assert all(abs(sum(shares.values()) - 1) < 1e-9 for shares in told.slices.values())
    for draw in (beeswarm_plot, dependence_plot):
        assert draw(rows).startswith(b"\x89PNG")
        assert draw(rows) == draw(rows)


def test_zero_is_marked_on_the_axis_of_the_contributions(
    scorer: Scorer, history: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(explanation_plots, "png", drawn.append)
    explanation_plots.dependence_plot(attribute(scorer, history))
    panels = {axes.get_title(): axes for axes in drawn[0].axes}
    assert list(panels["carrier"].lines[0].get_xdata()) == [0, 0]
    assert list(panels["delay"].lines[0].get_ydata()) == [0, 0]


def bundle_of_rows(rows: pd.DataFrame) -> dict[str, bytes]:
    service = {"feature_service": "s", "feature_service_digest": "0", "request_fields": (), "views": ()}
    return make_bundle(train(rows, TRAINING, FEATURES, **NAMES), model="m", **NAMES, **service, transformations=())
