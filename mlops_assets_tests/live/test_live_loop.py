"""The loop with real processes: ``dagster dev`` alone on an empty state, its daemon's sensors, real servers.

The fixture plays the story once (``story``), in six to seven minutes on two cores; each test looks at one promise.
"""

from collections import Counter
from itertools import pairwise

import pytest

from mlops_assets.resources.run_endings import ENDINGS
from mlops_assets_tests.live.model_server import champion_of
from mlops_assets_tests.live.story import BAD_DAYS, BROKEN_DAY, FEED_FROM, LAST_DAY, LIVE_FROM, SILENCE, Record, Story

pytestmark = [pytest.mark.live, pytest.mark.timeout(1800)]

RUN_KEY = "dagster/run_key"
REGRET = "arrival_delay/monitoring/challenger_regret"
MOVES_OF_REMEDIATION = ("registered", "rolled_back", "restored")
ENDED = {status.value: ending for status, ending in ENDINGS.items()}


def requested_by(record: Record, sensor: str) -> list[str]:
    """Jobs that a sensor asked for, in order."""
    return [run.job for run in record.runs if run.sensor == sensor]


def test_the_feed_lands_history_and_then_one_day_a_run(record: Record) -> None:
    jobs = requested_by(record, "flights__feed")
    assert jobs[:3] == ["flights__static", "flights__history", "arrival_delay__train"]
    assert set(jobs[3:]) == {"flights__day"}
    history = next(run for run in record.runs if run.job == "flights__history")
    assert history.tags["dagster/asset_partition_range_start"] == FEED_FROM
    days = [run.partition for run in record.runs if run.job == "flights__day"]
    assert days == sorted(set(days))
    assert days[0] == LIVE_FROM
    landed = [made.partition for made in record.made["flights/datasets/landing"] if made.partition >= LIVE_FROM]
    assert landed == days[: len(landed)]


def test_the_first_model_becomes_champion_and_answers(record: Record) -> None:
    first = record.made["arrival_delay/releases/champion"][0].facts
    assert first["digest"] == record.digests["first"] == record.answers["first"]["digest"]
    assert record.answers["first"]["arm"] == "champion"
    assert 0 < record.answers["first"]["score"] < 1


def test_bad_days_end_in_a_retrain_by_sensor(record: Record) -> None:
    made = record.made["arrival_delay/remediation/retrain"]
    run = next(run for run in record.runs if run.run_id == made[0].run_id)
    assert (run.job, run.sensor, run.status) == ("arrival_delay__retrain", "arrival_delay__remediation", "SUCCESS")
    assert made[0].partition in BAD_DAYS
    decisions = {m.partition: m.facts for m in record.made["arrival_delay/monitoring/decision"]}
    decided = decisions[made[0].partition]
    assert decided["action"] == "retrain"
    assert run.tags["mlops/reason"] == decided["reason"][:240]
    trained = [line for line in record.history if line["kind"] == "registered" and line["version"] == 2]
    assert trained[0]["by"] == "sensor:arrival_delay__remediation"
    assert decided["reason"] in trained[0]["reason"]


def test_a_forced_champion_answered_until_the_sensor_rolled_it_back(record: Record) -> None:
    assert len(set(record.digests.values())) == 2
    assert record.answers["bad"]["digest"] == record.digests["bad"]
    assert record.answers["bad"]["version"] == record.bad_version
    forced = [line for line in record.history if line["kind"] == "override"]
    assert [(line["version"], line["by"]) for line in forced] == [(record.bad_version, "operator:live-test")]
    assert [digest for _, digest in record.champions] == [record.digests["bad"], record.digests["first"]]


def test_the_rollback_came_by_sensor_once_and_with_evidence(record: Record) -> None:
    (made,) = record.made["arrival_delay/remediation/rollback"]
    run = next(run for run in record.runs if run.run_id == made.run_id)
    assert (run.job, run.sensor, run.status) == ("arrival_delay__rollback", "arrival_delay__remediation", "SUCCESS")
    assert made.partition > BAD_DAYS[-1]
    assert made.facts["digest"] == record.digests["first"]
    out = [line for line in record.history if line["kind"] == "rolled_back"]
    back = [line for line in record.history if line["kind"] == "restored"]
    assert [line["version"] for line in out] == [record.bad_version]
    assert [line["digest"] for line in back] == [record.digests["first"]]
    assert out[0]["by"] == back[0]["by"] == "sensor:arrival_delay__remediation"
    judged = {judgement["monitor"]: judgement for judgement in out[0]["evidence"]["judgements"]}
    assert "alarm" in {judgement["verdict"] for judgement in judged.values()}
    assert all(judgement["champion_version"] == record.bad_version for judgement in judged.values())


def test_the_alias_moved_in_the_tick_and_the_run_only_looked(record: Record) -> None:
    (made,) = record.made["arrival_delay/remediation/rollback"]
    (seen,) = record.observed
    back = next(line for line in record.history if line["kind"] == "restored")
    assert (seen.partition, seen.run_id) == (made.partition, "")
    assert (seen.facts["outcome"], seen.facts["digest"]) == ("moved", record.digests["first"])
    assert back["dagster_run_id"] is None
    assert made.facts["moved_at"] == seen.facts["moved_at"] == back["at"]
    assert seen.at < record.rollback["stats"]["startTime"]


def test_broken_labels_are_quarantined_by_sensor_and_nothing_else_is_done(record: Record) -> None:
    (made,) = record.made["arrival_delay/remediation/quarantine"]
    run = next(run for run in record.runs if run.run_id == made.run_id)
    assert (run.job, run.sensor, run.status) == ("arrival_delay__quarantine", "arrival_delay__remediation", "SUCCESS")
    assert made.partition == BROKEN_DAY
    assert "rows went to quarantine" in made.facts["reason"]
    assert run.tags["mlops/runbook"] == "docs/runbooks/hold.md"
    assert {r.job for r in record.runs if r.tags.get("mlops/action") and r.partition == BROKEN_DAY} == {run.job}
    assert not [line for line in record.history if line["day"] == BROKEN_DAY and line["kind"] in MOVES_OF_REMEDIATION]


def test_an_inconclusive_verdict_moves_nobody(record: Record) -> None:
    judged = next(made for made in record.made[REGRET] if made.run_id == record.judged_again)
    assert judged.facts["step"] == "pause"
    said = f"version {judged.facts['candidate']}: pause: inconclusive: the paired rows could not be measured"
    ticks = record.sensors_before["arrival_delay__release"]["ticks"]
    (heard,) = [tick for tick in ticks if said in (tick["skipReason"] or "")]
    assert heard["runIds"] == []
    moves = [line["kind"] for line in record.history if line["version"] == judged.facts["candidate"]]
    assert moves[:2] == ["registered", "shadow"]
    assert "promoted" not in moves


def test_the_server_answers_with_the_old_digest(record: Record) -> None:
    assert champion_of(record.metadata) == record.digests["first"]
    assert record.answers["after"]["digest"] == record.digests["first"]
    assert record.answers["after"]["arm"] == "champion"
    deployed = record.made["arrival_delay/releases/deployment"][-1]
    assert deployed.partition > record.made["arrival_delay/remediation/rollback"][0].partition
    assert deployed.facts["champion_digest"] == record.digests["first"]


def test_lineage_leads_from_the_answer_to_data_and_code(record: Record) -> None:
    lineage = record.lineage
    assert lineage["artifact_digest"] == record.answers["after"]["digest"]
    assert lineage["aliases"] == ["champion"]
    assert lineage["code_commit"]
    assert lineage["lock_digest"]
    assert lineage["feature_service"] == "arrival_delay_v1"
    partitions = [table["partitions"] for table in lineage["tables"] if table["partitions"]]
    assert partitions
    assert max(days["last"] for days in partitions) < LIVE_FROM
    assert all(isinstance(table["version"], int) for table in lineage["tables"])


def test_every_tick_is_recorded_and_says_why(record: Record) -> None:
    assert set(record.sensors) == {
        "flights__feed",
        "arrival_delay__release",
        "arrival_delay__remediation",
        "experiments__settle",
        "lineage__tell",
        "alerts__tell",
        SILENCE,
    }
    for name, sensor in record.sensors.items():
        assert sensor["status"] == "RUNNING", name
        for tick in sensor["ticks"]:
            assert tick["status"] in ("SUCCESS", "SKIPPED", "STARTED"), (name, tick)
        silent = [tick for tick in sensor["ticks"] if not (tick["runKeys"] or tick["skipReason"])]
        # A tick that runs when Dagster is stopped says nothing. The next daemon puts it down as
        # skipped, so there may be one of those, and one that runs at the end.
        assert Counter(tick["status"] for tick in silent) <= Counter(SKIPPED=1, STARTED=1), (name, silent)
    asked = Counter(
        run_key.split("/")[1]
        for tick in record.sensors["arrival_delay__remediation"]["ticks"]
        for run_key in tick["runKeys"]
    )
    assert (asked["retrain"], asked["roll_back"], asked["hold"]) == (1, 1, 1)


def test_a_restart_keeps_cursors_and_asks_for_nothing_twice(record: Record) -> None:
    for name, before in record.sensors_before.items():
        assert name == SILENCE or record.sensors_after[name]["cursor"] == before["cursor"], name
    remediation = record.sensors["arrival_delay__remediation"]["ticks"]
    stopped = record.sensors_before["arrival_delay__remediation"]["ticks"][-1]["timestamp"]
    first = next(tick for tick in remediation if tick["timestamp"] > stopped)
    assert (first["status"], first["skipReason"]) == ("SKIPPED", "no new decision")
    keys = [run.tags[RUN_KEY] for run in record.runs if RUN_KEY in run.tags]
    assert len(keys) == len(set(keys))
    assert {run.run_id for run in record.runs_before} <= {run.run_id for run in record.runs}
    assert all(early.created <= late.created for early, late in pairwise(record.runs))


def test_mlflow_tells_the_ending_of_every_dagster_run(record: Record) -> None:
    ended = {run.run_id: ENDED[run.status] for run in record.runs if run.over}
    assert record.mlflow == {run_id: ended[run_id] for run_id in record.mlflow}
    assert record.mlflow[record.canceled_run] == "KILLED"
    tracked = {run.run_id for run in record.runs if "mlflow/run_id" in run.tags}
    assert tracked == set(record.mlflow)
    assert Counter(record.mlflow.values()) == {"FINISHED": 3, "KILLED": 1}


def test_no_run_failed_and_nobody_was_canceled_but_by_hand(record: Record) -> None:
    assert {run.run_id for run in record.runs if run.over and run.status != "SUCCESS"} == {record.canceled_run}


def test_people_are_told_of_retrain_rollback_and_hold_once_each_with_its_runbook(record: Record) -> None:
    acts = {"retrain": "retrain", "rollback": "roll_back", "quarantine": "hold"}
    days = {action: record.made[f"arrival_delay/remediation/{name}"][0].partition for name, action in acts.items()}
    wanted = [f"arrival_delay {day}: {action}" for action, day in days.items()]
    told = [alert["title"] for alert in record.alerts]
    assert [title for title in told if title in wanted] == wanted
    texts = {alert["title"]: alert["message"] for alert in record.alerts}
    for title, action in zip(wanted, days, strict=True):
        assert f"runbook: docs/runbooks/{action}.md" in texts[title]
    assert len(told) == len(set(told))
    assert not [title for title in told if "the run failed" in title]


def test_services_end_with_dagster_dev_and_nothing_is_left_running(told: Story) -> None:
    assert len(told.record.stop_seconds) == 2
    assert told.place.processes() == []
    assert list((told.place.state / "services" / "owners").glob("*")) == []


def test_a_day_that_is_being_lived_when_dagster_dev_ends_is_lived_to_its_end(record: Record) -> None:
    assert (record.last_day["status"], record.last_day["day"]) == ("SUCCESS", LAST_DAY)
    assert record.last_day["answers"] == record.last_day["requests"] > 0


def test_from_the_bad_verdict_to_the_old_digest_it_takes_seconds(told: Story) -> None:
    record, rolled = told.record, told.record.made["arrival_delay/remediation/rollback"][0]
    decided = next(m for m in record.made["arrival_delay/monitoring/decision"] if m.partition == rolled.partition)
    tick = next(t for t in record.sensors["arrival_delay__remediation"]["ticks"] if rolled.run_id in t["runIds"])
    stats = record.rollback["stats"]
    steps = [step["startTime"] for step in record.rollback["stepStats"] if step["startTime"]]
    instants = {
        "decision": decided.at,
        "tick": tick["timestamp"],
        "enqueued": stats["enqueuedTime"],
        "launched": stats["launchTime"],
        "started": stats["startTime"],
        "first step": min(steps),
        "server answers": record.champions[-1][0],
        "materialized": rolled.at,
    }
    told.tell("rollback: " + ", ".join(f"{name} {at - decided.at:+.1f} s" for name, at in instants.items()))
    assert record.champions[-1][0] - decided.at < 60
