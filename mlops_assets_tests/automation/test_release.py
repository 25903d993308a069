"""The release sensor asks for the next step of a candidate, once for each verdict."""

from mlops_assets.assets.address import MODELS, MONITORING, key

SENSOR = "arrival_delay__release"


def verdict(step, version=2, day="2013-04-05"):
    return {"version": version, "day": day, "step": step, "reason": "r", "numbers": {}, "cutoff_day": "2013-04-01"}


def test_a_candidate_that_passed_shadow_starts_its_canary(stage, use_case):
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("to_canary")])
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__canary"
    assert request.partition_key == "2013-04-01"
    config = request.run_config["ops"]["arrival_delay__releases__canary"]["config"]
    assert config == {"version": 2, "day": "2013-04-05"}


def test_a_canary_that_passed_a_share_is_widened_by_the_same_job(stage, use_case):
    for day in ("2013-04-06", "2013-04-07"):
        told = verdict("widen", day=day)
        stage.happened(key(use_case, MONITORING, "challenger_regret"), day, verdicts=[told])
    requests, _ = stage.tick(SENSOR)
    assert [request.job_name for request in requests] == ["arrival_delay__canary"] * 2
    assert [request.run_key for request in requests] == [
        f"arrival_delay/widen/2/{day}" for day in ("2013-04-06", "2013-04-07")
    ]


def test_a_refused_candidate_is_concluded(stage, use_case):
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("refuse")])
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__conclude"
    assert set(request.run_config["ops"]) == {
        "arrival_delay__releases__canary_analysis",
        "arrival_delay__releases__champion",
    }


def test_the_first_version_becomes_champion_without_a_canary(stage, use_case):
    stage.happened(key(use_case, MODELS, "registered_version"), "2013-03-31", verdicts=[verdict("to_champion", 1)])
    (request,), _ = stage.tick(SENSOR)
    assert request.job_name == "arrival_delay__conclude"


def test_an_inconclusive_candidate_is_left_where_it_is_and_the_reason_is_told(stage, use_case):
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("pause")])
    assert stage.tick(SENSOR) == ([], "version 2: pause: r")
    assert stage.tick(SENSOR) == ([], "no candidate to move")


def test_both_walked_assets_keep_a_cursor_of_their_own(stage, use_case):
    stage.happened(key(use_case, MODELS, "registered_version"), "2013-03-31", verdicts=[verdict("to_champion", 1)])
    assert len(stage.tick(SENSOR)[0]) == 1
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("to_canary")])
    requests, _ = stage.tick(SENSOR)
    assert [request.job_name for request in requests] == ["arrival_delay__canary"]


def test_the_same_verdict_judged_again_asks_for_nothing(stage, use_case):
    for _ in range(2):
        stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("to_canary")])
    assert len(stage.tick(SENSOR)[0]) == 1
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("to_canary")])
    assert stage.tick(SENSOR) == ([], "version 2: to_canary: r")


def test_every_step_says_why_and_where_the_runbook_is(stage, use_case):
    stage.happened(key(use_case, MONITORING, "challenger_regret"), "2013-04-05", verdicts=[verdict("refuse")])
    (request,), _ = stage.tick(SENSOR)
    assert request.tags["mlops/reason"] == "r"
    assert request.tags["mlops/runbook"] == "https://wiki.example/books/retrain.md"
