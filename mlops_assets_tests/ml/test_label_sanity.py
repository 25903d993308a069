"""Labels against departures: what is said of good days, of few inverted labels, and of a day after good ones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.label_sanity import label_sanity, log_ratios
from mlops_assets.ml.monitoring import Subject

ABOUT = Subject(day="2013-04-03", champion_version=1)


def outcomes(contradictions: int, minutes: float, rows: int = 100, day: str = "2013-04-03") -> pd.DataFrame:
    labels = np.r_[np.zeros(contradictions), np.ones(rows - contradictions), np.zeros(500)]
    return pd.DataFrame({"day": day, "is_late": labels, "dep_delay": np.r_[np.full(rows, minutes), np.zeros(500)]})


def said(*days: pd.DataFrame) -> Judgement:
    return label_sanity(ABOUT, pd.concat(days), label="is_late")


@pytest.mark.parametrize(
    ("contradictions", "minutes", "verdict"),
    [(0, 95, Verdict.OK), (1, 95, Verdict.OK), (2, 95, Verdict.ALARM), (3, 61, Verdict.OK), (10, 61, Verdict.ALARM)],
)
def test_it_speaks_when_late_departures_arrive_in_time_sooner_the_later_they_left(
    contradictions: int, minutes: float, verdict: Verdict
) -> None:
    found = said(outcomes(contradictions, minutes))
    assert found.verdict is verdict, found.reason
    assert found.numbers["contradictions"] == contradictions
    assert (found.numbers["log_odds"] > found.numbers["limit"]) is (verdict is Verdict.ALARM)


def test_a_bad_day_is_told_though_the_days_before_it_were_good() -> None:
    good = [outcomes(0, 95, rows=300, day=f"2013-04-0{n}") for n in (1, 2)]
    assert said(*good).verdict is Verdict.OK
    bad = said(*good, outcomes(3, 80))
    assert bad.verdict is Verdict.ALARM
    assert bad.numbers["log_odds"] == pytest.approx(said(outcomes(3, 80)).numbers["log_odds"])


def test_what_no_day_tells_alone_three_days_tell_together() -> None:
    days = [outcomes(4, 65, rows=40, day=f"2013-04-0{n}") for n in (1, 2, 3)]
    assert [said(day).verdict for day in days] == [Verdict.OK] * 3
    assert said(*days).verdict is Verdict.ALARM


def test_one_mistyped_row_of_a_calm_day_is_no_alarm() -> None:
    (one, two) = (said(outcomes(n, 95, rows=12)) for n in (1, 2))
    assert one.numbers["log_odds"] > one.numbers["limit"]
    assert (one.verdict, two.verdict) == (Verdict.OK, Verdict.ALARM)


def test_it_knows_nothing_on_a_calm_day() -> None:
    calm = said(outcomes(0, 95, rows=9))
    assert (calm.verdict, calm.reason) == (Verdict.UNKNOWN, "only 9 rows have dep_delay > 60")


@given(st.floats(60.1, 500), st.booleans())
def test_a_contradiction_speaks_for_inverted_labels_and_everything_else_against(minutes: float, wrong: bool) -> None:
    (ratio,) = log_ratios(np.array([minutes]), np.array([wrong]))
    assert bool(ratio > 0) is wrong
