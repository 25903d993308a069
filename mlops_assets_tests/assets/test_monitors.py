"""The monitors as assets: what they show, what they keep, and the serving that they see go wrong."""

import base64
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MONITORING, key
from mlops_assets.assets.files import attributions_of, judgements_of
from mlops_assets.assets.models.workbench import bundle_of
from mlops_assets.assets.monitoring.monitors import MONITORS
from mlops_assets.assets.monitoring.shown import DRAWN
from mlops_assets.contracts import Arm, Verdict
from mlops_assets.ml.policy import BREACHES, DATA_CHECKS, DRIFTS
from mlops_assets_tests.conftest import LAST, LIVE, Twins, checks_of, enthrone

NAME, NEXT = "arrival_delay", "2013-03-24"
TRAFFIC = f"{NAME}/monitoring/traffic"


def shown(result) -> dict[str, dict]:
    """Monitor -> its metadata."""
    events = result.asset_materializations_for_node(f"{NAME}__monitors")
    return {event.asset_key.path[-1]: {k: v.value for k, v in event.metadata.items()} for event in events}


def health(twins: Twins, day: str) -> dict:
    return shown(twins.materialize([key(twins.use_case, MONITORING, "server_health")], day))["server_health"]


def lived_on(twins: Twins, slower: float = 1.0, fallbacks: int = 0) -> None:
    """A second version became champion on the last live day; the day after is that day's traffic once more, by it."""
    enthrone(twins, LIVE[0])
    rows = twins.memory.tables.read(TRAFFIC, LIVE[1], LIVE[1])
    again = {"day": NEXT, "version": 2.0, "champion_version": 2.0, "latency_ms": rows["latency_ms"] * slower}
    rows = rows.assign(**again, request_id=[f"again/{n}" for n in range(len(rows))])
    fallen = np.arange(len(rows)) < fallbacks
    rows = rows.assign(arm=np.where(fallen, "fallback", "champion"), version=np.where(fallen, np.nan, 2.0))
    twins.memory.tables.replace(TRAFFIC, rows, [NEXT], {})


def test_every_monitor_that_the_decision_table_asks_exists():
    assert {*DATA_CHECKS, *BREACHES, *DRIFTS} <= set(MONITORS)


def test_every_monitor_of_a_live_day_shows_a_picture_and_no_error(life):
    monitors = shown(life.runs[LIVE[0]])
    assert set(monitors) == set(MONITORS)
    for name, metadata in monitors.items():
        assert "not_drawn" not in metadata, metadata["not_drawn"]
        assert "could not be measured" not in metadata["reason"]
        (encoded,) = re.findall(r"^!\[[^\]]+\]\(data:image/svg\+xml;base64,([\w+/=]+)\)$", metadata["picture"])
        assert ET.fromstring(base64.b64decode(encoded)).tag.endswith("svg"), name


def test_every_monitor_has_a_number_to_draw():
    assert set(MONITORS) <= set(DRAWN)


def test_performance_is_shown_with_intervals_by_days_and_by_slice(life):
    told = shown(life.runs[LIVE[1]])["performance"]
    assert told["week_log_loss_low"] < told["week_log_loss"] < told["week_log_loss_high"]
    assert told["log_loss origin=EWR"] > 0
    assert "| carrier=UA |" in told["slices"]
    assert "data:image/svg+xml" in told["calibration"]


def test_what_moved_the_answers_of_a_day_is_kept_with_the_version(life):
    kept = attributions_of(life.twins.memory.artifacts, life.twins.use_case, LIVE[0], 1)
    assert kept is not None
    assert kept.rows == 20
    told = shown(life.runs[LIVE[1]])["attribution_drift"]
    assert told["verdict"] == "unknown"
    assert told["reason"].startswith("2 of 7 days")


def test_a_week_of_answers_is_compared_with_the_training_window(lived):
    rows = lived.memory.tables.read(TRAFFIC, LIVE[0], LIVE[0])
    days = [f"2013-03-{day}" for day in range(22, 29)]
    week = [rows.assign(day=day, request_id=[f"{day}/{n}" for n in range(len(rows))]) for day in days]
    lived.memory.tables.replace(TRAFFIC, pd.concat(week), days, {})
    asset = key(lived.use_case, MONITORING, "attribution_drift")
    told = shown(lived.materialize([asset], days[-1]))["attribution_drift"]
    assert told["distance"] > 0
    assert told["limit"] > 0
    assert "data:image/svg+xml" in told["farthest"]


def test_a_version_from_before_attributions_were_kept_says_so(lived):
    registry, first = lived.memory.registry, lived.memory.registry.version(NAME, 1)
    documents = {path: registry.document(NAME, 1, path) for path in registry.documents(NAME, 1)}
    facts = json.loads(documents["reference.json"])
    assert facts.pop("attributions")
    documents["reference.json"] = json.dumps(facts).encode()
    bundle = bundle_of(lived.memory.artifacts, lived.use_case, LAST)
    registry.register(NAME, "old", bundle, documents, first.digest, {"cutoff_day": LAST})
    cause = Cause(id="old", day=LIVE[0], by="operator:test", reason="to set the stage")
    lived.releases.enter(NAME, 2, first.digest, Arm.CHAMPION, cause=cause, kind="override")
    told = shown(lived.materialize([key(lived.use_case, MONITORING, "attribution_drift")], NEXT))
    assert told["attribution_drift"]["verdict"] == "unknown"
    assert "from before attributions were kept" in told["attribution_drift"]["reason"]


def test_an_honest_day_of_a_new_champion_is_served_as_before(lived):
    lived_on(lived)
    told = health(lived, NEXT)
    assert told["verdict"] == "ok", told["reason"]
    assert told["usual_p95_ms"] > 0


def test_a_slow_champion_is_seen_against_the_days_before_it(lived):
    for day in LIVE:
        rows = lived.memory.tables.read(TRAFFIC, day, day)
        lived.memory.tables.replace(TRAFFIC, rows.assign(latency_ms=10.0), [day], {})
        health(lived, day)
    lived_on(lived, slower=20.0)
    result = lived.materialize([key(lived.use_case, MONITORING, "server_health")], NEXT)
    assert checks_of(result) == {"server_health/is_quiet": False}
    assert "before this champion at most 10 ms" in shown(result)["server_health"]["reason"]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_what_a_canary_answered_is_answered(lived, share):
    rows = lived.memory.tables.read(TRAFFIC, LIVE[1], LIVE[1])
    canary = np.arange(len(rows)) < share * len(rows)
    rows = rows.assign(arm=np.where(canary, "canary", rows["arm"]), version=np.where(canary, 9.0, rows["version"]))
    lived.memory.tables.replace(TRAFFIC, rows, [LIVE[1]], {})
    told = health(lived, LIVE[1])
    assert told["unanswered_share"] < 0.01
    assert told["rows"] == len(rows) - canary.sum()


def test_a_server_that_fell_back_is_seen(lived):
    lived_on(lived, fallbacks=100)
    told = health(lived, NEXT)
    assert told["verdict"] == "alarm"
    assert "the fallback gave" in told["reason"]


def test_the_day_of_its_promotion_is_not_held_against_a_champion_that_hardly_answered_on_it(lived):
    lived_on(lived)
    second = lived.memory.registry.version(NAME, 2)
    files = bundle_of(lived.memory.artifacts, lived.use_case, LAST)
    lived.memory.registry.register(NAME, "third", files, {}, second.digest, {"cutoff_day": LAST})
    cause = Cause(id="third", day=NEXT, by="operator:test", reason="to set the stage")
    lived.releases.enter(NAME, 3, second.digest, Arm.CHAMPION, cause=cause, kind="override")
    assert health(lived, NEXT)["verdict"] == "unknown"


@pytest.mark.parametrize("monitor", ["performance", "data_contract"])
def test_a_day_that_is_judged_again_says_what_was_said_before(lived, monitor):
    asset = key(lived.use_case, MONITORING, monitor)
    (first,) = judgements_of(lived.memory.artifacts, lived.use_case, LIVE[1], (monitor,))
    again = shown(lived.materialize([asset], LIVE[1]))[monitor]
    assert again["verdict"] == first.verdict
    assert "revised_from" not in again
    row = {"day": LIVE[1], "dataset": "flights", "row": 0, "reason": "r", "source_row": "{}"}
    lived.memory.tables.replace("flights/datasets/quarantine", pd.DataFrame([row] * 500), [LIVE[1]], {})
    outcomes = lived.memory.tables.read(f"{NAME}/monitoring/outcomes", LIVE[1], LIVE[1])
    corrected = outcomes.assign(is_late=1 - outcomes["is_late"])
    lived.memory.tables.replace(f"{NAME}/monitoring/outcomes", corrected, [LIVE[1]], {})
    other = shown(lived.materialize([asset], LIVE[1]))[monitor]
    assert (other["verdict"], other["revised_from"]) == ("alarm", first.verdict)
    (kept,) = judgements_of(lived.memory.artifacts, lived.use_case, LIVE[1], (monitor,))
    assert (kept.verdict, kept.revised_from) == (Verdict.ALARM, first.verdict)
