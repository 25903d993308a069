"""The decision table, row by row, and that worse news never leads to a milder decision."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Action, Decision, Judgement, Verdict
from mlops_assets.ml.policy import (
    BREACHES,
    DATA_CHECKS,
    DRIFTS,
    ROLLBACK_DAYS,
    Situation,
    decide,
    due_after,
    explain,
    persistence,
)
from mlops_assets_tests.ml.made_rows import MONITORING, day_of, judged

TODAY = 20
MONITORS = (*DATA_CHECKS, *BREACHES, *DRIFTS, "label_drift", "prediction_drift", "estimated_performance")


def persistent(monitor: str, days: int = 3) -> list[Judgement]:
    return [judged(monitor, day_of(TODAY - back)) for back in range(days)]


def situation(*judgements: Judgement, **more: object) -> Situation:
    facts: dict[str, object] = {
        "champion_version": 1,
        "champion_since": day_of(TODAY - 7),
        "champion_cutoff": day_of(TODAY - 8),
        "predecessor_version": 7,
    }
    return Situation(day=day_of(TODAY), judgements=judgements, **{**facts, **more})  # type: ignore[arg-type]


def action(*judgements: Judgement, **more: object) -> Action:
    return decide(situation(*judgements, **more), MONITORING).action


def acted(what: Action, days_ago: int) -> Decision:
    return Decision(day=day_of(TODAY - days_ago), action=what, reason="made up")


def test_a_quiet_day_asks_for_nothing() -> None:
    assert action(*(judged(monitor, day_of(TODAY), Verdict.OK) for monitor in MONITORS)) is Action.NOTHING
    assert action() is Action.NOTHING


@pytest.mark.parametrize(("check", "other"), product(DATA_CHECKS, [*BREACHES, *DRIFTS]))
def test_broken_data_or_labels_hold_everything_else(check: str, other: str) -> None:
    assert action(judged(check, day_of(TODAY)), *persistent(other)) is Action.HOLD


def test_worse_than_the_predecessor_is_rolled_back_to_it() -> None:
    decision = decide(situation(judged("predecessor_regret", day_of(TODAY)), *persistent("data_drift")), MONITORING)
    assert (decision.action, decision.version, decision.target_version) == (Action.ROLL_BACK, 1, 7)
    assert decision.acts


def test_a_breach_without_a_predecessor_falls_back() -> None:
    assert action(*persistent("server_health"), predecessor_version=None) is Action.FALL_BACK


def test_trouble_after_a_clean_period_is_not_rolled_back() -> None:
    old = day_of(TODAY - ROLLBACK_DAYS - 1)
    assert action(judged("predecessor_regret", day_of(TODAY)), champion_since=old) is Action.WATCH


@pytest.mark.parametrize("monitor", DRIFTS)
def test_a_persistent_alarm_asks_for_a_challenger_once(monitor: str) -> None:
    needed, _ = persistence(monitor, MONITORING)
    assert action(judged(monitor, day_of(TODAY))) is Action.NOTHING
    assert action(*persistent(monitor, needed - 1)) is Action.NOTHING
    assert action(*persistent(monitor, needed)) is Action.RETRAIN
    assert action(*persistent(monitor), challenger_version=9) is Action.WATCH
    assert action(*persistent(monitor), decisions=(acted(Action.RETRAIN, 3),)) is Action.WATCH
    assert action(*persistent(monitor), decisions=(acted(Action.RETRAIN, 14),)) is Action.RETRAIN


def test_deciding_the_same_day_again_gives_the_same_decision() -> None:
    assert action(*persistent("data_drift"), decisions=(acted(Action.RETRAIN, 0),)) is Action.RETRAIN
    breach = judged("predecessor_regret", day_of(TODAY))
    assert action(breach, decisions=(acted(Action.ROLL_BACK, 0),)) is Action.ROLL_BACK


def test_alarms_about_an_earlier_champion_do_not_count() -> None:
    earlier = [judged("performance", day_of(TODAY - back), version=7) for back in (1, 2)]
    assert action(*earlier, judged("performance", day_of(TODAY))) is Action.NOTHING


def test_drift_of_inputs_must_last_longer_and_in_an_older_use_case_as_long_as_the_others() -> None:
    assert persistence("data_drift", MONITORING) == (3, 4)
    assert persistence("performance", MONITORING) == (2, 3)
    older = replace(MONITORING, drift_alarms_needed=None, drift_window_days=None)
    assert persistence("data_drift", older) == (2, 3)
    assert decide(situation(*persistent("data_drift", 2)), older).action is Action.RETRAIN


def test_a_decision_names_the_alarms_that_it_stands_on_and_those_that_wait() -> None:
    made = decide(situation(*persistent("performance", 2), judged("data_drift", day_of(TODAY))), MONITORING)
    assert (made.action, made.stands_on) == (Action.RETRAIN, ("performance",))
    calm = decide(situation(judged("data_drift", day_of(TODAY))), MONITORING)
    assert (calm.action, calm.stands_on) == (Action.NOTHING, ())
    assert calm.reason == "no alarm has lasted long enough yet: data_drift 1 of 3 days"
    assert decide(situation(), MONITORING).reason == "no monitor raises an alarm"
    calendar = decide(situation(judged("data_drift", day_of(TODAY)), champion_cutoff=day_of(TODAY - 28)), MONITORING)
    assert (calendar.action, calendar.stands_on) == (Action.RETRAIN, ())


def test_days_without_a_verdict_are_not_counted_among_the_judged_days() -> None:
    unknown = [judged("performance", day_of(TODAY - back), Verdict.UNKNOWN) for back in (1, 2)]
    assert (
        action(judged("performance", day_of(TODAY)), *unknown, judged("performance", day_of(TODAY - 3)))
        is Action.RETRAIN
    )
    assert action(judged("performance", day_of(TODAY), Verdict.UNKNOWN), *unknown) is Action.NOTHING


def test_a_day_that_was_judged_again_counts_by_its_last_verdict() -> None:
    again = judged("data_drift", day_of(TODAY), Verdict.OK)
    assert action(*persistent("data_drift"), again) is Action.NOTHING


def test_nothing_is_trained_while_a_data_check_gives_no_verdict() -> None:
    blind = judged("feature_skew", day_of(TODAY), Verdict.UNKNOWN)
    assert action(blind, *persistent("data_drift")) is Action.WATCH
    assert action(blind, judged("predecessor_regret", day_of(TODAY))) is Action.ROLL_BACK


def test_the_ceiling_stops_the_third_action_of_a_day() -> None:
    before = (acted(Action.RETRAIN, 0), acted(Action.FALL_BACK, 0))
    breach = judged("predecessor_regret", day_of(TODAY))
    assert action(breach, decisions=before[:1]) is Action.ROLL_BACK
    assert action(breach, decisions=before) is Action.WATCH


def test_the_calendar_retrains_when_nothing_speaks() -> None:
    assert action(champion_cutoff=day_of(TODAY - 28)) is Action.RETRAIN
    assert action(champion_cutoff=day_of(TODAY - 27)) is Action.NOTHING
    assert action(champion_cutoff=day_of(TODAY - 28), challenger_version=9) is Action.NOTHING


def test_a_refused_challenger_is_followed_by_another_one_after_the_cooldown() -> None:
    old = day_of(TODAY - 28)
    waits = decide(situation(champion_cutoff=old, decisions=(acted(Action.RETRAIN, 13),)), MONITORING)
    assert (waits.action, waits.acts) == (Action.NOTHING, False)
    assert f"a model was trained on {day_of(TODAY - 13)}" in waits.reason
    assert action(champion_cutoff=old, decisions=(acted(Action.RETRAIN, 14),)) is Action.RETRAIN
    assert action(champion_cutoff=old, decisions=(acted(Action.RETRAIN, 0),)) is Action.RETRAIN, "decided again"


@pytest.mark.parametrize(("known_days", "due"), [(20, 14), (56, 14), (80, 20), (112, 28), (300, 28)])
def test_the_calendar_waits_for_a_share_of_the_data_within_its_bounds(known_days: int, due: int) -> None:
    newest = day_of(TODAY - due)
    since = day_of(TODAY - due - known_days + 1)
    assert due_after(since, newest, MONITORING) == due
    assert action(champion_cutoff=newest, data_since=since) is Action.RETRAIN
    early = {"champion_cutoff": day_of(TODAY - due + 1), "data_since": day_of(TODAY - due - known_days + 2)}
    assert action(**early) is Action.NOTHING


def test_without_a_champion_nothing_is_decided_but_broken_data_still_hold() -> None:
    assert action(*persistent("data_drift"), champion_version=None) is Action.NOTHING
    assert action(judged("data_contract", day_of(TODAY), version=None), champion_version=None) is Action.HOLD


def test_what_only_informs_never_acts() -> None:
    informing = [j for m in ("label_drift", "prediction_drift", "estimated_performance") for j in persistent(m)]
    assert action(*informing) is Action.NOTHING


SEVERITY = {
    Action.NOTHING: 0,
    Action.WATCH: 1,
    Action.RETRAIN: 2,
    Action.ROLL_BACK: 3,
    Action.FALL_BACK: 3,
    Action.HOLD: 4,
}
VERDICTS = st.lists(st.sampled_from([Verdict.OK, Verdict.ALARM]), min_size=len(MONITORS), max_size=len(MONITORS))


@given(
    days=st.lists(VERDICTS, min_size=1, max_size=4),
    worse=st.sampled_from(MONITORS),
    when=st.integers(0, 3),
    challenger=st.sampled_from([None, 9]),
    predecessor=st.sampled_from([None, 7]),
)
def test_worse_news_never_leads_to_a_milder_decision(
    days: list[list[Verdict]], worse: str, when: int, challenger: int | None, predecessor: int | None
) -> None:
    history = [
        judged(monitor, day_of(TODAY - back), verdict)
        for back, verdicts in enumerate(days)
        for monitor, verdict in zip(MONITORS, verdicts, strict=True)
    ]
    alarm = judged(worse, day_of(TODAY - min(when, len(days) - 1)))
    more = {"challenger_version": challenger, "predecessor_version": predecessor}
    assert SEVERITY[action(*history, alarm, **more)] >= SEVERITY[action(*history, **more)]


@given(st.lists(VERDICTS, min_size=1, max_size=4))
def test_a_decision_is_a_function_of_its_evidence_and_carries_it(days: list[list[Verdict]]) -> None:
    history = [
        judged(monitor, day_of(TODAY - back), verdict)
        for back, verdicts in enumerate(days)
        for monitor, verdict in zip(MONITORS, verdicts, strict=True)
    ]
    first, second = (decide(situation(*order), MONITORING) for order in (history, history[::-1]))
    assert first.action is second.action
    assert {j.monitor for j in first.evidence} == set(MONITORS)


def test_a_decision_is_explained_with_what_every_monitor_said() -> None:
    decision = decide(situation(judged("predecessor_regret", day_of(TODAY)), *persistent("data_drift")), MONITORING)
    story = explain(decision)
    assert "roll_back (to version 7) about champion version 1" in story
    assert "- data_drift: alarm, made up" in story
