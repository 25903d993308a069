"""Incidents as the graph keeps them: opened by the day's run, told once, closed with a timeline; days judged again."""

from dataclasses import replace

import pandas as pd
import pytest

from mlops_assets.adapters.alerts import open_alerts
from mlops_assets.assets.address import MONITORING, REMEDIATION, key
from mlops_assets.assets.files import decision_of, inputs_of, put_decision, put_judgement
from mlops_assets.assets.incidents import closed_days, incident_of, report_of
from mlops_assets.assets.monitoring.decision import NAMES, situation_of
from mlops_assets.contracts import Action, Arm, Decision, Phase, Verdict
from mlops_assets.ml.incident_reports import timeline
from mlops_assets.ml.policy import decide
from mlops_assets_tests.conftest import LIVE, Twins, checks_of, enthrone
from mlops_assets_tests.ml.made_rows import judged

NAME, NEXT = "arrival_delay", ("2013-03-24", "2013-03-25", "2013-03-26")
QUARANTINE, DEPLOYMENT = "flights/datasets/quarantine", f"{NAME}/releases/deployment"


def put(twins: Twins, day: str, action: Action, monitor: str = "", version: int = 1, target: int | None = None) -> None:
    """A made decision with the verdict that it stands on."""
    verdict = Verdict.ALARM if action not in (Action.NOTHING, Action.WATCH) else Verdict.OK
    evidence = (judged(monitor, day, verdict, version),) if monitor else ()
    made = Decision(
        day=day, action=action, reason="a made decision", evidence=evidence, version=version, target_version=target
    )
    put_decision(twins.memory.artifacts, twins.use_case, made)


def work(twins: Twins, day: str) -> dict:
    """The asset ``incident`` of a day; its metadata."""
    address = key(twins.use_case, REMEDIATION, "incident")
    (event,) = twins.materialize([address], day).asset_materializations_for_node(address.to_python_identifier())
    return {name: value.value for name, value in event.metadata.items()}


def kept(twins: Twins):
    return [
        incident_of(twins.memory.artifacts, twins.use_case, n)
        for n in closed_days(twins.memory.artifacts, twins.use_case)
    ]


def told(twins: Twins) -> list[tuple[str, bool]]:
    """(key, whether it says that it is over) of everything that people were told."""
    return [(alert.resolves or alert.key, bool(alert.resolves)) for alert in twins.memory.alerts.sent()]


def answered(twins: Twins, day: str, version: int, digest: str) -> None:
    row = {"day": day, "arm": "champion", "version": float(version), "digest": digest, "answers": 900}
    twins.memory.tables.replace(DEPLOYMENT, pd.DataFrame([row]), [day], {})


def broken(twins: Twins, day: str, rows: int = 500) -> None:
    """That many raw rows of the day in quarantine; none mends it."""
    row = {"day": day, "dataset": "flights", "row": 0, "reason": "r", "source_row": "{}"}
    frame = pd.DataFrame([row] * max(rows, 1)).iloc[:rows]
    twins.memory.tables.replace(QUARANTINE, frame, [day], {})


def judge_again(twins: Twins, day: str) -> Decision:
    """The verdicts of a day, its decision, and what that does to incidents: as the day's run makes them."""
    names = [key(twins.use_case, MONITORING, name) for name in (*NAMES, "decision")]
    assert twins.materialize([*names, key(twins.use_case, REMEDIATION, "incident")], day).success
    return decision_of(twins.memory.artifacts, twins.use_case, day)


def test_a_day_without_trouble_has_no_incident_and_says_so(life):
    events = life.runs[LIVE[0]].asset_materializations_for_node(f"{NAME}__remediation__incident")
    assert events[0].metadata["open"].value == 0
    assert events[0].metadata["report"].value == "No incident."
    assert kept(life.twins) == []


def test_days_held_for_the_same_cause_are_one_incident_told_once_and_over_once(lived):
    for day in (LIVE[0], LIVE[1]):
        put(lived, day, Action.HOLD, "data_contract")
        assert work(lived, day)["open"] == 1
    assert told(lived) == [(f"{NAME}/{LIVE[0]}/hold", False)]
    for day in NEXT[:2]:
        put(lived, day, Action.NOTHING, "data_contract")
        last = work(lived, day)
    assert (last["open"], last["closed"]) == (0, 1)
    (incident,) = kept(lived)
    assert incident.closed_day == NEXT[1]
    assert [day.action for day in incident.days] == ["hold", "hold", "nothing", "nothing"]
    assert told(lived)[-1] == (f"{NAME}/{LIVE[0]}/hold", True)
    assert "its data checks were quiet on 2 judged days" in lived.memory.alerts.sent()[-1].text
    assert open_alerts(lived.memory.alerts.sent()) == {}
    put(lived, NEXT[2], Action.NOTHING)
    assert work(lived, NEXT[2])["report"] == "No incident."


def test_another_cause_is_another_incident(lived):
    put(lived, LIVE[0], Action.HOLD, "data_contract")
    work(lived, LIVE[0])
    put(lived, LIVE[1], Action.HOLD, "label_sanity")
    assert work(lived, LIVE[1])["open"] == 2
    assert [incident.id for incident in kept(lived)] == [f"{LIVE[0]}-hold", f"{LIVE[1]}-hold"]
    assert len(told(lived)) == 2


def test_a_rollback_is_followed_to_the_first_whole_quiet_day(lived):
    second = enthrone(lived, LIVE[0])
    first = lived.memory.registry.version(NAME, 1)
    put(lived, NEXT[0], Action.ROLL_BACK, "predecessor_regret", version=2, target=1)
    work(lived, NEXT[0])
    assert lived.run(f"{NAME}__rollback", NEXT[0]).success
    (incident,) = kept(lived)
    assert [moment.phase for moment in incident.answers] == [Phase.ANSWERED]
    assert {found.version for found in incident.versions} == {1, 2}
    put(lived, NEXT[1], Action.NOTHING, "predecessor_regret")
    answered(lived, NEXT[1], 1, first.digest)
    work(lived, NEXT[1])
    (incident,) = kept(lived)
    assert incident.closed_day == NEXT[1]
    phases = [moment.phase for moment in timeline(incident)]
    for phase in (Phase.DETECTED, Phase.DECIDED, Phase.ACTED, Phase.ANSWERED, Phase.VERIFIED, Phase.CLOSED):
        assert phase in phases
    report = report_of(lived.memory.artifacts, lived.use_case, incident.id)
    assert f"version {second.version} rolled_back" in report
    assert "docs/runbooks/roll_back.md" in report
    assert first.digest[:12] in report
    assert told(lived) == [(f"{NAME}/{NEXT[0]}/roll_back", False), (f"{NAME}/{NEXT[0]}/roll_back", True)]


def test_an_action_that_escalates_is_told_once_more_in_the_same_incident(lived):
    put(lived, LIVE[0], Action.RETRAIN, "performance")
    work(lived, LIVE[0])
    put(lived, LIVE[1], Action.FALL_BACK, "server_health")
    work(lived, LIVE[1])
    work(lived, LIVE[1])
    assert len(kept(lived)) == 1
    assert told(lived) == [(f"{NAME}/{LIVE[0]}/retrain", False), (f"{NAME}/{LIVE[1]}/fall_back", False)]


def test_a_closed_incident_is_not_told_again_when_one_of_its_days_is_made_again(lived):
    put(lived, LIVE[0], Action.HOLD, "data_contract")
    work(lived, LIVE[0])
    for day in (LIVE[1], NEXT[0]):
        put(lived, day, Action.NOTHING, "data_contract")
        work(lived, day)
    before = told(lived)
    put(lived, LIVE[1], Action.HOLD, "data_contract")
    work(lived, LIVE[1])
    assert told(lived) == before
    assert [incident.closed_day for incident in kept(lived)] == [NEXT[0]]


@pytest.fixture
def held(lived) -> Twins:
    """The first live day's data turned out to be broken: judged again, it is held."""
    broken(lived, LIVE[0])
    assert judge_again(lived, LIVE[0]).action is Action.HOLD
    return lived


def test_a_day_that_is_judged_again_opens_an_incident_once_however_often(held):
    for _ in range(2):
        judge_again(held, LIVE[0])
    (incident,) = kept(held)
    assert incident.monitors == ("data_contract",)
    assert told(held) == [(f"{NAME}/{LIVE[0]}/hold", False)]
    assert incident.days[0].revised == {"data_contract": "ok"}
    assert Phase.REVISED in [moment.phase for moment in timeline(incident)]


def test_a_verdict_that_turns_ok_again_withdraws_the_incident_and_tells_that_it_is_over(held):
    broken(held, LIVE[0], rows=0)
    assert judge_again(held, LIVE[0]).action is not Action.HOLD
    (incident,) = kept(held)
    assert "revised before anything moved" in incident.closed_because
    assert told(held) == [(f"{NAME}/{LIVE[0]}/hold", False), (f"{NAME}/{LIVE[0]}/hold", True)]


def test_the_day_before_an_incident_that_alarms_late_is_no_second_incident(lived):
    broken(lived, LIVE[1])
    judge_again(lived, LIVE[1])
    broken(lived, LIVE[0])
    assert judge_again(lived, LIVE[0]).action is Action.HOLD
    (incident,) = kept(lived)
    assert (incident.opened_day, incident.detected_day) == (LIVE[1], LIVE[0])
    assert told(lived) == [(f"{NAME}/{LIVE[1]}/hold", False)]


def test_a_day_judged_again_after_its_own_rollback_is_still_about_the_champion_it_had(lived):
    enthrone(lived, LIVE[0])
    first = judge_again(lived, NEXT[0])
    assert first.version == 2
    put_decision(lived.memory.artifacts, lived.use_case, replace(first, action=Action.ROLL_BACK, target_version=1))
    assert checks_of(lived.run(f"{NAME}__rollback", NEXT[0]))["rollback/server_answers_with_the_old_digest"]
    assert lived.promotions.arms(NAME)[Arm.CHAMPION].version == 1
    again = judge_again(lived, NEXT[0])
    assert again.version == 2
    assert {judgement.champion_version for judgement in again.evidence} == {2}


def test_nothing_is_done_to_a_champion_that_was_replaced_since(lived):
    enthrone(lived, LIVE[0])
    bad = [judged("predecessor_regret", LIVE[0], version=1)]
    assert inputs_of(lived.memory.artifacts, lived.use_case, LIVE[0]) is not None
    for judgement in bad:
        put_judgement(lived.memory.artifacts, lived.use_case, judgement)
    situation = situation_of(lived.use_case, lived.releases, lived.memory.artifacts, LIVE[0])
    assert (situation.champion_version, situation.champion_left) == (1, LIVE[1])
    made = decide(situation, lived.use_case.monitoring)
    assert made.action is Action.WATCH
    assert f"version 1 was replaced on {LIVE[1]}; wanted: fall_back" in made.reason


def test_a_day_that_would_have_retrained_does_not_once_a_later_day_did(lived):
    put(lived, LIVE[1], Action.RETRAIN, "performance")
    situation = situation_of(lived.use_case, lived.releases, lived.memory.artifacts, LIVE[0])
    assert [made.day for made in situation.decisions if made.acts] == [LIVE[1]]
    put(lived, LIVE[0], Action.RETRAIN, "performance")
    own = situation_of(lived.use_case, lived.releases, lived.memory.artifacts, LIVE[0])
    assert [made.day for made in own.decisions if made.acts] == []
