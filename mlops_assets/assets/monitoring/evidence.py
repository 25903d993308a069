"""Everything that the monitors of one day look at, gathered once.

Here: ``Evidence`` and how it is read. Belongs here: which rows and which reference a monitor is given. Does not:
what a monitor makes of them (``ml.monitoring``, ``ml.performance``).

The history of promotions is read once and looked at as it stood when the day was first judged: a day that is judged
again meets the champion and the predecessor that it had, whatever its verdict has led to since.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.assets.address import DATASETS, table
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import Arm, Transition, UseCase
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.policy import ROLLBACK_DAYS
from mlops_assets.ml.segments import of_segment
from mlops_assets.ml.tenures import as_judged, holders, previous_champion, set_out

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
    rollback_outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Outcomes since the champion set out, while it can be rolled back; without a predecessor those of seven days."""

    def of_champion(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows that the present champion scored, with its score as ``score``, whoever answered them."""
        if rows.empty or self.champion is None:
            return rows
        mine = rows[rows["champion_version"] == self.champion.version]
        return mine.assign(score=mine["champion_score"])

    def on_its_way(self) -> pd.DataFrame:
        """Rows that the champion scored beside its predecessor before its promotion: score and predecessor_score."""
        rows = self.rollback_outcomes
        if rows.empty or self.champion is None or self.predecessor is None:
            return rows.iloc[:0]
        theirs = rows[rows["champion_version"] == self.predecessor.version]
        mine = arm_scores(theirs, self.champion.version)
        return theirs.assign(score=mine, predecessor_score=theirs["champion_score"])[mine.notna()]


def arm_scores(rows: pd.DataFrame, version: int) -> pd.Series:
    """What a version scored in shadow or canary, row by row; NaN where it did not."""
    scores = pd.Series(np.nan, index=rows.index)
    for arm in (Arm.SHADOW, Arm.CANARY):
        if f"{arm}_version" in rows:
            scores = scores.where(rows[f"{arm}_version"] != version, rows[f"{arm}_score"])
    return scores


def gather(
    tables: Tables, releases: Releases, use_case: UseCase, day: str, judged_about: int | None = None
) -> Evidence:
    """Read what the monitors of a day need. ``judged_about``: the champion of an earlier verdict on the same day."""
    history = as_judged(releases.promotions.all(use_case.name), day, judged_about)
    champion = holders(history).get(Arm.CHAMPION)
    predecessor = previous_champion(history) if champion else None
    first = shift(day, 1 - WINDOW_DAYS)
    reach = _reach(history, champion, day) if champion and predecessor else first
    outcomes = rows_between(tables, use_case, "outcomes", min(reach, first), day)
    return Evidence(
        about=Subject(
            day=day,
            champion_version=champion.version if champion else None,
            champion_digest=champion.digest if champion else None,
        ),
        champion=champion,
        predecessor=predecessor,
        # Whoever asks a segment's model about another one's decisions gets an answer, and says nothing of the model.
        traffic=of_segment(rows_between(tables, use_case, "traffic", first, day), use_case.segment),
        outcomes=outcomes[outcomes["day"] >= first] if len(outcomes) else outcomes,
        rollback_outcomes=outcomes,
        # All rows that landed, for a segment too: its features are made of every segment's.
        landed_rows=sum(_count(tables, use_case, name, day) for name in ("flights", "arrivals", "weather")),
        quarantined_rows=_count(tables, use_case, "quarantine", day),
    )


def _reach(history: list[Transition], champion: Transition, day: str) -> str:
    """The day on which the champion set out, as far back as matters and a day's cost allows."""
    if champion.day < shift(day, -ROLLBACK_DAYS):
        return shift(day, -ROLLBACK_DAYS)
    return max(set_out(history, champion).day, shift(day, -2 * ROLLBACK_DAYS))


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
