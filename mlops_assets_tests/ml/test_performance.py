"""Promises of the monitors of loss: a storm is not a broken model, and a broken model is one."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml import metrics, performance
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.references import DriftReference, Spread
from mlops_assets_tests.ml.made_rows import MONITORING, day_of, made_rows

ABOUT = Subject(day=day_of(48), champion_version=3)


@pytest.fixture(scope="module")
def week(scorer: Scorer) -> pd.DataFrame:
    rows = made_rows(days=7, first=42, seed=101)
    return rows.assign(score=scorer.score(rows))


def broken(rows: pd.DataFrame) -> pd.DataFrame:
    """What a model trained on 30 % inverted labels answers."""
    return rows.assign(score=0.3 + 0.4 * rows["score"])


def judge(reference: DriftReference, rows: pd.DataFrame) -> Judgement:
    return performance.performance(ABOUT, reference, rows, label="is_late")


def test_a_good_week_is_quiet_and_a_broken_model_is_not(reference: DriftReference, week: pd.DataFrame) -> None:
    assert judge(reference, week).verdict is Verdict.OK
    assert judge(reference, broken(week)).verdict is Verdict.ALARM


def test_a_day_without_outcomes_is_unknown(reference: DriftReference, week: pd.DataFrame) -> None:
    assert judge(reference, week[week["day"] < ABOUT.day]).verdict is Verdict.UNKNOWN
    assert judge(reference, week.iloc[:0]).verdict is Verdict.UNKNOWN


def test_only_spans_whose_days_all_have_outcomes_are_judged(reference: DriftReference, week: pd.DataFrame) -> None:
    two_days = judge(reference, week[week["day"] >= day_of(47)])
    assert "regret_1" in two_days.numbers
    assert "regret_3" not in two_days.numbers
    assert "regret_7" in judge(reference, week).numbers


def test_a_hard_day_for_every_model_is_no_alarm(reference: DriftReference, week: pd.DataFrame) -> None:
    """The labels of one day are shuffled: nobody could have known, and the simple model loses as much."""
    last = week["day"] == ABOUT.day
    shuffled = week.loc[last, "is_late"].sample(frac=1, random_state=2).to_numpy()
    labels = week["is_late"].to_numpy().copy()
    labels[last.to_numpy()] = shuffled
    hard = judge(reference, week.assign(is_late=labels))
    easy = judge(reference, week)
    assert hard.numbers["log_loss"] > easy.numbers["log_loss"] + 0.05  # type: ignore[operator]
    assert hard.verdict is Verdict.OK, hard.reason


def test_the_estimate_of_calibrated_scores_is_what_comes_true(reference: DriftReference) -> None:
    random = np.random.default_rng(4)
    scores = random.beta(2, 5, 50_000)
    labels = (random.random(50_000) < scores).astype(float)
    estimate = performance.estimated_performance(ABOUT, reference, scores).numbers
    assert estimate["log_loss"] == pytest.approx(metrics.log_losses(scores, labels).mean(), abs=0.01)
    assert estimate["auc"] == pytest.approx(metrics.auc(scores, labels), abs=0.01)


def test_the_estimate_speaks_of_answers_that_are_all_unsure_and_of_nothing_without_answers(
    reference: DriftReference,
) -> None:
    steady = replace(reference.facts.outcomes, expected_log_loss=Spread(mean=0.45, deviation=0.09, days=14))
    steadier = replace(reference, facts=replace(reference.facts, outcomes=steady))
    assert performance.estimated_performance(ABOUT, steadier, np.full(500, 0.5)).verdict is Verdict.ALARM
    assert performance.estimated_performance(ABOUT, steadier, np.full(500, 0.2)).verdict is Verdict.OK
    assert performance.estimated_performance(ABOUT, reference, np.full(5, 0.5)).verdict is Verdict.UNKNOWN


def against(rows: pd.DataFrame, predecessor: pd.Series) -> Judgement:
    paired = rows.assign(predecessor_score=predecessor)
    return performance.predecessor_regret(ABOUT, paired, MONITORING, label="is_late", alpha=0.05)


def test_a_bad_champion_is_found_worse_than_its_predecessor_and_an_equal_one_is_not(week: pd.DataFrame) -> None:
    assert against(broken(week), week["score"]).verdict is Verdict.ALARM
    assert against(week, week["score"]).verdict is Verdict.OK
    assert against(week, broken(week)["score"]).verdict is Verdict.OK


def test_two_bad_days_do_not_outweigh_the_days_before_the_promotion(week: pd.DataFrame) -> None:
    last = sorted(week["day"].unique())[-2]
    way = week[week["day"] < last].assign(predecessor_score=broken(week)["score"])
    bad = week[week["day"] >= last].assign(score=lambda rows: np.where(rows["is_late"] > 0.5, 0.05, 0.95))
    rows = bad.assign(predecessor_score=week["score"][bad.index])
    facts = {"label": "is_late", "alpha": 0.05}
    alone, after = (
        performance.predecessor_regret(ABOUT, rows, replace(MONITORING, rollback_min_rows=50), before=before, **facts)
        for before in (None, way)
    )
    assert (alone.verdict, after.verdict) == (Verdict.ALARM, Verdict.OK)
    assert (alone.rows, after.rows) == (len(rows), len(week))


def test_no_verdict_rests_on_the_way_to_the_promotion_alone(week: pd.DataFrame) -> None:
    rows = broken(week).assign(predecessor_score=week["score"])
    told = performance.predecessor_regret(ABOUT, rows.iloc[:0], MONITORING, label="is_late", alpha=0.05, before=rows)
    assert told.verdict is Verdict.UNKNOWN


def test_too_few_rows_since_the_promotion_are_unknown(week: pd.DataFrame) -> None:
    few = broken(week).iloc[:150]
    assert against(few, week["score"].iloc[:150]).verdict is Verdict.UNKNOWN


def test_regret_grows_with_how_much_worse_the_champion_is(week: pd.DataFrame) -> None:
    shares = (0.0, 0.2, 0.5, 1.0)
    mixes = [week.assign(score=(1 - s) * week["score"] + s * broken(week)["score"]) for s in shares]
    found = [against(mix, week["score"]).numbers["brier_difference"] for mix in mixes]
    assert found == sorted(found)  # type: ignore[type-var]


def test_the_challenger_regret_is_the_champions_loss(week: pd.DataFrame) -> None:
    rows = week.assign(challenger_score=broken(week)["score"])
    wins = performance.challenger_regret(ABOUT, rows, label="is_late", margin=0.005)
    swapped = rows.assign(score=rows["challenger_score"], challenger_score=rows["score"])
    loses = performance.challenger_regret(ABOUT, swapped, label="is_late", margin=0.005)
    assert (wins.verdict, loses.verdict) == (Verdict.OK, Verdict.ALARM)
    assert wins.numbers["brier_difference"] == pytest.approx(-loses.numbers["brier_difference"])  # type: ignore[operator]
    nothing = performance.challenger_regret(ABOUT, rows.iloc[:0], label="is_late", margin=0.005)
    assert nothing.verdict is Verdict.UNKNOWN


def test_a_model_that_was_bad_when_it_was_trained_sets_itself_no_bad_standard(
    reference: DriftReference, week: pd.DataFrame
) -> None:
    used_to_it = replace(
        reference.facts.outcomes,
        regret=Spread(mean=0.2, deviation=0.1, days=7),
        gap=Spread(mean=0.18, deviation=0.05, days=7),
    )
    lenient = replace(reference, facts=replace(reference.facts, outcomes=used_to_it))
    assert judge(lenient, broken(week)).verdict is Verdict.ALARM


def test_a_world_in_which_others_are_late_is_seen_though_the_simple_model_fails_as_well(
    reference: DriftReference, scorer: Scorer
) -> None:
    random = np.random.default_rng(5)
    many = made_rows(days=7, first=42, seed=101, rows=900)
    week = many.assign(score=scorer.score(many))
    elsewhere = week.assign(is_late=week.groupby("day")["is_late"].transform(random.permutation))
    judgement = judge(reference, elsewhere)
    assert judgement.verdict is Verdict.ALARM
    assert "calibration slope" in judgement.reason
    assert judge(reference, week).numbers["slope_7"] > judgement.numbers["slope_7"]  # type: ignore[operator]


def test_a_reference_from_before_slopes_were_taken_still_judges(reference: DriftReference, week: pd.DataFrame) -> None:
    before = replace(reference, facts=replace(reference.facts, outcomes=replace(reference.facts.outcomes, slope=None)))
    assert judge(before, week).verdict is Verdict.OK
