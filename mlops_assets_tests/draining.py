"""A drain in a process of its own: two days of the server's log, through Dagster, into the table ``traffic``.

Belongs here: what a killed process was doing. Does not: killing it (``system_calls``).
"""

import logging
import warnings
from pathlib import Path

import dagster as dg
import deltalake  # noqa: F401 (imported once, before the forks)

from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.adapters.traffic_log import TrafficRecord
from mlops_assets.assets.monitoring.traffic import build_traffic
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.use_cases import ARRIVAL_DELAY as USE_CASE
from mlops_assets_tests.backfill import instance, tables

DAYS = ("2013-04-01", "2013-04-02")


def log(state: Path) -> SqliteTrafficLog:
    return SqliteTrafficLog(state / "traffic.db")


def record(number: int, day: str) -> TrafficRecord:
    return TrafficRecord(
        request_id=f"r{number}",
        event_time=f"{day}T12:00:00Z",
        day=day,
        model=USE_CASE.name,
        entity_id=f"{day}_UA{number}_EWR_IAH",
        arm="champion",
        version=1,
        digest="d" * 64,
        score=0.001 * number,
        request={"carrier": "UA"},
        received_at=f"{day}T12:00:00.000Z",
    )


def drain(state: Path) -> None:
    """One range run of the asset; ends with an error when the run does."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    (traffic, _) = build_traffic(USE_CASE)
    parts = {"traffic_log": log(state), "tables": tables(state)}
    days = {RANGE_START: DAYS[0], RANGE_END: DAYS[-1]}
    with instance(state) as kept:
        assert dg.materialize([traffic], instance=kept, resources=parts, tags=days).success
