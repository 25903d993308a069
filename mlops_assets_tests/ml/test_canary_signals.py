"""A canary's errors and time beside the champion's, in the same minutes."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import CanaryStep, Release, Verdict
from mlops_assets.ml.canary_signals import BLOCKS_FOR_THE_TAIL, Signals, compare_service

RELEASE = Release(shadow_days=3, canary_steps=(CanaryStep(basis_points=500),), margin=0.005, alpha=0.05, max_days=14)
SINCE = "2026-05-01T12:00:00.000000Z"
CANARY, CHAMPION = 5, 4


def answers(
    rows: int = 900, minutes: float = 2.0, canary_ms: float = 2.0, champion_ms: float = 3.0, later_s: float = 5.0
) -> pd.DataFrame:
    """A replayed day unless told otherwise: every answer in two minutes; the canary answers one in twenty."""
    random = np.random.default_rng(3)
    at = pd.Timestamp(SINCE) + pd.to_timedelta(later_s + np.linspace(0, 60 * minutes, rows), unit="s")
    arm = np.where(np.arange(rows) % 20 == 0, "canary", "champion")
    return pd.DataFrame(
        {
            "received_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "arm": arm,
            "champion_score": 0.2,
            "champion_version": float(CHAMPION),
            "champion_took_ms": champion_ms * random.lognormal(0, 0.3, rows),
            "canary_score": 0.2,
            "canary_version": float(CANARY),
            "canary_took_ms": canary_ms * random.lognormal(0, 0.3, rows),
        }
    )


def failing(rows: pd.DataFrame, which: np.ndarray, arm: str = "canary") -> pd.DataFrame:
    """The arm has no score of these rows; whatever the canary cannot score, the champion answers."""
    gone = {f"{arm}_score": np.nan, f"{arm}_version": np.nan, f"{arm}_took_ms": np.nan}
    rows = rows.copy()
    rows.loc[which, list(gone)] = np.nan
    if arm == "canary":
        rows.loc[which, "arm"] = "champion"
    return rows


def judged(rows: pd.DataFrame) -> Signals:
    return compare_service(rows, CANARY, SINCE, RELEASE)


def test_a_canary_that_serves_as_the_champion_does_is_fine() -> None:
    found = judged(answers())
    assert found.verdict is Verdict.OK, found.reason
    assert found.numbers["canary_answers"] == 45
    assert "0 errors in 900 rows" in found.reason


@pytest.mark.parametrize(("rows", "minutes"), [(900, 2.0), (900, 1440.0)])
def test_a_slow_canary_shows_in_a_replayed_day_and_in_a_lived_one(rows: int, minutes: float) -> None:
    found = judged(answers(rows, minutes, canary_ms=40.0))
    assert found.verdict is Verdict.ALARM
    assert "its median time for the same rows in the same minutes is 13" in found.reason


def test_twice_nothing_hurts_nobody_and_ten_milliseconds_of_many_do_not_either() -> None:
    assert judged(answers(canary_ms=9.0)).verdict is Verdict.OK
    assert judged(answers(canary_ms=115.0, champion_ms=100.0)).verdict is Verdict.OK


def test_a_machine_that_is_slow_for_both_is_nobodys_fault() -> None:
    rows = answers(minutes=60)
    slow = rows["received_at"] > rows["received_at"].iloc[450]
    rows.loc[slow, ["canary_took_ms", "champion_took_ms"]] *= 50
    assert judged(rows).verdict is Verdict.OK


def test_one_hiccup_of_the_machine_is_not_the_canarys_tail() -> None:
    rows = answers(minutes=0.5)
    rows.loc[100:160, "canary_took_ms"] = 500.0
    found = judged(rows)
    assert found.numbers["p95_excess_ms"] > 10
    assert found.verdict is Verdict.OK


def test_a_tail_that_is_long_minute_after_minute_is() -> None:
    rows = answers(minutes=60)
    rows.loc[rows.index % 12 == 0, "canary_took_ms"] = 500.0
    found = judged(rows)
    assert found.numbers["blocks"] >= BLOCKS_FOR_THE_TAIL
    assert found.verdict is Verdict.ALARM
    assert "its p95 time" in found.reason


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_rows_that_only_the_canary_could_not_score_are_its_errors(share: float) -> None:
    rows = answers(later_s=90)
    found = judged(failing(rows, np.arange(900) < 900 * share))
    assert found.verdict is Verdict.ALARM
    assert f"could not score {900 * share:g} of 900 rows" in found.reason


def test_a_canary_that_never_scored_gets_a_minute_to_be_loaded() -> None:
    rows = failing(answers(minutes=0.5), np.full(900, True))
    assert judged(rows).verdict is Verdict.UNKNOWN
    assert judged(failing(answers(later_s=61), np.full(900, True))).verdict is Verdict.ALARM


def test_rows_that_nobody_could_score_are_not_the_canarys_errors() -> None:
    bad = np.arange(900) < 90
    assert judged(failing(failing(answers(), bad), bad, "champion")).verdict is Verdict.OK


def test_a_few_odd_rows_are_no_breach() -> None:
    assert judged(failing(answers(rows=200), np.isin(np.arange(200), [3, 50, 70, 90]))).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (answers(rows=60), "only 60 answers"),
        (answers().assign(arm="champion"), "it gave only 0 answers"),
        (answers().assign(canary_took_ms=np.nan), "did not tell how long"),
        (answers().iloc[:0], "only 0 answers"),
        (pd.DataFrame(), "only 0 answers"),
        (answers(later_s=-600), "only 0 answers"),
    ],
)
def test_what_is_too_thin_is_not_judged(rows: pd.DataFrame, told: str) -> None:
    found = judged(rows)
    assert found.verdict is Verdict.UNKNOWN
    assert told in found.reason


def test_answers_from_before_the_server_had_loaded_it_do_not_count() -> None:
    before = answers(minutes=0.5).assign(canary_version=3.0)
    assert judged(pd.concat([before, answers(later_s=45)])).numbers["service_rows"] == 900
