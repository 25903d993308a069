"""A decided rollback is made within the tick, once, whatever is down or dies; the run comes to look."""

import pytest

from mlops_assets.adapters.endpoint import EndpointDown, MemoryEndpoint
from mlops_assets.assets.address import MONITORING, REMEDIATION, key
from mlops_assets.assets.files import put_decision
from mlops_assets.assets.remediation import roll_back
from mlops_assets.automation.emergency import Outcome, attempt
from mlops_assets.automation.walk import Cursors, Seen
from mlops_assets.contracts import Action, Arm, Decision, Judgement, Verdict

SENSOR = "arrival_delay__remediation"
DAY = "2013-04-02"
RUN_KEY = f"arrival_delay/roll_back/{DAY}/2"


@pytest.fixture
def bad(stage, use_case):
    """Version 2 took version 1's place, and was found to be worse."""
    for version in (1, 2):
        stage.parts.enthrone(use_case, version)
    stage.decided(use_case, DAY, "roll_back", version=2, target=1)
    return stage


def kinds(stage, use_case):
    return [line.kind for line in stage.parts.promotions.all(use_case.name) if line.day == DAY]


def test_the_server_answers_with_the_old_version_before_any_run_starts(bad, use_case):
    assert bad.parts.champion(use_case) == 2
    (request,), _ = bad.tick(SENSOR)
    assert bad.parts.champion(use_case) == 1
    assert (request.job_name, request.partition_key, request.run_key) == ("arrival_delay__rollback", DAY, RUN_KEY)
    assert request.tags["mlops/reason"] == f"because of {DAY}"
    assert request.tags["mlops/runbook"] == "https://wiki.example/books/roll_back.md"


def test_the_move_is_an_event_of_dagster_and_a_line_of_the_history(bad, use_case):
    bad.tick(SENSOR)
    (event,) = bad.observed
    assert (event.asset_key, event.partition) == (key(use_case, REMEDIATION, "rollback"), DAY)
    told = {name: value.value for name, value in event.metadata.items()}
    line = bad.parts.promotions.arms(use_case.name)[Arm.CHAMPION]
    assert (told["outcome"], told["champion_version"], told["digest"]) == ("moved", 1, line.digest)
    assert (line.kind, line.by, line.day) == ("restored", f"sensor:{SENSOR}", DAY)
    assert line.reason == f"because of {DAY}"


def test_the_evidence_is_in_the_history_as_if_a_run_had_made_the_move(stage, use_case):
    for version in (1, 2):
        stage.parts.enthrone(use_case, version)
    said = Judgement(
        monitor="predecessor_regret", day=DAY, verdict=Verdict.ALARM, reason="0.02 worse", champion_version=2
    )
    made = Decision(day=DAY, action=Action.ROLL_BACK, reason="worse", evidence=(said,), version=2, target_version=1)
    put_decision(stage.parts.artifacts, use_case, made)
    stage.happened(key(use_case, MONITORING, "decision"), DAY, action="roll_back", reason="worse", version=2)
    stage.tick(SENSOR)
    line = stage.parts.promotions.arms(use_case.name)[Arm.CHAMPION]
    assert [judgement["monitor"] for judgement in line.evidence["judgements"]] == ["predecessor_regret"]


def test_the_run_finds_the_move_made_and_writes_no_line(bad, use_case):
    bad.tick(SENSOR)
    before = bad.parts.promotions.all(use_case.name)
    decision = Decision(day=DAY, action=Action.ROLL_BACK, reason="r", version=2, target_version=1)
    line = roll_back(bad.parts.releases, use_case, decision, f"sensor:{SENSOR}", "the run")
    assert (line.version, line.dagster_run_id) == (1, None)
    assert bad.parts.promotions.all(use_case.name) == before


def test_a_daemon_killed_before_the_cursor_was_kept_repeats_its_tick_and_moves_nothing_twice(bad, use_case):
    bad.killed_tick(SENSOR)
    before = bad.parts.promotions.all(use_case.name)
    (request,), _ = bad.tick(SENSOR)
    assert request.run_key == RUN_KEY
    assert bad.parts.promotions.all(use_case.name) == before
    assert sorted(kinds(bad, use_case)) == ["restored", "rolled_back"]


def test_the_same_decision_again_moves_nothing_asks_for_nothing_and_is_no_event(bad, use_case):
    bad.tick(SENSOR)
    bad.decided(use_case, DAY, "roll_back", version=2, target=1)
    requests, reason = bad.tick(SENSOR)
    assert requests == []
    assert "asked for before" in reason
    assert len(bad.observed) == 1
    assert len(kinds(bad, use_case)) == 2


def test_a_silent_registry_keeps_the_decision_and_a_run_is_sent_to_start_it(bad, use_case):
    bad.parts.registry.down = True
    (request,), _ = bad.tick(SENSOR)
    assert request.run_key == f"{RUN_KEY}/by_run"
    requests, reason = bad.tick(SENSOR)
    assert requests == []
    assert "waiting" in reason
    assert "does not answer" in reason
    assert "asked for before" in reason
    bad.parts.registry.down = False
    (request,), _ = bad.tick(SENSOR)
    assert request.run_key == RUN_KEY
    assert bad.parts.champion(use_case) == 1
    assert [event.metadata["outcome"].value for event in bad.observed] == ["waiting", "moved"]
    assert bad.tick(SENSOR) == ([], "no new decision")


def test_what_comes_behind_a_waiting_rollback_waits_with_it_and_is_not_lost(bad, use_case):
    bad.parts.registry.down = True
    bad.decided(use_case, "2013-04-03", "hold", version=2)
    assert [request.partition_key for request in bad.tick(SENSOR)[0]] == [DAY]
    bad.parts.registry.down = False
    assert [request.partition_key for request in bad.tick(SENSOR)[0]] == [DAY, "2013-04-03"]


def test_a_move_that_the_run_made_asks_for_no_other_run(bad, use_case):
    bad.parts.registry.down = True
    bad.tick(SENSOR)
    bad.parts.registry.down = False
    decision = Decision(day=DAY, action=Action.ROLL_BACK, reason="r", version=2, target_version=1)
    roll_back(bad.parts.releases, use_case, decision, f"sensor:{SENSOR}", "the run that was asked for")
    requests, reason = bad.tick(SENSOR)
    assert requests == []
    assert "version 2 went, version 1 is champion" in reason
    assert len(bad.observed) == 1


def test_a_champion_that_changed_meanwhile_is_left_alone_and_the_tick_says_so(bad, use_case):
    bad.parts.enthrone(use_case, 3)
    before = bad.parts.promotions.all(use_case.name)
    requests, reason = bad.tick(SENSOR)
    assert requests == []
    assert "overtaken: asked to take back version 2, but champion is 3" in reason
    assert bad.parts.promotions.all(use_case.name) == before
    assert [event.metadata["outcome"].value for event in bad.observed] == ["overtaken"]


def test_a_decision_that_was_taken_anew_before_the_tick_is_not_carried_out(bad, use_case):
    bad.decided(use_case, DAY, "watch", version=2)
    requests, reason = bad.tick(SENSOR)
    assert requests == []
    assert "was decided anew: watch about version 2" in reason
    assert bad.parts.champion(use_case) == 2


def test_without_anything_to_go_back_to_a_run_is_sent_to_fail_loudly(stage, use_case):
    stage.parts.enthrone(use_case, 1)
    stage.decided(use_case, DAY, "roll_back", version=1)
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__rollback"
    (event,) = stage.observed
    assert event.metadata["outcome"].value == "refused"
    assert "has no earlier champion to go back to" in event.metadata["reason"].value


def test_a_version_whose_files_are_damaged_is_not_put_in(bad, use_case):
    bad.parts.registry.files[use_case.name, 1]["bundle/model.txt"] = b"other bytes"
    (request,), _ = bad.tick(SENSOR)
    assert request.run_key == RUN_KEY
    assert bad.observed[0].metadata["outcome"].value == "refused"
    assert bad.parts.champion(use_case) == 2


def test_a_registry_that_dies_between_history_and_alias_is_repaired_by_the_next_tick(bad, use_case):
    bad.parts.registry.mute = True
    (request,), _ = bad.tick(SENSOR)
    assert request.run_key == f"{RUN_KEY}/by_run"
    assert bad.parts.champion(use_case) == 2
    bad.parts.registry.mute = False
    bad.tick(SENSOR)
    assert bad.parts.champion(use_case) == 1
    assert sorted(kinds(bad, use_case)) == ["restored", "rolled_back"]


def test_the_alias_moves_without_a_server(bad, use_case):
    class Gone(MemoryEndpoint):
        def nudge(self):
            raise EndpointDown("no server")

    parts, event = bad.parts, Seen(1, DAY, {"version": 2})
    made = attempt(use_case, event, "sensor:s", parts.artifacts, parts.releases, Gone(parts.registry))
    assert made.outcome is Outcome.MOVED
    assert parts.registry.by_alias(use_case.name, Arm.CHAMPION).version == 1


def test_the_feed_waits_while_a_rollback_waits(bad, use_case):
    bad.parts.registry.down = True
    bad.tick(SENSOR)
    decision = key(use_case, MONITORING, "decision")
    assert not Cursors(bad.cursor).is_at_end(bad.instance, decision)
    bad.parts.registry.down = False
    bad.tick(SENSOR)
    assert Cursors(bad.cursor).is_at_end(bad.instance, decision)
