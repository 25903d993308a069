"""The year's datasets and features through Dagster: one range run a year, then one more day.

Run as ``python -m benchmarks.pipeline_graph LANDING STATE LAST_YEAR``. Here: the shipped definitions on the shipped
tables and Dagster's own SQLite storage, with a calendar that reaches as far as the benchmark wants. Does not belong
here: shortcuts that the shipped configuration does not take.
"""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.measure import peak_mb_of
from benchmarks.shifted_years import FIRST_YEAR, YearsLanded, days_of_years
from benchmarks.stopwatch import EventsWatched
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.adapters.source import LandedSource
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.assets.address import DATASETS, FEATURES
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets.definitions import build_defs
from mlops_assets.use_cases import ARRIVAL_DELAY

MORE_DAYS = 5
OUTSIDE = ("landing", "aircraft", "airports", "online_store", "upkeep")
"""Not measured: the files have landed, the registers never change, the online store and the nightly upkeep have no
counterpart."""


def main(landing: Path, state: Path, last_year: int) -> None:
    """Backfill the years, then some single days; print how long each took and what the event log took."""
    domain = replace(ARRIVAL_DELAY.domain, last_day=f"{last_year + 1}-12-31")
    use_case = replace(ARRIVAL_DELAY, domain=domain)
    resources = {"source": LandedSource(landing, YearsLanded()), "tables": DeltaTables(state / "tables")}
    definitions = build_defs((use_case,), resources, Settings(state=state, start_services=False))
    job = definitions.resolve_implicit_global_asset_job_def()
    wanted = [
        asset
        for asset in definitions.resolve_asset_graph().materializable_asset_keys
        if asset.path[0] == domain.name and asset.path[1] in (DATASETS, FEATURES) and asset.path[2] not in OUTSIDE
    ]
    with instance_at(state) as instance:
        run = Runs(job, instance, wanted)
        with EventsWatched() as watched:
            years = [run.year(year, watched) for year in range(FIRST_YEAR, last_year + 1)]
        single = [run.days([day]) for day in days_of_years(last_year + 1, last_year + 1)[:MORE_DAYS]]
    print(json.dumps({"years": years, "single": single}))


class Runs:
    """Runs of the chosen assets."""

    def __init__(self, job: Any, instance: dg.DagsterInstance, assets: list[dg.AssetKey]) -> None:
        """Nothing has run."""
        self._job, self._instance, self._assets = job, instance, assets

    def year(self, year: int, watched: EventsWatched) -> dict[str, float]:
        """What a run over a year took."""
        events, seconds, bodies = watched.events, watched.seconds, watched.body_seconds
        work = self.days(days_of_years(year, year))
        told = {"events": watched.events - events, "event_seconds": watched.seconds - seconds}
        told["body_seconds"] = watched.body_seconds - bodies
        return {"work": work, **told, "peak_mb": peak_mb_of()}

    def days(self, days: list[str]) -> float:
        """Seconds of one run over the days."""
        begin = time.perf_counter()
        bounds = {"partition_key": days[0]} if len(days) == 1 else {"tags": {RANGE_START: days[0], RANGE_END: days[-1]}}
        self._job.execute_in_process(instance=self._instance, asset_selection=self._assets, **bounds)
        return time.perf_counter() - begin


def instance_at(home: Path) -> dg.DagsterInstance:
    """The shipped instance, its storage in a folder of the benchmark."""
    home.mkdir(parents=True, exist_ok=True)
    shipped = (ROOT / "dagster.yaml").read_text()
    (home / "dagster.yaml").write_text(shipped.replace("state/dagster", str(home / "dagster")))
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
