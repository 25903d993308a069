"""Every picture is a PNG, also where numbers are missing."""

import sys

import numpy as np
import pytest

from mlops_assets.contracts import Verdict
from mlops_assets.ml import plots
from mlops_assets.ml.explanation_plots import importance_plot
from mlops_assets.ml.explanations import Explanations
from mlops_assets_tests.ml.made_rows import day_of, judged

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.random(200)
HISTORY = [
    judged("data_drift", day_of(0), Verdict.OK, numbers={"score": 0.1, "limit": 0.2}),
    judged("data_drift", day_of(1), Verdict.UNKNOWN),
    judged("data_drift", day_of(2), Verdict.ALARM, numbers={"score": None, "limit": 0.2}),
]
PICTURES = {
    "importance": lambda: importance_plot(Explanations(mean_contribution={"a": 1.0}, expected_value=0, rows=1)),
    "drift": lambda: plots.drift_plot({"a": 2.0, "b": -1.0}, "a week"),
    "calibration": lambda: plots.calibration_plot(SCORES, (RANDOM.random(200) < SCORES).astype(float)),
    "training": lambda: plots.training_plot([0.6, 0.5, 0.55], 2),
    "history": lambda: plots.history_plot(HISTORY, "score", "limit"),
    "history of nothing": lambda: plots.history_plot([], "score"),
}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_a_png_drawn_without_a_display(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # None in its place: whoever imports it now is told that there is no such module.
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert PICTURES[name]().startswith(b"\x89PNG")
