"""Promises of the week's intervals: days are the observations, and every slice is measured on its own rows."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Slice
from mlops_assets.ml.metrics import log_losses
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.performance_intervals import by_slice, slice_numbers, slice_table, week_intervals
from mlops_assets.ml.references import DriftReference
from mlops_assets_tests.ml.made_rows import day_of, made_rows

CARRIERS = (Slice(name="carrier", column="carrier"),)


@pytest.fixture(scope="module")
def week(scorer: Scorer) -> pd.DataFrame:
    rows = made_rows(days=7, rows=400, first=42, seed=101)
    return rows.assign(score=scorer.score(rows))


def test_every_measure_lies_within_its_interval(week: pd.DataFrame) -> None:
    found = week_intervals(week, label="is_late")
    for name in ("log_loss", "brier", "auc", "gap"):
        assert found[f"week_{name}_low"] < found[f"week_{name}"] < found[f"week_{name}_high"]
    losses = log_losses(week["score"].to_numpy(), week["is_late"].to_numpy(float))
    assert found["week_log_loss"] == pytest.approx(losses.mean())


def test_the_same_week_with_every_row_twice_is_as_unsure(week: pd.DataFrame) -> None:
    once, twice = (week_intervals(rows, label="is_late") for rows in (week, pd.concat([week, week])))
    for name, value in once.items():
        assert twice[name] == pytest.approx(value)


def test_one_day_has_no_interval(week: pd.DataFrame) -> None:
    found = week_intervals(week[week["day"] == day_of(48)], label="is_late")
    assert np.isfinite(found["week_log_loss"])
    assert found["week_log_loss_low"] == -np.inf


def test_a_slice_on_which_the_model_is_broken_stands_first(week: pd.DataFrame, reference: DriftReference) -> None:
    inverted = np.where(week["carrier"] == "UA", 1 - week["score"], week["score"])
    found = by_slice(week.assign(score=inverted), reference, CARRIERS, label="is_late")
    assert list(found) == ["carrier=AA", "carrier=B6", "carrier=UA"]
    assert found["carrier=UA"].regret.low > 0
    assert found["carrier=AA"].regret.mean < found["carrier=UA"].regret.mean
    assert sum(outcome.rows for outcome in found.values()) == len(week)
    table = slice_table(found).splitlines()
    assert table[2].startswith("| carrier=UA |")
    assert set(slice_numbers(found)) == {f"log_loss {name}" for name in found}


def test_slices_too_small_to_judge_are_left_out(week: pd.DataFrame, reference: DriftReference) -> None:
    few = week.groupby("carrier").head(50)
    assert by_slice(few, reference, CARRIERS, label="is_late") == {}
