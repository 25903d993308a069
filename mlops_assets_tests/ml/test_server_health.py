"""Promises of the monitor of serving: a slow model and one that cannot answer are seen, an outage is nobody's fault."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import Judgement, ServerLimits, Verdict
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.server_health import Service, of_arms, server_health, service_of
from mlops_assets_tests.ml.made_rows import day_of

ABOUT = Subject(day=day_of(10), champion_version=2)
LIMITS = ServerLimits()
HOURS = [f"{hour:02d}" for hour in range(5, 23)]


def answered(rows: int = 900, ms: float = 8.0, fallbacks: int = 0, seed: int = 0) -> pd.DataFrame:
    """A day's answers, of which the last ones are the fallback's; latencies are as skewed as real ones."""
    random = np.random.default_rng(seed)
    arm = ["champion"] * (rows - fallbacks) + ["fallback"] * fallbacks
    version = [2.0] * (rows - fallbacks) + [np.nan] * fallbacks
    latency = ms * np.exp(random.normal(0, 0.5, rows))
    ids = [f"f{number}" for number in range(rows)]
    return pd.DataFrame({"flight_id": ids, "arm": arm, "version": version, "latency_ms": latency})


def planned(rows: int = 900) -> pd.DataFrame:
    """The decisions of a day, hour after hour."""
    hours = np.repeat(HOURS, -(-rows // len(HOURS)))[:rows]
    return pd.DataFrame({"flight_id": [f"f{number}" for number in range(rows)], "hour": hours})


def served(rows: pd.DataFrame, wanted: pd.DataFrame | None = None) -> Service:
    return service_of(rows, planned() if wanted is None else wanted, "flight_id")


USUAL = [served(answered(seed=day)) for day in range(1, 8)]


def judge(today: Service, before: list[Service] | None = None) -> Judgement:
    return server_health(ABOUT, today, USUAL if before is None else before, LIMITS)


def test_days_like_those_before_are_quiet() -> None:
    for seed in range(20):
        told = judge(served(answered(seed=100 + seed)))
        assert told.verdict is Verdict.OK, told.reason
    assert "as on 7 days before this champion" in told.reason


def test_a_slow_model_is_worse_than_what_was_usual_long_before_it_breaks_the_limit() -> None:
    told = judge(served(answered(ms=80.0)))
    assert told.verdict is Verdict.ALARM
    assert "before this champion at most" in told.reason
    assert told.numbers["p95_ms"] < LIMITS.max_p95_ms  # type: ignore[operator]
    assert told.numbers["p95_ms"] > told.numbers["p95_ms_limit"]  # type: ignore[operator]


def test_what_is_still_fast_is_never_too_slow_and_was_it_slow_before_it_is_no_worse() -> None:
    fast = [served(answered(ms=0.5, seed=day)) for day in range(7)]
    assert judge(served(answered(ms=8.0)), fast).verdict is Verdict.OK
    slow = [served(answered(ms=70.0, seed=day)) for day in range(7)]
    assert judge(served(answered(ms=80.0)), slow).verdict is Verdict.OK


def test_the_limit_of_the_use_case_holds_without_anything_to_compare_with() -> None:
    told = judge(served(answered(ms=400.0)), before=[])
    assert told.verdict is Verdict.ALARM
    assert "more than the 500 ms that are allowed" in told.reason
    assert judge(served(answered(ms=80.0)), before=[]).verdict is Verdict.OK


def test_a_server_that_fell_back_is_seen_also_when_it_did_so_rarely() -> None:
    often = judge(served(answered(fallbacks=90)))
    assert often.verdict is Verdict.ALARM
    assert "the fallback gave 10.0% of the answers" in often.reason
    rarely = judge(served(answered(fallbacks=9)))
    assert rarely.verdict is Verdict.ALARM
    assert "9 of 900" in rarely.reason
    assert judge(served(answered(fallbacks=1))).verdict is Verdict.OK


def test_a_server_that_fell_back_as_often_before_is_held_to_the_limit_alone() -> None:
    before = [served(answered(fallbacks=9, seed=day)) for day in range(7)]
    assert judge(served(answered(fallbacks=10)), before).verdict is Verdict.OK
    assert judge(served(answered(fallbacks=30)), before).verdict is Verdict.ALARM


def test_decisions_without_an_answer_count_where_others_of_the_same_hours_got_one() -> None:
    refused = answered().iloc[::2]
    told = judge(served(refused))
    assert told.verdict is Verdict.ALARM
    assert "450 of 900 decisions were not answered" in told.reason
    assert judge(served(refused), before=[]).verdict is Verdict.OK


def test_hours_without_any_answer_are_an_outage_and_held_against_nobody() -> None:
    told = judge(served(answered().iloc[450:]))
    assert told.verdict is Verdict.OK
    assert told.numbers["outage_hours"] == 9
    assert "9 hours without any answer are nobody's" in told.reason


def test_a_thin_day_is_unknown_and_thin_days_before_show_nothing() -> None:
    assert judge(served(answered(rows=50))).verdict is Verdict.UNKNOWN
    assert judge(served(answered().iloc[:0])).verdict is Verdict.UNKNOWN
    thin = [served(answered(rows=50, ms=0.1))]
    assert "nothing is known of before this champion" in judge(served(answered()), thin).reason


def test_a_day_without_any_answer_of_the_champion_is_the_fallback_s() -> None:
    told = judge(served(answered(fallbacks=900)))
    assert told.verdict is Verdict.ALARM
    assert told.numbers["median_ms"] is None


def test_only_the_champion_and_the_fallback_count() -> None:
    rows = pd.DataFrame({"arm": ["champion", "champion", "canary", "fallback"], "version": [2.0, 1.0, 3.0, np.nan]})
    assert of_arms(rows, 2).index.tolist() == [0, 3]
    assert of_arms(rows).index.tolist() == [0, 1, 3]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_a_canary_s_answers_are_not_missed_after_a_clean_week(share: float) -> None:
    rows = answered()
    canary = np.arange(len(rows)) * 37 % 100 < 100 * share
    rows = rows.assign(arm=np.where(canary, "canary", rows["arm"]), version=np.where(canary, 3.0, rows["version"]))
    told = judge(service_of(of_arms(rows, 2), planned(), "flight_id", rows["flight_id"]))
    assert told.verdict is Verdict.OK, told.reason
    gone = judge(service_of(of_arms(rows, 2), planned(), "flight_id"))
    assert "decisions were not answered" in gone.reason


@pytest.mark.parametrize("slower", [1.0, 2.0, 5.0, 20.0])
def test_slower_is_never_better(slower: float) -> None:
    order = [Verdict.OK, Verdict.ALARM]
    now, later = (judge(served(answered(ms=8.0 * factor))).verdict for factor in (slower, slower * 2))
    assert order.index(now) <= order.index(later)
