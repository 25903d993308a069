"""A year of snapshots for the benchmark of the feature store: Delta tables, Parquet copies, and who asks.

Here: ``make_year``. Does not belong here: reading any of it (``benchmarks.features_offline``).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mlops_assets.adapters.source import NycFlights
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.ml.bitemporal import first_known
from mlops_assets.ml.datasets import check
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.schedules import local_day
from mlops_assets.ml.training import decisions

PLAIN, CORRECTED = "plain", "corrected"
CORRECTED_SHARE = 0.01


def make_year(root: Path, first: str = "2013-01-01", last: str = "2013-12-31") -> int:
    """Make ``<root>/<variant>/tables``, ``<root>/<variant>/<view>.parquet`` and ``<root>/decisions.parquet``.

    ``corrected`` has one row more for each of ``CORRECTED_SHARE`` of the snapshots: another value, known twenty minutes
    after the snapshot's own. Returns the number of decisions.
    """
    days = [str(day.date()) for day in pd.date_range(first, last)]
    source = NycFlights()
    references, raw = source.references(), {day: source.day(day) for day in days}
    frames = {
        name: check(name, {day: getattr(files, name) for day, files in raw.items()}, references).good
        for name in ("flights", "arrivals", "weather")
    }
    for number, view in enumerate(VIEWS):
        rows = first_known(compute(view, frames, hours_of(days)))
        rows = rows.assign(day=local_day(rows["event_timestamp"]))
        _keep(root / PLAIN, view, rows, days)
        _keep(root / CORRECTED, view, _corrected(rows, number), days)
    asked = decisions(frames["flights"])
    asked.to_parquet(root / "decisions.parquet", index=False)
    return len(asked)


def _corrected(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    chosen = rows.sample(frac=CORRECTED_SHARE, random_state=seed)
    values = chosen.select_dtypes("float64").columns
    later = chosen["event_timestamp"] + pd.Timedelta(minutes=20)
    news = chosen.assign(created_timestamp=later, **{name: np.round(chosen[name] + 1, 6) for name in values})
    return pd.concat([rows, news], ignore_index=True)


def _keep(folder: Path, view: str, rows: pd.DataFrame, days: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    DeltaTables(folder / "tables").replace(f"flights/features/{view}", rows, days, {})
    rows.drop(columns="day").to_parquet(folder / f"{view}.parquet", index=False)
