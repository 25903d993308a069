"""A backfill in a process of its own: datasets and features of two days, through Dagster, into Delta tables.

Belongs here: what a killed process was doing. Does not: killing it (``system_calls``).
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import deltalake  # noqa: F401 (imported once, before the forks)
import pandera.pandas  # noqa: F401

from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.source import LandedSource, NycFlights
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.assets.address import DATASETS, FEATURES, key
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.definitions import build_defs
from mlops_assets.use_cases import USE_CASES

DAYS = ("2013-02-11", "2013-02-12")
DOMAIN = USE_CASES[0].domain
NAMES = ("landing", "flights", "arrivals", "weather", "quarantine")
ASSETS = [*(key(DOMAIN, DATASETS, name) for name in NAMES), key(DOMAIN, FEATURES, "carrier_delays")]
SOURCE = NycFlights()


class Nobody:
    """A replay of days that nobody lives."""

    def is_next(self, *_: Any) -> bool:
        return False


def instance(state: Path) -> dg.DagsterInstance:
    """Dagster's own record, in SQLite files."""
    (state / "dagster").mkdir(parents=True, exist_ok=True)
    return dg.DagsterInstance.local_temp(str(state / "dagster"))


def tables(state: Path) -> DeltaTables:
    return DeltaTables(state / "tables")


def backfill(state: Path) -> None:
    """One range run of everything; ends with an error when the run does."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    parts = {"source": LandedSource(state / "landing", SOURCE), "tables": tables(state), "replay": Nobody()}
    built = build_defs(USE_CASES[:1], parts, Settings(state=state, start_services=False))
    job = built.resolve_implicit_global_asset_job_def()
    days = {RANGE_START: DAYS[0], RANGE_END: DAYS[-1]}
    with instance(state) as record:
        assert job.execute_in_process(instance=record, asset_selection=ASSETS, tags=days).success


# Read before the forks: the year takes a second.
SOURCE.day(DAYS[0])
