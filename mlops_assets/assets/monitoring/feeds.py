"""The feeds of a day and of the days around it, read for the data contract.

Here: ``feeds_of``. Belongs here: which rows an invariant is given. Does not: invariants (``ml.plausibility``).
"""

import pandas as pd

from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.assets.address import DATASETS, table
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Domain
from mlops_assets.ml.datasets import nothing_broken
from mlops_assets.ml.plausibility import REPEATED_DAYS, Feeds

FEEDS = ("flights", "arrivals", "weather", "quarantine")


def feeds_of(tables: Tables, domain: Domain, day: str) -> Feeds:
    """What ``ml.plausibility`` looks at. Raises TableMissing when a dataset never landed."""

    def read(name: str, days_back: int, columns: list[str] | None = None) -> pd.DataFrame:
        return tables.read(table(domain, DATASETS, name), shift(day, -days_back), day, columns=columns)

    try:
        quarantined = read("quarantine", 1, ["day", "dataset", "reason"])
    except TableMissing:
        quarantined = nothing_broken()
    return Feeds(
        day=day,
        flights=read("flights", 1, ["day", "origin", "sched_arr_at"]),
        arrivals=read("arrivals", 0, ["day", "origin"]),
        weather=read("weather", REPEATED_DAYS),
        quarantined=quarantined,
    )
