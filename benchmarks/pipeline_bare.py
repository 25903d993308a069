"""The year's datasets and features as a bare script: the same functions on the same files, and nothing around them.

Run as ``python -m benchmarks.pipeline_bare LANDING TABLES LAST_YEAR``. Here: the peer of ``benchmarks.pipeline_graph``.
Does not belong here: anything of Dagster, or of this project's adapters but the reader of landed files.

It reads each landed file once, holds it against its contract, judges what the datasets' checks judge, and writes every
table with one append a year.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from benchmarks.measure import peak_mb_of
from benchmarks.shifted_years import FIRST_YEAR, YearsLanded, days_of_years
from mlops_assets.adapters.source import LandedSource
from mlops_assets.ml import completeness
from mlops_assets.ml.completeness import BROKEN_SHARE, LANDED_TWICE
from mlops_assets.ml.dataset_contracts import References
from mlops_assets.ml.datasets import check
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.schedules import local_day

DAILY = ("flights", "arrivals", "weather")


def main(landing: Path, tables: Path, last_year: int) -> None:
    """Do it, year by year, and print how long each took."""
    source = LandedSource(landing, YearsLanded())
    references = source.references()
    kept: dict[str, pd.DataFrame] = {}
    years = []
    for year in range(FIRST_YEAR, last_year + 1):
        begin = time.perf_counter()
        days = days_of_years(year, year)
        raw = {day: source.day(day) for day in days}
        for name in DAILY:
            checked = check(name, {day: getattr(frames, name) for day, frames in raw.items()}, references)
            write(tables / "datasets" / name, checked.good)
            write(tables / "datasets" / f"quarantine_{name}", checked.quarantined)
            kept[name] = pd.concat([kept[name], checked.good]) if name in kept else checked.good
        require_whole(kept, references, days)
        for name, view in VIEWS.items():
            inputs = {dataset: kept[dataset].reset_index(drop=True) for dataset in view.inputs}
            rows = compute(name, inputs, hours_of(days))
            write(tables / "features" / name, rows.assign(day=local_day(rows["event_timestamp"])))
        # The longest window of a feature reaches nine days back.
        tail = days[-9]
        kept = {name: frame[frame["day"] >= tail] for name, frame in kept.items()}
        years.append({"work": time.perf_counter() - begin, "peak_mb": peak_mb_of()})
    print(json.dumps({"years": years}))


def require_whole(kept: dict[str, pd.DataFrame], references: References, days: list[str]) -> None:
    """The verdicts of the datasets' checks. Raises AssertionError when one would block."""
    flights, arrivals, weather = (kept[name].reset_index(drop=True) for name in DAILY)
    strange = completeness.strange_flights(flights, references).notna().any()
    silent = any(completeness.airports_without_schedule(flights, days).values())
    twice = (completeness.strange_arrivals(arrivals, flights, flights["day"].min()) == LANDED_TWICE).any()
    least = min(min(day.shares.values()) for day in completeness.landings(flights, arrivals, days))
    doubled = any(day.found[o] > n for day in completeness.observations(weather, days) for o, n in day.expected.items())
    assert not any((strange, silent, twice, doubled, least < BROKEN_SHARE))


def write(table: Path, frame: pd.DataFrame) -> None:
    """Append the rows to a table partitioned by day."""
    if len(frame):
        write_deltalake(table, pa.Table.from_pandas(frame, preserve_index=False), mode="append", partition_by=["day"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
