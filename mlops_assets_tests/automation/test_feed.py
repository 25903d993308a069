"""The feed lands one thing at a time, in order, and waits for runs and sensors before the next."""

import dagster as dg
from dagster._core.test_utils import create_run_for_test

from mlops_assets.assets.address import DATASETS, MODELS, RELEASES, key


def asked(stage):
    return stage.tick("flights__feed")


def test_an_empty_state_lands_static_tables_then_history_then_trains(stage, use_case):
    (request,), _ = asked(stage)
    assert request.job_name == "flights__static"
    stage.happened(key(use_case.domain, DATASETS, "airports"))
    (request,), _ = asked(stage)
    assert request.job_name == "flights__history"
    assert request.tags["dagster/asset_partition_range_start"] == "2013-01-01"
    assert request.tags["dagster/asset_partition_range_end"] == "2013-03-31"
    stage.happened(key(use_case.domain, DATASETS, "landing"), "2013-03-31")
    (request,), _ = asked(stage)
    assert (request.job_name, request.partition_key) == ("arrival_delay__train", "2013-03-31")


def test_the_first_live_day_waits_for_the_first_champion(stage, use_case):
    stage.happened(key(use_case.domain, DATASETS, "airports"))
    stage.happened(key(use_case.domain, DATASETS, "landing"), "2013-03-31")
    stage.happened(key(use_case, MODELS, "registered_version"), "2013-03-31")
    requests, reason = asked(stage)
    assert requests == []
    assert "waits" in reason
    stage.happened(key(use_case, RELEASES, "champion"), "2013-03-31")
    (request,), _ = asked(stage)
    assert (request.job_name, request.partition_key) == ("flights__day", "2013-04-01")


def test_the_feed_ends_with_its_last_day(stage, use_case):
    stage.happened(key(use_case.domain, DATASETS, "airports"))
    stage.happened(key(use_case.domain, DATASETS, "landing"), "2013-04-03")
    stage.happened(key(use_case, RELEASES, "champion"), "2013-03-31")
    assert asked(stage) == ([], "the feed ends with 2013-04-03")


def test_an_old_day_materialized_again_does_not_turn_the_feed_back(stage, use_case):
    stage.happened(key(use_case.domain, DATASETS, "airports"))
    stage.happened(key(use_case.domain, DATASETS, "landing"), "2013-04-02")
    stage.happened(key(use_case.domain, DATASETS, "landing"), "2013-02-01")
    stage.happened(key(use_case, RELEASES, "champion"), "2013-03-31")
    (request,), _ = asked(stage)
    assert request.partition_key == "2013-04-03"


def test_the_next_day_waits_for_runs_in_progress(stage, use_case):
    create_run_for_test(stage.instance, "flights__day", status=dg.DagsterRunStatus.STARTED)
    assert asked(stage) == ([], "1 runs in progress: the next day waits for them")
