"""Retention of the server's log: what it forgets lies in a table, once, whenever the run was killed."""

import dagster as dg
import msgspec
import pytest

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.adapters.tables import DeltaTables, Tables
from mlops_assets.adapters.traffic_log import MemoryTrafficLog, TrafficLog, TrafficRecord
from mlops_assets.assets.address import MONITORING, table
from mlops_assets.assets.monitoring.retention import ARCHIVE, build_retention
from mlops_assets.assets.monitoring.traffic import build_traffic
from mlops_assets.use_cases import ARRIVAL_DELAY as USE_CASE
from mlops_assets_tests.conftest import checks_of

OLD, NEW = "2013-04-01", "2013-05-10"
ARCHIVED, TRAFFIC = table(USE_CASE, MONITORING, ARCHIVE), table(USE_CASE, MONITORING, "traffic")


@pytest.fixture(params=["memory", "real"])
def parts(request, tmp_path) -> tuple[TrafficLog, Tables]:
    if request.param == "memory":
        return MemoryTrafficLog(), MemoryTables()
    return SqliteTrafficLog(tmp_path / "traffic.db"), DeltaTables(tmp_path / "tables")


def record(number: int, day: str = OLD, *, decision: bool = True, received_at: str = "2013-04-01") -> TrafficRecord:
    return TrafficRecord(
        request_id=f"r{number}",
        event_time=f"{day}T12:00:00Z",
        day=day,
        model=USE_CASE.name,
        entity_id=f"{day}_UA{number}_EWR_IAH",
        arm="champion",
        version=1,
        digest="d" * 64,
        score=0.1 * number,
        request={"carrier": "UA"} if decision else {},
        received_at=f"{received_at}T12:00:00.000Z",
    )


def drain(log: TrafficLog, tables: Tables, *days: str) -> None:
    (traffic, _) = build_traffic(USE_CASE)
    for day in days:
        resources = {"traffic_log": log, "tables": tables}
        dg.materialize([traffic], partition_key=day, resources=resources)


def retain(log: TrafficLog, tables: Tables, keep_days: int = 30, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    (asset,) = build_retention(USE_CASE)
    config = {"ops": {asset.op.name: {"config": {"keep_days": keep_days}}}}
    resources = {"traffic_log": log, "tables": tables}
    return dg.materialize([asset], resources=resources, run_config=config, raise_on_error=not fails)


def told(result: dg.ExecuteInProcessResult) -> dict:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def ids(log: TrafficLog) -> list[str]:
    return [kept.request_id for kept in log.read()]


def test_what_was_drained_long_ago_is_forgotten_and_the_rest_stays(parts):
    log, tables = parts
    log.append([record(1), record(2), record(3, NEW)])
    drain(log, tables, OLD, NEW)
    result = retain(log, tables)
    assert ids(log) == ["r3"]
    assert told(result) == {"days": [OLD], "forgotten": 2, "archived": 0}
    assert checks_of(result) == {"log_retention/forgotten_answers_are_kept": True}
    assert tables.read(TRAFFIC, OLD, OLD)["request_id"].tolist() == ["r1", "r2"]
    assert tables.version(ARCHIVED) is None


def test_draining_a_forgotten_day_again_loses_nothing(parts):
    log, tables = parts
    log.append([record(1), record(2), record(3, NEW)])
    drain(log, tables, OLD, NEW)
    before = tables.read(TRAFFIC, OLD, OLD)
    retain(log, tables)
    log.append([record(4)])
    drain(log, tables, OLD)
    after = tables.read(TRAFFIC, OLD, OLD)
    assert sorted(after["request_id"]) == ["r1", "r2", "r4"]
    assert after[after["request_id"] != "r4"][list(before)].reset_index(drop=True).equals(before)


def test_an_answer_that_came_after_the_draining_goes_to_the_archive_whole(parts):
    log, tables = parts
    log.append([record(1), record(3, NEW)])
    drain(log, tables, OLD, NEW)
    late = record(2)
    log.append([late])
    result = retain(log, tables)
    assert told(result)["archived"] == 1
    assert ids(log) == ["r3"]
    (row,) = tables.read(ARCHIVED).to_dict("records")
    assert msgspec.json.decode(row["record"], type=TrafficRecord) == late
    assert (row["request_id"], row["asked_day"]) == ("r2", OLD)


def test_features_that_callers_sent_go_by_the_wall(parts):
    log, tables = parts
    log.append([record(1, decision=False), record(2, "2026-01-01", decision=False, received_at="9999-01-01")])
    retain(log, tables)
    assert ids(log) == ["r2"]
    assert tables.read(ARCHIVED)["request_id"].tolist() == ["r1"]


def test_decisions_that_nobody_drained_stay_however_old(parts):
    log, tables = parts
    log.append([record(1), record(3, NEW)])
    assert told(retain(log, tables)) == {"days": [], "forgotten": 0, "archived": 0}
    assert ids(log) == ["r1", "r3"]


class Dying(MemoryTrafficLog):
    """A log whose run is killed where the archive is written and nothing is forgotten yet."""

    def forget(self, request_ids):
        raise OSError("killed")


def test_killed_between_archive_and_log_the_run_is_repeated(parts):
    _, tables = parts
    dying, log = Dying(), MemoryTrafficLog()
    for either in (dying, log):
        either.append([record(1), record(3, NEW)])
    drain(dying, tables, NEW)
    retain(dying, tables, fails=True)
    assert tables.read(ARCHIVED)["request_id"].tolist() == ["r1"]
    assert ids(dying) == ["r1", "r3"]
    retain(log, tables)
    assert tables.read(ARCHIVED)["request_id"].tolist() == ["r1"]
    assert ids(log) == ["r3"]


class Deaf(MemoryTables):
    """Tables that say they kept what they did not."""

    def append_once(self, table, frame, key, commit=None, after=-1):
        super().append_once(table, frame.iloc[:1], key, commit, after)
        return len(frame)


def test_what_lies_nowhere_else_is_not_forgotten_and_told():
    log, tables = MemoryTrafficLog(), Deaf()
    log.append([record(1), record(2), record(3, NEW)])
    drain(log, tables, NEW)
    result = retain(log, tables)
    assert checks_of(result) == {"log_retention/forgotten_answers_are_kept": False}
    assert ids(log) == ["r2", "r3"]
