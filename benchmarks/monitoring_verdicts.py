"""What the shipped monitors and the shipped decision table say of lived days.

Here: ``Watch``. Belongs here: handing a lived day to the monitors as the assets do. Does not: thresholds or rules of
its own: there are none.

``feature_skew`` is not asked: faults are alike online and offline here, so it would have nothing to see. There is one
champion, whose trial is long over: nothing is rolled back, and the calendar is not asked either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmarks.model_data import USE_CASE
from benchmarks.monitoring_year import Lived
from mlops_assets.contracts import Action, Decision, Judgement, Verdict
from mlops_assets.ml import label_sanity, monitoring, performance
from mlops_assets.ml.drift_engines import DriftEngine
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.plausibility import implausible
from mlops_assets.ml.policy import DATA_CHECKS, DRIFTS, Situation, decide, speaks
from mlops_assets.ml.references import DriftReference

WINDOW_DAYS = 7
BLOCKED = "landing"
"""The layer that stops a day before anything is made of it."""
LAYERS = (BLOCKED, *(name for name in DATA_CHECKS if name != "feature_skew"), *DRIFTS)
"""What acts. ``INFORMING`` speaks to people alone."""
INFORMING = ("prediction_drift", "label_drift", "estimated_performance")


@dataclass(frozen=True, kw_only=True)
class Concluded:
    """One day: what every monitor said, which of them speak (after debouncing), and what was decided."""

    day: str
    judgements: tuple[Judgement, ...]
    speaking: tuple[str, ...]
    action: Action
    reason: str


class Watch:
    """Judges days one after another; ``history`` are the days before the first."""

    def __init__(self, reference: DriftReference, engine: DriftEngine, champion_since: str) -> None:
        self._reference, self._engine, self._since = reference, engine, champion_since

    def conclude(self, lived: Sequence[Lived], judged: Sequence[Judgement] = ()) -> Concluded:
        """The last of the lived days, of which the last seven are looked at; ``judged`` are earlier days' verdicts."""
        today = lived[-1]
        if today.blocked:
            return Concluded(
                day=today.day, judgements=(), speaking=(BLOCKED,), action=Action.HOLD, reason=today.blocked
            )
        mine = self.judge(lived)
        situation = Situation(
            day=today.day,
            judgements=(*judged, *mine),
            champion_version=1,
            champion_since=self._since,
            champion_cutoff=today.day,
        )
        decision: Decision = decide(situation, USE_CASE.monitoring)
        alarms = {j.monitor for j in mine if j.verdict is Verdict.ALARM}
        speaking = [n for n in (*LAYERS, *INFORMING) if n in alarms and self._is_heard(n, situation)]
        return Concluded(
            day=today.day,
            judgements=tuple(mine),
            speaking=tuple(speaking),
            action=decision.action,
            reason=decision.reason,
        )

    def _is_heard(self, name: str, situation: Situation) -> bool:
        return name in DATA_CHECKS or speaks(name, situation, USE_CASE.monitoring)

    def judge(self, lived: Sequence[Lived]) -> list[Judgement]:
        """The verdicts on the last of the lived days."""
        today, label, reference = lived[-1], USE_CASE.label, self._reference
        about = Subject(day=today.day, champion_version=1)
        week = lived[-WINDOW_DAYS:]
        traffic = pd.concat([day.traffic for day in week], ignore_index=True)
        outcomes = pd.concat([day.outcomes for day in week], ignore_index=True)
        recent = pd.concat([day.outcomes for day in lived[-label_sanity.DAYS :]], ignore_index=True)
        held = int((today.feeds.quarantined["day"] == today.day).sum())
        return [
            monitoring.data_contract(about, rows=today.landed_rows, quarantined=held, broken=implausible(today.feeds)),
            monitoring.feature_contract(about, reference, traffic),
            label_sanity.label_sanity(about, recent, label=label),
            monitoring.data_drift(about, reference, traffic, self._engine),
            performance.performance(about, reference, outcomes, label=label),
            monitoring.prediction_drift(about, reference, traffic, self._engine),
            monitoring.label_drift(about, reference, outcomes, label=label),
            performance.estimated_performance(about, reference, today.traffic["score"].to_numpy()),
        ]
