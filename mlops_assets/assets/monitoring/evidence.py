"""Everything that the monitors of one day look at, gathered once.

Here: ``Evidence`` and how it is read. Belongs here: which rows and which reference a monitor is given. Does not:
what a monitor makes of them (``ml.monitoring``, ``ml.performance``).
"""

from dataclasses import dataclass

import pandas as pd

from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.assets.address import DATASETS, table
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Transition, UseCase
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.segments import of_segment

WINDOW_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One day's evidence about one champion."""

    about: Subject
    champion: Transition | None
    predecessor: Transition | None
    traffic: pd.DataFrame
    """Answers of the last seven days."""
    outcomes: pd.DataFrame
    """Outcomes that became known in the last seven days, with the answers."""
    landed_rows: int
    quarantined_rows: int


def gather(tables: Tables, releases: Releases, use_case: UseCase, day: str) -> Evidence:
    """Read what the monitors of a day need."""
    champion = releases.promotions.champion_at(use_case.name, day)
    first = shift(day, 1 - WINDOW_DAYS)
    return Evidence(
        about=Subject(
            day=day,
            champion_version=champion.version if champion else None,
            champion_digest=champion.digest if champion else None,
        ),
        champion=champion,
        predecessor=releases.promotions.previous_champion(use_case.name) if champion else None,
        # Whoever asks a segment's model about another one's decisions gets an answer, and says nothing of the model.
        traffic=of_segment(rows_between(tables, use_case, "traffic", first, day), use_case.segment),
        outcomes=rows_between(tables, use_case, "outcomes", first, day),
        # All rows that landed, for a segment too: its features are made of every segment's.
        landed_rows=sum(_count(tables, use_case, name, day) for name in ("flights", "arrivals", "weather")),
        quarantined_rows=_count(tables, use_case, "quarantine", day),
    )


def _count(tables: Tables, use_case: UseCase, name: str, day: str) -> int:
    try:
        return len(tables.read(table(use_case.domain, DATASETS, name), day, day, columns=["day"]))
    except TableMissing:
        return 0


def recomputed(feature_store: FeatureStore, use_case: UseCase, served: pd.DataFrame) -> pd.DataFrame:
    """The vectors that the features give today for the decisions that were served."""
    entities = served.assign(event_timestamp=pd.to_datetime(served["event_time"], utc=True))
    inputs = feature_store.inputs(use_case.feature_service)
    columns = dict.fromkeys([use_case.entity_id, "event_timestamp", *(f.name for f in inputs.request_fields)])
    return feature_store.training_frame(use_case.feature_service, entities[list(columns)], None)
