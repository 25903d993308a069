"""Each asset check seen failing on what it is there to catch."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.releases import Cause
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.assets.address import FEATURES, MODELS, MONITORING, RELEASES, TRAINING, key
from mlops_assets.assets.files import put_release_decision
from mlops_assets.assets.monitoring import monitors
from mlops_assets.assets.monitoring.evidence import Evidence
from mlops_assets.assets.releases import build_releases
from mlops_assets.contracts import Arm, Judgement, ReleaseDecision, Step, Verdict
from mlops_assets.ml import monitoring
from mlops_assets_tests.conftest import LAST, LIVE, Twins, checks_of


class RoundedStore(MemoryFeatureStore):
    """An online store that keeps single precision."""

    def write_online(self, view: str, frame: pd.DataFrame) -> int:
        numbers = frame.select_dtypes("float64").columns
        return super().write_online(view, frame.astype(dict.fromkeys(numbers, "float32")))


class RepeatingLog(MemoryTrafficLog):
    """A log that tells every record twice."""

    def read(self, day: str | None = None, model: str | None = None) -> list[Any]:
        return super().read(day, model) * 2


def with_part(twins: Twins, tmp_path: Any, **parts: Any) -> Twins:
    return Twins(tmp_path / "other", replace(twins.memory, **parts), twins.endpoint)


def cause(identity: str) -> Cause:
    return Cause(id=identity, day=LIVE[1], by="operator:test", reason="to set the stage")


def server_check(twins: Twins, arm: Arm) -> dg.AssetCheckResult:
    """What the check about an arm says now."""
    wanted = dg.AssetCheckKey(key(twins.use_case, RELEASES, arm), "server_reports_the_evaluated_digest")
    built = [a for a in build_releases(twins.use_case) if isinstance(a, dg.AssetChecksDefinition)]
    (check,) = [a for a in built if wanted in a.check_keys]
    return check(releases=twins.releases, endpoint=twins.endpoint)


def test_an_online_value_in_single_precision_is_not_the_offline_one(lived, tmp_path):
    online = key(lived.domain, FEATURES, "online_store")
    assert checks_of(lived.materialize([online], LIVE[1])) == {"online_store/online_equals_offline": True}
    rounded = with_part(lived, tmp_path, feature_store=RoundedStore(lived.memory.tables))
    assert checks_of(rounded.materialize([online], LIVE[1])) == {"online_store/online_equals_offline": False}


def test_an_answer_that_was_logged_twice_is_seen(lived, tmp_path):
    log = RepeatingLog()
    records = lived.memory.traffic_log.read()
    digest = records[0].features_digest
    log.append(records, {digest: lived.memory.traffic_log.features(digest)})
    repeating = with_part(lived, tmp_path, traffic_log=log)
    result = repeating.materialize([key(lived.use_case, MONITORING, "traffic")], LIVE[0])
    assert checks_of(result) == {"traffic/answers_are_unique": False}


def test_a_training_set_without_a_late_flight_is_seen(lived):
    arrivals = lived.memory.tables.read("flights/datasets/arrivals")
    days = lived.memory.tables.days("flights/datasets/arrivals")
    lived.memory.tables.replace("flights/datasets/arrivals", arrivals.assign(arr_delay=0), days, {})
    result = lived.materialize([key(lived.use_case, TRAINING, "training_set")], LAST)
    assert checks_of(result) == {"training_set/has_both_outcomes": False, "training_set/rows_are_current": False}


def test_a_card_without_a_stated_limit_is_incomplete(lived, tmp_path):
    silent = Twins(tmp_path / "other", lived.memory, lived.endpoint, replace(lived.use_case, limits=()))
    result = silent.materialize([key(lived.use_case, MODELS, "model_card")], LAST)
    assert checks_of(result) == {"model_card/card_is_complete": False}


def test_a_champion_that_the_server_cannot_load_is_seen(lived):
    # Before the server's first look: it has no earlier champion to stay with.
    lived.endpoint.refuse(lived.promotions.arms("arrival_delay")[Arm.CHAMPION].digest)
    told = server_check(lived, Arm.CHAMPION)
    assert not told.passed
    assert told.metadata["reported"].value == "nothing"


def test_an_alias_that_the_history_knows_nothing_of_is_seen(lived):
    assert server_check(lived, Arm.CANARY).passed
    lived.memory.registry.set_alias("arrival_delay", Arm.CANARY, 1)
    assert not server_check(lived, Arm.CANARY).passed


def test_a_refused_candidate_did_not_pass_and_leaves_its_arm(lived):
    version = lived.memory.registry.versions("arrival_delay")[0]
    lived.releases.leave(version.name, 1, version.digest, cause=cause("out"), kind="retired")
    lived.releases.enter(version.name, 1, version.digest, Arm.CANARY, cause=cause("in"), basis_points=2000)
    refusal = ReleaseDecision(
        day=LIVE[1], version=1, step=Step.REFUSE, reason="worse than the champion", arm=Arm.CANARY
    )
    put_release_decision(lived.memory.artifacts, lived.use_case, refusal)
    result = lived.materialize([key(lived.use_case, RELEASES, "canary_analysis")], LAST)
    assert checks_of(result) == {"canary_analysis/candidate_passed": False}
    assert lived.promotions.arms("arrival_delay") == {}


def test_a_monitor_in_alarm_is_not_quiet(lived):
    row = {"day": LIVE[1], "dataset": "flights", "row": 0, "reason": "r", "source_row": "{}"}
    broken = pd.DataFrame([row] * 500)
    lived.memory.tables.replace("flights/datasets/quarantine", broken, [LIVE[1]], {})
    result = lived.materialize([key(lived.use_case, MONITORING, "data_contract")], LIVE[1])
    assert checks_of(result) == {"data_contract/is_quiet": False}


@pytest.mark.parametrize("name", monitors.MONITORS)
def test_every_monitor_s_alarm_reaches_its_check(lived, monkeypatch, name):
    """What sets each monitor off is shown in ``ml/test_monitoring.py`` and ``ml/test_performance.py``."""

    def alarmed(bench: monitors.Bench, seen: Evidence) -> Judgement:
        return replace(monitoring.unknown(name, seen.about, "far too many"), verdict=Verdict.ALARM)

    monkeypatch.setattr(monitors, "MONITORS", {**monitors.MONITORS, name: alarmed})
    result = lived.materialize([key(lived.use_case, MONITORING, name)], LIVE[1])
    assert checks_of(result) == {f"{name}/is_quiet": False}
    (told,) = result.get_asset_check_evaluations()
    assert told.metadata["reason"].value == "far too many"
