"""Promises of incidents: one cause is one incident, days may come late and twice, each kind of cause has its end."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Action, Decision, Incident, Phase, Transition, Verdict, from_json, to_json
from mlops_assets.ml.incident_reports import durations, incident_report, summary, timeline
from mlops_assets.ml.incidents import (
    belongs,
    challenger,
    closed,
    closing,
    day_of,
    opened,
    reaching_back,
    touches,
    with_day,
    with_moves,
)
from mlops_assets_tests.ml.made_rows import day_of as date
from mlops_assets_tests.ml.made_rows import judged

OK, ALARM, UNKNOWN = Verdict.OK, Verdict.ALARM, Verdict.UNKNOWN
AT = "2026-01-01T10:00:{:02d}.000000Z"
CAUSE = {
    Action.HOLD: "data_contract",
    Action.RETRAIN: "performance",
    Action.ROLL_BACK: "predecessor_regret",
    Action.FALL_BACK: "server_health",
}
BAD, GOOD, NEXT = 2, 1, 3
"""Champion, the one before it, the one that is trained."""


def decided(number: int, action: Action, verdict: Verdict | None = None, version: int = BAD) -> Decision:
    """A day's decision, with the verdict of every cause: alarm of the action's own when it acts."""
    said = [
        judged(monitor, date(number), (verdict or ALARM) if act is action else OK, version)
        for act, monitor in CAUSE.items()
    ]
    target = GOOD if action is Action.ROLL_BACK else None
    evidence = tuple(said) if verdict is not UNKNOWN else ()
    return Decision(
        day=date(number), action=action, reason="why", evidence=evidence, version=version, target_version=target
    )


def calm(number: int, version: int = BAD) -> Decision:
    return decided(number, Action.NOTHING, version=version)


def alarmed(number: int, monitor: str) -> Decision:
    """A day on which a monitor alarms and nothing is done."""
    made = calm(number)
    evidence = tuple(replace(j, verdict=ALARM) if j.monitor == monitor else j for j in made.evidence)
    return replace(made, action=Action.WATCH, evidence=evidence)


def moved(number: int, version: int, kind: str, to_arm: str | None, second: int, event: str = "") -> Transition:
    return Transition(
        event_id=event or f"{kind}/{version}", at=AT.format(second), day=date(number), model="m", version=version,
        digest=f"d{version}", from_arm=None, to_arm=to_arm, kind=kind, by="asset:x", reason="so",
    )  # fmt: skip


def begun(action: Action, number: int = 10, before: Sequence = ()) -> Incident:
    decision = decided(number, action)
    incident = opened("made_up", decision, [*before, *decision.evidence], AT.format(10))
    return with_day(incident, day_of(decision, {}), decision)


def lived(incident: Incident, *days: tuple[Decision, dict[str, int]]) -> Incident:
    for decision, answered in days:
        incident = with_day(incident, day_of(decision, answered), decision)
    return incident


@pytest.mark.parametrize("action", CAUSE)
def test_an_incident_opens_with_its_cause_its_evidence_and_a_name(action):
    incident = begun(action)
    assert incident.id == f"{date(10)}-{action}"
    assert incident.monitors == (CAUSE[action],)
    assert incident.is_open
    assert closing(incident) is None
    assert from_json(Incident, to_json(incident)) == incident


def test_it_was_detected_on_the_first_day_of_the_run_of_alarms():
    before = [
        judged("performance", date(n), verdict, BAD) for n, verdict in ((6, ALARM), (7, OK), (8, ALARM), (9, ALARM))
    ]
    incident = begun(Action.RETRAIN, before=before)
    assert incident.detected_day == date(8)
    assert durations(incident).days_to_detect == 2


def test_a_hold_ends_after_two_quiet_judged_days_in_a_row():
    incident = begun(Action.HOLD)
    once = lived(incident, (calm(11), {}))
    assert closing(once) is None
    unjudged = lived(once, (decided(12, Action.NOTHING, UNKNOWN), {}))
    assert closing(unjudged) is None
    end = closing(lived(unjudged, (calm(13), {})))
    assert end is not None
    assert (end.day, end.because) == (date(13), "its data checks were quiet on 2 judged days in a row")
    again = lived(once, (decided(12, Action.HOLD), {}), (calm(13), {}))
    assert closing(again) is None


def test_a_rollback_ends_with_the_first_whole_quiet_day_of_the_version_that_was_put_back():
    incident = begun(Action.ROLL_BACK)
    back = [
        moved(10, GOOD, "restored", "champion", 20, f"decision/{date(10)}/roll_back/2/restored/version-1"),
        moved(10, BAD, "rolled_back", None, 21),
    ]
    rolled = with_moves(incident, back)
    assert closing(rolled) is None
    mixed = lived(rolled, (calm(11, GOOD), {"d1": 800, "d2": 90}))
    assert closing(mixed) is None
    end = closing(lived(mixed, (calm(12, GOOD), {"d1": 900})))
    assert end is not None
    assert end.day == date(12)
    assert "version 1 answered the whole of" in end.because


def test_a_rollback_that_did_not_help_stays_open_until_a_whole_day_is_quiet():
    back = [moved(10, GOOD, "restored", "champion", 20)]
    loud = decided(11, Action.WATCH, version=GOOD)
    loud = replace(loud, evidence=tuple(replace(j, verdict=ALARM) for j in loud.evidence))
    worse = lived(with_moves(begun(Action.ROLL_BACK), back), (loud, {"d1": 900}))
    assert closing(worse) is None
    assert closing(lived(worse, (calm(12, GOOD), {"d1": 900}))).day == date(12)


@pytest.mark.parametrize("action", [Action.RETRAIN, Action.FALL_BACK])
def test_a_retraining_ends_when_the_version_it_asked_for_became_champion(action):
    trained = [moved(10, NEXT, "registered", None, 30), moved(10, NEXT, "shadow", "shadow", 31)]
    waiting = lived(with_moves(begun(action), trained), (calm(11), {}), (calm(12), {}), (calm(13), {}))
    assert challenger(waiting).version == NEXT
    assert closing(waiting) is None
    promoted = with_moves(waiting, [*trained, moved(13, NEXT, "promoted", "champion", 40)])
    assert closing(promoted).because == "version 3, trained because of it, became champion"


def test_a_retraining_whose_version_was_refused_ends_when_its_monitors_are_quiet():
    fate = [moved(10, NEXT, "registered", None, 30), moved(12, NEXT, "refused", None, 40)]
    storm = lived(
        with_moves(begun(Action.RETRAIN), fate), (alarmed(11, "performance"), {}), (alarmed(12, "performance"), {})
    )
    assert closing(storm) is None
    over = lived(storm, (calm(13), {}), (calm(14), {}))
    assert closing(over).because == "its monitors were quiet on 2 judged days in a row; version 3 was refused"


def test_a_retraining_that_trained_nothing_ends_with_its_cause_and_the_calendar_s_after_a_week():
    assert closing(lived(begun(Action.RETRAIN), (calm(11), {}), (calm(12), {}))) is not None
    quiet = replace(decided(10, Action.RETRAIN), evidence=calm(10).evidence)
    calendar = lived(opened("made_up", quiet, [], AT.format(10)), (quiet, {}))
    assert calendar.monitors == ()
    assert closing(lived(calendar, (calm(12), {}))) is None
    assert closing(lived(calendar, (calm(17), {}))).because == "no version came of it"


def test_a_person_s_rollback_ends_it_as_well():
    by_hand = with_moves(begun(Action.RETRAIN), [moved(11, GOOD, "restored", "champion", 20, "operator/ann")])
    assert closing(lived(by_hand, (calm(12, GOOD), {"d1": 900}))).day == date(12)


def test_a_revised_verdict_withdraws_what_nothing_was_done_about():
    incident = begun(Action.RETRAIN)
    revised = lived(incident, (calm(10), {}))
    assert "revised before anything moved" in closing(revised).because
    acted = with_moves(revised, [moved(10, NEXT, "registered", None, 30)])
    assert closing(acted) is None


def test_the_same_trouble_joins_and_another_cause_does_not():
    retrain, hold = begun(Action.RETRAIN), begun(Action.HOLD)
    assert belongs(retrain, decided(11, Action.RETRAIN))
    assert belongs(retrain, decided(11, Action.ROLL_BACK))
    assert not belongs(retrain, decided(11, Action.RETRAIN, version=GOOD))
    assert not belongs(retrain, decided(11, Action.HOLD))
    assert belongs(hold, decided(11, Action.HOLD, version=GOOD))
    other = decided(11, Action.HOLD)
    labels = tuple(replace(j, monitor="label_sanity") if j.monitor == "data_contract" else j for j in other.evidence)
    assert not belongs(hold, replace(other, evidence=labels))
    assert not belongs(retrain, decided(9, Action.RETRAIN))
    assert not belongs(retrain, calm(11))


def test_an_escalation_adds_its_cause_and_where_it_goes_back_to():
    grown = lived(begun(Action.RETRAIN), (decided(11, Action.ROLL_BACK), {}))
    assert grown.monitors == ("performance", "predecessor_regret")
    assert grown.target_version == GOOD


def test_a_day_before_it_that_turns_out_to_have_been_its_first_belongs_to_it():
    hold = begun(Action.HOLD)
    assert not touches(hold, date(9))
    late = [judged("data_contract", date(9), ALARM, BAD), judged("data_contract", date(10), ALARM, BAD)]
    earlier = reaching_back(hold, late)
    assert earlier.detected_day == date(9)
    assert belongs(earlier, decided(9, Action.HOLD))
    apart = [judged("data_contract", date(8), ALARM, BAD), judged("data_contract", date(9), OK, BAD), late[1]]
    assert reaching_back(hold, apart).detected_day == date(10)


def test_a_closed_incident_keeps_its_end_and_what_came_after_is_not_its_story():
    over = lived(begun(Action.HOLD), (calm(11), {}), (calm(12), {}))
    done = closed(over, closing(over), AT.format(50))
    assert not done.is_open
    assert closing(done) is None
    assert touches(done, date(11))
    assert not touches(done, date(13))
    assert not belongs(done, decided(13, Action.HOLD))
    assert belongs(done, decided(12, Action.HOLD))
    assert with_moves(done, [moved(11, GOOD, "promoted", "champion", 55)]).moves == ()


def test_what_moved_before_the_decision_on_the_same_day_is_not_its_doing():
    early = moved(10, NEXT, "registered", None, 5)
    own = moved(10, GOOD, "restored", "champion", 6, f"decision/{date(10)}/roll_back/2/restored/version-1")
    assert [m.version for m in with_moves(begun(Action.ROLL_BACK), [early, own]).moves] == [GOOD]


DAYS = [
    (decided(11, Action.RETRAIN), {"d2": 5}),
    (calm(12), {"d2": 5}),
    (alarmed(13, "performance"), {}),
    (calm(14), {}),
]


@given(st.permutations(DAYS), st.lists(st.sampled_from(DAYS), max_size=4))
def test_days_may_come_in_any_order_and_twice(order, again):
    whole = lived(begun(Action.RETRAIN), *DAYS)
    assert lived(begun(Action.RETRAIN), *order, *again) == whole


def test_the_timeline_tells_the_whole_story_in_order():
    before = [judged("predecessor_regret", date(9), ALARM, BAD)]
    incident = begun(Action.ROLL_BACK, before=before)
    back = moved(10, GOOD, "restored", "champion", 20, f"decision/{date(10)}/roll_back/2/restored/version-1")
    incident = lived(with_moves(incident, [back]), (calm(11, GOOD), {"d1": 900}))
    incident = closed(incident, closing(incident), AT.format(50))
    phases = [moment.phase for moment in timeline(incident)]
    bad, good = [Phase.DETECTED, Phase.DECIDED, Phase.ACTED], [Phase.VERIFIED, Phase.RECOVERED, Phase.CLOSED]
    assert phases == [*bad, Phase.DECIDED, *good]
    took = durations(incident)
    assert (took.days_to_detect, took.seconds_to_act, took.days_to_recover, took.days_open) == (1, 10.0, 1, 1)
    days = [moment.day for moment in timeline(incident)]
    assert days == sorted(days)


def test_what_somebody_tries_meanwhile_is_no_part_of_the_timeline():
    trained, other = moved(10, NEXT, "registered", None, 20), moved(11, 9, "registered", None, 30)
    incident = with_moves(begun(Action.RETRAIN), [trained, other, moved(11, 9, "refused", None, 40)])
    acted = [moment.text for moment in timeline(incident) if moment.phase is Phase.ACTED]
    assert len(acted) == 1
    assert f"version {NEXT}" in acted[0]


def test_an_incident_is_about_the_alarms_that_its_decision_stands_on():
    made = decided(10, Action.RETRAIN)
    drifted = judged("data_drift", date(10), ALARM, BAD)
    both = replace(made, evidence=(*made.evidence, drifted))
    assert opened("made_up", both, both.evidence, AT.format(10)).monitors == ("data_drift", "performance")
    told = replace(both, stands_on=("performance",))
    assert opened("made_up", told, told.evidence, AT.format(10)).monitors == ("performance",)


def test_a_revised_verdict_stands_in_the_timeline():
    made = calm(11)
    evidence = tuple(replace(j, revised_from=ALARM) if j.monitor == "performance" else j for j in made.evidence)
    incident = lived(begun(Action.RETRAIN), (replace(made, evidence=evidence), {}))
    (told,) = [moment.text for moment in timeline(incident) if moment.phase is Phase.REVISED]
    assert told == "performance: alarm became ok, outcomes came late"


def test_an_action_repeated_day_after_day_is_told_every_day_and_calm_ones_once():
    incident = lived(begun(Action.HOLD), (decided(11, Action.HOLD), {}), (calm(12), {}), (calm(13), {}))
    told = [moment.text for moment in timeline(incident) if moment.phase is Phase.DECIDED]
    assert told == ["hold: why", "hold: why", "nothing: why"]


def test_the_report_and_the_summary_hold_what_a_person_looks_for():
    incident = replace(begun(Action.ROLL_BACK), runs=("abc",), told=("made_up/x/roll_back",))
    report = incident_report(incident, "https://books/roll_back.md")
    for wanted in (
        "**Open.**",
        "## Timeline",
        "predecessor_regret",
        "https://books/roll_back.md",
        "/runs/abc",
        "mlops why",
    ):
        assert wanted in report
    assert summary(incident)["state"] == "open"
    assert summary(incident)["to act"] == "not yet"


def test_a_reason_with_a_bar_does_not_break_the_table():
    made = replace(decided(10, Action.HOLD), reason="a | b\nc")
    report = incident_report(with_day(opened("m", made, made.evidence, AT.format(1)), day_of(made, {}), made))
    assert "a / b c" in report


@pytest.mark.parametrize(("action", "quiet"), itertools.product(CAUSE, range(2)))
def test_nothing_ends_before_two_quiet_days_while_nothing_moved(action, quiet):
    assert closing(lived(begun(action), *((calm(11 + n), {}) for n in range(quiet)))) is None
