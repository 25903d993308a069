"""The remediation sensor asks for what was decided, once, and says why."""

from mlops_assets.assets.address import MONITORING, key

SENSOR = "arrival_delay__remediation"


def decided(stage, use_case, day, action, version=1):
    reason = f"because of {day}"
    stage.happened(key(use_case, MONITORING, "decision"), day, action=action, reason=reason, version=version)


def test_a_rollback_is_requested_once_and_says_why(stage, use_case):
    decided(stage, use_case, "2013-04-02", "roll_back")
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__rollback"
    assert request.partition_key == "2013-04-02"
    assert request.tags["mlops/reason"] == "because of 2013-04-02"
    assert stage.tick(SENSOR)[0] == []


def test_a_retrain_hands_its_reason_to_the_training(stage, use_case):
    decided(stage, use_case, "2013-04-02", "retrain")
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__retrain"
    config = request.run_config["ops"]["arrival_delay__models__model"]["config"]
    assert config["because"] == "retrain on 2013-04-02: because of 2013-04-02"


def test_broken_data_is_held(stage, use_case):
    decided(stage, use_case, "2013-04-02", "hold")
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__quarantine"


def test_quiet_days_ask_for_nothing_and_say_so(stage, use_case):
    assert stage.tick(SENSOR) == ([], "no new decision")
    decided(stage, use_case, "2013-04-02", "nothing")
    decided(stage, use_case, "2013-04-03", "watch")
    requests, reason = stage.tick(SENSOR)
    assert requests == []
    assert reason == "2 new decisions, none to act on; 2013-04-03: watch"


def test_none_of_a_hundred_decisions_between_two_ticks_is_lost(stage, use_case):
    for number in range(100):
        day = f"2013-{4 + number // 28:02d}-{1 + number % 28:02d}"
        decided(stage, use_case, day, "roll_back" if number % 2 else "nothing")
    requests, _ = stage.tick(SENSOR)
    assert len(requests) == 50
    assert len({request.run_key for request in requests}) == 50


def test_the_same_decision_materialized_again_has_the_same_run_key(stage, use_case):
    decided(stage, use_case, "2013-04-02", "roll_back")
    (first,), _ = stage.tick(SENSOR)
    decided(stage, use_case, "2013-04-02", "roll_back")
    (second,), _ = stage.tick(SENSOR)
    assert first.run_key == second.run_key
