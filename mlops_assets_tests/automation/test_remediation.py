"""The remediation sensor asks for what was decided, once, and says why."""

from mlops_assets.assets.address import MONITORING, key
from mlops_assets.automation.walk import EVENTS_PER_TICK

SENSOR = "arrival_delay__remediation"
BOOKS = "https://wiki.example/books"


def days(count):
    return [f"2013-{4 + number // 28:02d}-{1 + number % 28:02d}" for number in range(count)]


def test_a_retrain_hands_its_reason_to_the_training(stage, use_case):
    stage.decided(use_case, "2013-04-02", "retrain")
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__retrain"
    config = request.run_config["ops"]["arrival_delay__models__model"]["config"]
    assert config["because"] == "retrain on 2013-04-02: because of 2013-04-02"


def test_broken_data_is_held(stage, use_case):
    stage.decided(use_case, "2013-04-02", "hold")
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__quarantine"
    assert request.partition_key == "2013-04-02"


def test_every_request_says_why_and_where_the_runbook_is(stage, use_case):
    for action in ("hold", "retrain", "fall_back"):
        stage.decided(use_case, f"2013-04-{len(action):02d}", action)
    for request, action in zip(stage.tick(SENSOR)[0], ("hold", "retrain", "fall_back"), strict=True):
        assert request.tags["mlops/action"] == action
        assert request.tags["mlops/reason"] == f"because of 2013-04-{len(action):02d}"
        assert request.tags["mlops/runbook"] == f"{BOOKS}/{action}.md"


def test_quiet_days_ask_for_nothing_and_say_so(stage, use_case):
    assert stage.tick(SENSOR) == ([], "no new decision")
    stage.decided(use_case, "2013-04-02", "nothing")
    stage.decided(use_case, "2013-04-03", "watch")
    requests, reason = stage.tick(SENSOR)
    assert requests == []
    assert reason == (
        "2 new decisions, no run to ask for; 2013-04-02: nothing: because of 2013-04-02; "
        "2013-04-03: watch: because of 2013-04-03"
    )


def test_in_cooldown_nothing_is_asked_for_and_the_tick_says_that_it_is_one(stage, use_case):
    stage.decided(use_case, "2013-04-02", "retrain")
    stage.tick(SENSOR)
    for day in days(14)[2:]:
        stage.decided(use_case, day, "watch", reason="retrained on 2013-04-02, in cooldown; wanted: retrain, drift")
        requests, reason = stage.tick(SENSOR)
        assert requests == []
        assert "retrained on 2013-04-02, in cooldown" in reason


def test_none_of_a_hundred_decisions_between_two_ticks_is_lost(stage, use_case):
    job_of = {"retrain": "arrival_delay__retrain", "hold": "arrival_delay__quarantine"}
    actions = [("nothing", "retrain", "watch", "hold")[number % 4] for number in range(100)]
    for day, action in zip(days(100), actions, strict=True):
        stage.decided(use_case, day, action)
    requests, _ = stage.tick(SENSOR)
    wanted = [(day, job_of[action]) for day, action in zip(days(100), actions, strict=True) if action in job_of]
    assert [(request.partition_key, request.job_name) for request in requests] == wanted
    assert stage.tick(SENSOR) == ([], "no new decision")


def test_more_decisions_than_a_tick_reads_are_left_to_the_next_ones(stage, use_case):
    for _ in range(EVENTS_PER_TICK):
        stage.happened(key(use_case, MONITORING, "decision"), "2013-04-01", action="nothing", reason="quiet", version=1)
    stage.decided(use_case, "2013-04-02", "hold")
    requests, reason = stage.tick(SENSOR)
    assert requests == []
    assert reason.startswith(f"{EVENTS_PER_TICK} new decisions")
    assert [request.partition_key for request in stage.tick(SENSOR)[0]] == ["2013-04-02"]
    assert stage.tick(SENSOR) == ([], "no new decision")


def test_a_tick_that_is_repeated_because_its_cursor_was_lost_asks_for_nothing_twice(stage, use_case):
    for day, action in zip(days(3), ("hold", "retrain", "hold"), strict=True):
        stage.decided(use_case, day, action)
    assert len(stage.tick(SENSOR)[0]) == 3
    stage.cursor = None
    requests, reason = stage.tick(SENSOR)
    assert requests == []
    assert reason.count("asked for before") == 3


def test_the_same_decision_materialized_again_asks_for_nothing(stage, use_case):
    stage.decided(use_case, "2013-04-02", "retrain")
    stage.tick(SENSOR)
    stage.decided(use_case, "2013-04-02", "retrain", reason="late outcomes say the same")
    requests, reason = stage.tick(SENSOR)
    assert requests == []
    assert "late outcomes say the same; asked for before; runbook: https://wiki.example/books/retrain.md" in reason


def test_a_changed_decision_of_the_same_day_asks_once(stage, use_case):
    stage.decided(use_case, "2013-04-02", "watch")
    assert stage.tick(SENSOR)[0] == []
    for _ in range(2):
        stage.decided(use_case, "2013-04-02", "hold", reason="late labels are broken")
    stage.tick(SENSOR)
    stage.decided(use_case, "2013-04-02", "hold")
    stage.tick(SENSOR)
    assert stage.instance.get_runs_count() == 1
