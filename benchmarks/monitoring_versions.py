"""Models of the year by cut-off day, each trained once in a run: what they answer, and what their monitors say.

Here: scores and verdicts on the frozen rows, kept so that policies which meet at the same model share them. Belongs
here: what depends on a model and a day alone. Does not: policies (``benchmarks.monitoring_loops``), the monitors
(``ml.monitoring``, ``ml.performance``).
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pandas as pd

from benchmarks.gates_models import Candidate, Workshop
from benchmarks.model_data import USE_CASE
from mlops_assets.contracts import Evaluation, Judgement
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.evaluation import evaluate
from mlops_assets.ml.monitoring import WINDOW_DAYS, Subject, data_drift
from mlops_assets.ml.performance import performance, predecessor_regret
from mlops_assets.ml.references import SCORE, DriftReference, fit_reference

ENGINE = drift_engine(USE_CASE.monitoring.drift_engine)
LABEL = USE_CASE.label


def shift(day: str, days: int) -> str:
    """The ISO day that many days later."""
    return str((pd.Timestamp(day) + pd.Timedelta(days=days)).date())


def number_of(cutoff: str) -> int:
    """The version's number: its cut-off day in digits."""
    return int(cutoff.replace("-", ""))


class Version:
    """One trained model on the rows of the year."""

    def __init__(self, candidate: Candidate, rows: pd.DataFrame) -> None:
        """``rows`` are those of the whole year, in the order in which their outcomes became known."""
        self.cutoff, self.number = candidate.cutoff, number_of(candidate.cutoff)
        self._candidate, self._rows = candidate, rows
        self._scores = np.full(len(rows), np.nan)
        self._verdicts: dict[tuple[str, str], Judgement] = {}

    def scores(self, chosen: np.ndarray) -> np.ndarray:
        """The scores of the rows at these positions."""
        new = chosen[np.isnan(self._scores[chosen])]
        if len(new):
            self._scores[new] = self._candidate.scorer.score(self._rows.take(new))
        return self._scores[chosen]

    @cached_property
    def reference(self) -> DriftReference:
        """As the asset ``drift_reference`` fits it."""
        known = self._rows[(self._rows["day"] <= self.cutoff) & (self._rows["known_day"] <= self.cutoff)]
        scorer = self._candidate.scorer
        return fit_reference(
            known,
            scorer.score(known),
            self._candidate.held_out[[USE_CASE.entity_id, "day", SCORE]],
            scorer.signature.features,
            label=LABEL,
            entity_id=USE_CASE.entity_id,
            engine=ENGINE,
        )

    def evaluated(self, champion: "Version | None") -> Evaluation:
        """What it shows its gates beside the champion, but for those of the server."""
        held_out = self._candidate.held_out
        return evaluate(
            held_out,
            held_out[SCORE].to_numpy(),
            self._candidate.scorer.score(held_out),
            label=LABEL,
            gates=USE_CASE.gates,
            model_digest="",
            training_rate=float(held_out[LABEL].mean()),
            champion_version=champion and champion.number,
            champion_scores=champion and champion._candidate.scorer.score(held_out),
            champion_cutoff_day=champion and champion.cutoff,
            slices=USE_CASE.slices,
        )

    def once(self, monitor: str, day: str, judge: Callable[[], Judgement]) -> Judgement:
        """The verdict, judged the first time that it is asked for."""
        if (monitor, day) not in self._verdicts:
            self._verdicts[monitor, day] = judge()
        return self._verdicts[monitor, day]


class Year:
    """The rows of the year, and the versions trained on them."""

    def __init__(self, workshop: Workshop) -> None:
        """Nothing is trained."""
        self.rows = workshop.rows.sort_values(["known_day", "landed_at", USE_CASE.entity_id], ignore_index=True)
        self.labels = self.rows[LABEL].to_numpy(np.float64)
        self._workshop, self._versions = workshop, dict[str, Version]()
        self._by_day = {name: self.rows.groupby(name).indices for name in ("day", "known_day")}

    def version(self, cutoff: str) -> Version:
        """The model of a cut-off day."""
        if cutoff not in self._versions:
            self._versions[cutoff] = Version(self._workshop.make(cutoff), self.rows)
        return self._versions[cutoff]

    @property
    def trained(self) -> int:
        """Models that were trained so far."""
        return len(self._versions)

    def asked(self, first: str, last: str) -> np.ndarray:
        """Positions of the rows that were decided from the first to the last day."""
        return self._between("day", first, last)

    def outcomes(self, first: str, last: str, since: str) -> np.ndarray:
        """Positions of the rows whose outcome became known from the first to the last day, decided after ``since``."""
        chosen = self._between("known_day", first, last)
        return chosen[self.rows["day"].to_numpy()[chosen] > since]

    def paired(self, chosen: np.ndarray, **scores: Version) -> pd.DataFrame:
        """Those rows as the table ``outcomes`` holds them (``day``: when the outcome became known), with a column of
        scores for each name."""
        rows = self.rows.take(chosen)
        return rows.assign(
            asked_on=rows["day"], day=rows["known_day"], **{name: v.scores(chosen) for name, v in scores.items()}
        )

    def judged(
        self, champion: Version, since: str, predecessor: Version | None, day: str, set_out: str
    ) -> list[Judgement]:
        """The verdicts of a day that the decision table acts on, about a champion since the end of a day.

        ``set_out``: the day at whose end it came into the shadow.
        """
        about, first = Subject(day=day, champion_version=champion.number), shift(day, 1 - WINDOW_DAYS)
        traffic = self.rows.take(self.asked(first, day))
        answered = self.paired(self.outcomes(first, day, since), score=champion)
        verdicts = [
            performance(about, champion.reference, answered, label=LABEL),
            champion.once("data_drift", day, lambda: data_drift(about, champion.reference, traffic, ENGINE)),
        ]
        if predecessor is None:
            return verdicts
        whole = self.paired(self.outcomes(set_out, day, set_out), score=champion, predecessor_score=predecessor)
        after = whole["asked_on"] > since
        facts, alpha, before = USE_CASE.monitoring, USE_CASE.release.alpha, whole[~after]
        told = predecessor_regret(about, whole[after], facts, label=LABEL, alpha=alpha, before=before)
        return [*verdicts, told]

    def _between(self, name: str, first: str, last: str) -> np.ndarray:
        days = [str(day.date()) for day in pd.date_range(first, last)]
        return np.concatenate([np.empty(0, np.intp), *(self._by_day[name].get(day, ()) for day in days)]).astype(
            np.intp
        )
