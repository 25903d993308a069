"""Promises of episodes: what says the same again is no news, and a verdict given again remembers the first."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Action, Arm, Transition, Verdict
from mlops_assets.ml.episodes import episode, left_on, revised
from mlops_assets.ml.policy import Situation, decide
from mlops_assets.ml.tenures import as_judged, holders
from mlops_assets_tests.ml.made_rows import MONITORING, day_of, judged

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


def line(number: int, version: int, kind: str, to_arm: str | None, on: int, event: str = "") -> Transition:
    return Transition(
        event_id=event or f"{kind}/{version}/{number}", at=f"2026-01-01T00:00:{number:02d}.000000Z", day=day_of(on),
        model="m", version=version, digest=f"d{version}", from_arm=None if to_arm else Arm.CHAMPION, to_arm=to_arm,
        kind=kind, by="asset:x", reason="so",
    )  # fmt: skip


ROLLED_BACK = f"decision/{day_of(5)}/roll_back/2/restored/version-1"
HISTORY = [
    line(1, 1, "promoted", "champion", 0),
    line(2, 2, "promoted", "champion", 3),
    line(3, 1, "restored", "champion", 5, ROLLED_BACK),
    line(4, 2, "rolled_back", None, 5),
    line(5, 3, "promoted", "champion", 9),
]


@pytest.mark.parametrize(
    ("day", "judged_about", "champion"),
    [(5, 2, 2), (5, None, 1), (4, 2, 2), (4, None, 2), (2, 1, 1), (8, 1, 1), (9, 1, 1), (9, None, 3), (0, None, 1)],
)
def test_a_day_judged_again_meets_the_champion_that_its_verdict_was_about(day, judged_about, champion):
    then = as_judged(HISTORY, day_of(day), judged_about)
    assert holders(then)[Arm.CHAMPION].version == champion
    assert {one.version for one in then} <= {1, 2, 3}


def test_a_version_that_was_no_champion_by_then_changes_nothing():
    assert as_judged(HISTORY, day_of(4), 3) == as_judged(HISTORY, day_of(4), None)


def test_a_champion_that_left_is_told_with_its_day_but_not_when_the_day_s_own_decision_took_it_out():
    first, second = HISTORY[0], HISTORY[1]
    assert left_on(HISTORY, second, day_of(5)) is None
    assert left_on(HISTORY, second, day_of(4)) == day_of(5)
    assert left_on(HISTORY, first, day_of(1)) == day_of(3)
    assert left_on(HISTORY, HISTORY[-1], day_of(9)) is None
    assert left_on(HISTORY, None, day_of(9)) is None


def test_nothing_is_done_to_a_champion_that_left_but_broken_data_is_held_all_the_same():
    day = day_of(20)
    facts = {"day": day, "champion_version": 1, "champion_since": day_of(18), "predecessor_version": 7}
    breach = Situation(judgements=(judged("predecessor_regret", day),), **facts)
    assert decide(breach, MONITORING).action is Action.ROLL_BACK
    made = decide(replace(breach, champion_left=day_of(21)), MONITORING)
    assert made.action is Action.WATCH
    assert made.reason.startswith(f"version 1 was replaced on {day_of(21)}; wanted: roll_back")
    broken = Situation(judgements=(judged("data_contract", day),), champion_left=day_of(21), **facts)
    assert decide(broken, MONITORING).action is Action.HOLD
