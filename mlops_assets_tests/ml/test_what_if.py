"""What would have changed a decision, and that a decision can be made again from its inputs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Action, Decision, Verdict, from_json, to_json
from mlops_assets.ml.policy import BREACHES, DATA_CHECKS, DRIFTS, ROLLBACK_DAYS, Situation
from mlops_assets.ml.what_if import Inputs, alternatives, why
from mlops_assets_tests.ml.made_rows import MONITORING, day_of, judged

TODAY = 20
CALM = Situation(
    day=day_of(TODAY),
    judgements=tuple(judged(name, day_of(TODAY), Verdict.OK) for name in (*DATA_CHECKS, *BREACHES, *DRIFTS)),
    champion_version=1,
    champion_since=day_of(TODAY - 7),
    champion_cutoff=day_of(TODAY - 8),
    predecessor_version=7,
)


def asked(*judgements, **more) -> Inputs:
    others = tuple(j for j in CALM.judgements if j.monitor not in {told.monitor for told in judgements})
    return Inputs(situation=replace(CALM, judgements=(*others, *judgements), **more), monitoring=MONITORING)


def told(inputs: Inputs) -> dict[str, Action]:
    return {other.change: other.action for other in alternatives(inputs)}


def test_a_rollback_would_not_have_been_with_a_quiet_monitor_or_another_past():
    regret = asked(judged("predecessor_regret", day_of(TODAY)))
    assert regret.decide().action is Action.ROLL_BACK
    assert told(regret) == {
        "data_contract had raised an alarm": Action.HOLD,
        "feature_contract had raised an alarm": Action.HOLD,
        "feature_skew had raised an alarm": Action.HOLD,
        "label_sanity had raised an alarm": Action.HOLD,
        "predecessor_regret had been quiet": Action.NOTHING,
        "there were no version 7 to go back to": Action.FALL_BACK,
        f"it had been promoted more than {ROLLBACK_DAYS} days before": Action.WATCH,
    }


def test_what_waits_for_a_second_alarm_is_told():
    assert told(asked(judged("performance", day_of(TODAY))))["performance had raised alarms on 2 days running"] is (
        Action.RETRAIN
    )


def test_cooldown_and_a_challenger_are_told():
    alarms = [judged("data_drift", day_of(TODAY - back)) for back in range(3)]
    cooling = asked(*alarms, decisions=(Decision(day=day_of(TODAY - 2), action=Action.RETRAIN, reason="made up"),))
    assert cooling.decide().action is Action.WATCH
    assert told(cooling)["nothing had been done automatically in the 14 days before"] is Action.RETRAIN
    assert told(asked(*alarms, challenger_version=9))["version 9 were not being judged"] is Action.RETRAIN


def test_a_verdict_that_is_missing_is_told():
    blind = judged("label_sanity", day_of(TODAY), Verdict.UNKNOWN)
    alarms = [judged("data_drift", day_of(TODAY - back)) for back in range(3)]
    assert told(asked(blind, *alarms))["label_sanity had given a verdict, and a quiet one"] is Action.RETRAIN


def test_it_is_told_in_plain_words():
    text = why(asked(judged("predecessor_regret", day_of(TODAY))))
    assert text.startswith(f"{day_of(TODAY)}: roll_back (to version 7) about champion version 1, because worse than")
    assert "\nIt would have been\n- hold, if data_contract had raised an alarm\n" in text
    assert "\n- nothing, if predecessor_regret had been quiet\n" in text
    nobody = Inputs(situation=Situation(day=day_of(TODAY), judgements=()), monitoring=MONITORING)
    assert why(nobody).endswith("Nothing alone would have changed it.")


VERDICTS = st.sampled_from([*Verdict])


@given(
    st.lists(st.tuples(st.sampled_from([*DATA_CHECKS, *BREACHES, *DRIFTS]), st.integers(0, 4), VERDICTS), max_size=12),
    st.sampled_from([None, 2]),
    st.sampled_from([None, 7]),
)
def test_every_decision_is_made_again_from_its_kept_inputs(said, challenger, before):
    judgements = tuple(judged(name, day_of(TODAY - back), verdict) for name, back, verdict in said)
    inputs = asked(*judgements, challenger_version=challenger, predecessor_version=before)
    kept = from_json(Inputs, to_json(inputs))
    assert kept == inputs
    assert kept.decide() == inputs.decide()
    assert all(other.action is not inputs.decide().action for other in alternatives(inputs))


@pytest.mark.parametrize("name", DATA_CHECKS)
def test_a_hold_is_over_when_its_one_reason_is(name):
    assert told(asked(judged(name, day_of(TODAY))))[f"{name} had been quiet"] is Action.NOTHING
