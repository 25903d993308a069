"""Promises of the monitor of attribution: clean weeks are quiet, and a feature that the model leans on is missed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Judgement, Verdict, from_json, to_json
from mlops_assets.ml.attribution_drift import attribution_drift
from mlops_assets.ml.attribution_reference import (
    ROWS_A_DAY,
    AttributionReference,
    DayAttributions,
    attributions_of,
    distance,
    fit_attributions,
    shares_of,
)
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.monitoring import Subject
from mlops_assets_tests.ml.made_rows import day_of, made_rows

ABOUT = Subject(day=day_of(48), champion_version=3)


@pytest.fixture(scope="module")
def normal(scorer: Scorer, history: pd.DataFrame) -> AttributionReference:
    return fit_attributions(scorer, history)


def explained(scorer: Scorer, rows: pd.DataFrame) -> list[DayAttributions]:
    return [attributions_of(scorer, part, str(day), 3) for day, part in rows.groupby("day")]


def judge(normal: AttributionReference | None, days: list[DayAttributions]) -> Judgement:
    return attribution_drift(ABOUT, normal, days)


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_week_is_quiet(normal: AttributionReference, scorer: Scorer, seed: int) -> None:
    told = judge(normal, explained(scorer, made_rows(days=7, first=42, seed=200 + seed)))
    assert told.verdict is Verdict.OK, told.reason
    assert told.rows == 7 * ROWS_A_DAY


def test_a_feature_that_stands_still_is_missed_before_any_outcome(normal: AttributionReference, scorer: Scorer) -> None:
    frozen = made_rows(days=7, first=42, seed=201).assign(delay=0.0)
    told = judge(normal, explained(scorer, frozen))
    assert told.verdict is Verdict.ALARM
    assert "delay" in told.reason
    assert told.numbers["distance"] > told.numbers["limit"]  # type: ignore[operator]
    assert told.numbers["moved delay"] < 0  # type: ignore[operator]


def test_without_a_reference_or_a_whole_week_nothing_is_said(normal: AttributionReference, scorer: Scorer) -> None:
    days = explained(scorer, made_rows(days=7, first=42, seed=202))
    old = judge(None, days)
    assert old.verdict is Verdict.UNKNOWN
    assert "from before attributions were kept" in old.reason
    assert judge(normal, days[1:]).verdict is Verdict.UNKNOWN
    assert judge(normal, []).verdict is Verdict.UNKNOWN


def test_the_limit_lies_above_every_clean_week(normal: AttributionReference) -> None:
    assert 0 < max(normal.clean_distances) < normal.limit
    assert sum(normal.shares.values()) == pytest.approx(1)


def test_a_reference_survives_its_json(normal: AttributionReference) -> None:
    assert from_json(AttributionReference, to_json(normal)) == normal


def test_too_few_days_are_refused_in_words(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="10 days of training rows"):
        fit_attributions(scorer, made_rows(days=10))


SHARES = st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 10), min_size=1)


def of(sizes: dict[str, float]) -> dict[str, float]:
    return shares_of([DayAttributions(day="2013-01-01", version=1, rows=1, sizes=sizes)])


@given(SHARES, SHARES)
def test_a_distance_is_symmetric_within_its_bounds_and_zero_for_the_same(left: dict, right: dict) -> None:
    mine, other = of(left), of(right)
    assert distance(mine, mine) == 0
    assert distance(mine, other) == pytest.approx(distance(other, mine))
    assert -1e-12 <= distance(mine, other) <= 1 + 1e-12


def test_versions_without_a_common_feature_are_as_far_apart_as_can_be() -> None:
    assert distance({"a": 1.0}, {"b": 1.0}) == 1.0


def test_every_day_of_a_week_counts_alike_however_many_rows_were_explained() -> None:
    days = [DayAttributions(day=day_of(n), version=1, rows=rows, sizes=sizes)
            for n, (rows, sizes) in enumerate([(20, {"a": 1.0, "b": 0.0}), (2, {"a": 0.0, "b": 1.0})])]  # fmt: skip
    assert shares_of(days) == {"a": 0.5, "b": 0.5}
    assert np.isclose(sum(shares_of(days).values()), 1)
