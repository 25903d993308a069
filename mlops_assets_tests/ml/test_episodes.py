"""Promises of episodes: what says the same again is no news, and a verdict given again remembers the first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Verdict
from mlops_assets.ml.episodes import episode, revised
from mlops_assets_tests.ml.made_rows import day_of, judged

OK, ALARM, UNKNOWN = Verdict.OK, Verdict.ALARM, Verdict.UNKNOWN
VERDICTS = st.sampled_from(list(Verdict))


def run(*verdicts: Verdict, version: int = 1) -> list:
    return [judged("performance", day_of(n), verdict, version) for n, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("verdicts", "days"),
    [
        ((OK, ALARM, ALARM), [1, 2]),
        ((ALARM, OK, ALARM), [2]),
        ((ALARM, UNKNOWN, ALARM), [0, 2]),
        ((ALARM, ALARM, OK), []),
        ((ALARM, ALARM, UNKNOWN), []),
        ((), []),
    ],
)
def test_an_episode_is_the_alarms_in_a_row_and_a_day_without_a_verdict_does_not_end_it(verdicts, days):
    last = day_of(max(len(verdicts) - 1, 0))
    assert episode(run(*verdicts), "performance", 1, last) == [day_of(n) for n in days]


def test_alarms_about_another_champion_or_by_another_monitor_are_other_episodes():
    alarms = run(ALARM, ALARM, ALARM)
    assert episode(alarms, "performance", 2, day_of(2)) == []
    assert episode(alarms, "data_drift", 1, day_of(2)) == []
    mixed = [replace(alarms[0], champion_version=7), *alarms[1:]]
    assert episode(mixed, "performance", 1, day_of(2)) == [day_of(1), day_of(2)]
    assert episode(mixed, "performance", None, day_of(2)) == [day_of(0), day_of(1), day_of(2)]


def test_later_days_do_not_change_what_an_earlier_day_s_episode_was():
    assert episode(run(ALARM, ALARM, OK), "performance", 1, day_of(1)) == [day_of(0), day_of(1)]


def test_a_first_verdict_is_no_revision_and_the_same_one_again_is_none_either():
    first = judged("performance", day_of(0), ALARM)
    assert revised(first, None).revised_from is None
    assert revised(first, first).revised_from is None


def test_another_verdict_tells_of_the_first_and_keeps_telling():
    first, second = judged("performance", day_of(0), ALARM), judged("performance", day_of(0), OK)
    kept = revised(second, first)
    assert kept.revised_from is ALARM
    assert revised(second, kept).revised_from is ALARM
    assert revised(first, kept).revised_from is OK


@given(st.lists(VERDICTS, min_size=1, max_size=6))
def test_a_revision_is_never_from_the_verdict_itself(verdicts):
    kept = None
    for verdict in verdicts:
        kept = revised(judged("performance", day_of(0), verdict), kept)
        assert kept.verdict is verdict
        assert kept.revised_from is not verdict
