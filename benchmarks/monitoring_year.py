"""The real year as monitoring sees it, day by day, with or without a fault: shipped contracts, features, labels.

Here: ``Year`` (what is true), ``Lived`` (what a day left behind) and how the one becomes the other. Belongs here: what
a running system would have at the end of a day. Does not: faults (``benchmarks.monitoring_faults``), verdicts
(``benchmarks.monitoring_verdicts``).

Nothing is edited behind the system's back: raw rows go through the contract, datasets through the feature functions,
vectors through the model, landings to their answers. A day that the contract or a blocking check stops is blocked, and
nothing of it is judged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchmarks.model_data import USE_CASE, Graph
from mlops_assets.adapters.source import NycFlights, RawDay
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, table
from mlops_assets.assets.partitions import shift, span
from mlops_assets.ml.completeness import LANDED_TWICE, landings, observations, strange_arrivals, strange_flights
from mlops_assets.ml.datasets import ContractBroken, check
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.ml.outcomes import LONGEST_FLIGHT_DAYS
from mlops_assets.ml.plausibility import REPEATED_DAYS, Feeds
from mlops_assets.ml.training import decisions

Frames = Mapping[str, pd.DataFrame]
Views = Callable[[str, Frames, pd.DatetimeIndex], pd.DataFrame]
DAILY = ("flights", "arrivals", "weather")
LOOKBACK = max(view.lookback_days for view in VIEWS.values())
TTL = pd.Timedelta(hours=3)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One incident: what happens to raw days, to the computation of features, to labels. The default is nothing."""

    name: str
    severity: str
    raw: Callable[[dict[str, RawDay], np.random.Generator], dict[str, RawDay]] = lambda days, rng: days
    """Raw days from the first on -> what lands instead."""
    views: Callable[[Views, pd.Timestamp], Views] = lambda views, first: views
    """How features are computed -> how they are computed from the instant on."""
    labels: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame] = lambda outcomes, rng: outcomes
    right: tuple[str, ...] = ("hold",)
    """Actions that are right about it."""


NONE = Fault(name="none", severity="none")


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What one day left behind."""

    day: str
    blocked: str | None
    """Why nothing was made of it."""
    feeds: Feeds
    landed_rows: int
    traffic: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Answers: decisions of the day, a column per feature, score."""
    outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Answers whose outcome became known on the day: the same columns, dep_delay, is_late; day is that day."""


class Year:
    """The true year and one model that answers; ``live`` plays days of it."""

    def __init__(self, graph: Graph, scorer: Scorer) -> None:
        """``graph`` has landed the year."""
        self.source, self.references = NycFlights(), NycFlights().references()
        tables = graph.tables
        self._clean = {name: tables.read(table(USE_CASE.domain, DATASETS, name)) for name in DAILY}
        self._quarantine = tables.read(table(USE_CASE.domain, DATASETS, "quarantine"))
        self._scorer = scorer
        self._days = {n: frame["day"].to_numpy() for n, frame in self._clean.items()}
        self._answered: dict[str, pd.DataFrame] = {}

    def clean(self, name: str, first: str, last: str) -> pd.DataFrame:
        """True rows of a dataset from the first to the last day."""
        low, high = np.searchsorted(self._days[name], [first, shift(last, 1)])
        return self._clean[name].iloc[low:high]

    def live(self, first: str, last: str, fault: Fault = NONE, seed: int = 0) -> list[Lived]:
        """The days from the first to the last with a fault from the first on; ends with the first that is blocked."""
        rng = np.random.default_rng(seed)
        raw = fault.raw({day: self.source.day(day) for day in span(first, last)}, rng)
        frames, lived = self._before(first), []
        since = pd.Timestamp(first, tz=USE_CASE.domain.timezone).tz_convert("UTC")
        views = fault.views(compute, since)
        for day, rows in raw.items():
            frames, why = self._landed(frames, day, rows)
            why = why or self._stopped(frames, day)
            if why:
                return [*lived, Lived(day=day, blocked=why, feeds=self._feeds(frames, day), landed_rows=0)]
            lived.append(self._day(frames, day, fault, views, rng, lived))
        return lived

    def _before(self, first: str) -> dict[str, pd.DataFrame]:
        """Each dataset's true rows of the days before the first."""
        before = shift(first, -1)
        frames = {name: self.clean(name, shift(first, -LOOKBACK), before) for name in DAILY}
        known = self._quarantine["day"].between(shift(first, -2), before)
        return {**frames, "quarantine": self._quarantine[known]}

    def _landed(self, frames: Frames, day: str, rows: RawDay) -> tuple[dict[str, pd.DataFrame], str | None]:
        """The datasets with one day more, as far back as anything looks; or why its contract stopped it."""
        added = {name: [frame[frame["day"] >= shift(day, -LOOKBACK)]] for name, frame in frames.items()}
        why = None
        for name in DAILY:
            try:
                done = check(name, {day: getattr(rows, name)}, self.references)
            except ContractBroken as error:
                why = str(error)
                break
            added[name].append(done.good)
            added["quarantine"].append(done.quarantined)
        return {name: pd.concat(parts, ignore_index=True) for name, parts in added.items()}, why

    def _stopped(self, frames: Frames, day: str) -> str | None:
        """What the blocking checks of the datasets say of the day, as ``assets.datasets.checks`` does."""
        flights = frames["flights"][frames["flights"]["day"] == day]
        if strange_flights(flights, self.references).notna().any():
            return "schedule_is_whole"
        arrivals = frames["arrivals"][frames["arrivals"]["day"].isin([shift(day, -1), day])]
        why = strange_arrivals(arrivals, frames["flights"], shift(day, -3))[arrivals["day"] == day]
        if (why == LANDED_TWICE).any():
            return f"arrivals_were_scheduled: {LANDED_TWICE}"
        (landed,) = landings(frames["flights"], frames["arrivals"], [day])
        if landed.broken:
            return f"most_scheduled_flights_arrive: {landed.broken}"
        (seen,) = observations(frames["weather"], [day])
        return "every_hour_is_observed" if any(seen.found[o] > n for o, n in seen.expected.items()) else None

    def _feeds(self, frames: Frames, day: str) -> Feeds:
        def near(name: str, back: int) -> pd.DataFrame:
            frame = frames[name]
            return frame[(frame["day"] >= shift(day, -back)) & (frame["day"] <= day)]

        return Feeds(
            day=day,
            flights=near("flights", 1),
            arrivals=near("arrivals", 0),
            weather=near("weather", REPEATED_DAYS),
            quarantined=near("quarantine", 1),
        )

    def _day(
        self, frames: Frames, day: str, fault: Fault, views: Views, rng: np.random.Generator, before: Sequence[Lived]
    ) -> Lived:
        feeds = self._feeds(frames, day)
        traffic = self._traffic(frames, day, views)
        asked = [self._truly_answered(shift(day, -n)) for n in range(LONGEST_FLIGHT_DAYS, len(before), -1)]
        asked += [lived.traffic for lived in before[-LONGEST_FLIGHT_DAYS:]] + [traffic]
        rows = sum(len(frames[name][frames[name]["day"] == day]) for name in DAILY)
        outcomes = fault.labels(outcomes_of(frames["arrivals"], asked, day), rng)
        return Lived(day=day, blocked=None, feeds=feeds, landed_rows=rows, traffic=traffic, outcomes=outcomes)

    def _truly_answered(self, day: str) -> pd.DataFrame:
        """Answers of a day without a fault, kept."""
        if day not in self._answered:
            frames = {name: self.clean(name, shift(day, -LOOKBACK), day) for name in DAILY}
            self._answered[day] = self._traffic(frames, day, compute)
        return self._answered[day]

    def _traffic(self, frames: Frames, day: str, views: Views) -> pd.DataFrame:
        flights = frames["flights"]
        asked = decisions(flights[flights["day"] == day]).reset_index(drop=True)
        # Decisions of the first hours of a day are taken two hours before it begins.
        hours = hours_of([shift(day, -1), day])[-30:]
        known = {n: frame[frame["day"] >= shift(day, -LOOKBACK)] for n, frame in frames.items() if n in DAILY}
        for view in FEATURE_VIEWS:
            asked = joined(asked, views(view, known, hours), view)
        for transform in TRANSFORMATIONS.values():
            asked = asked.assign(**transform({name: asked[name].to_numpy() for name in asked}))
        return asked.assign(score=self._scorer.score(asked)) if len(asked) else asked


def joined(asked: pd.DataFrame, snapshots: pd.DataFrame, view: str) -> pd.DataFrame:
    """Decisions with the newest snapshot of their key that is not older than the time to live."""
    key = VIEWS[view].key
    named = snapshots.rename(columns={n: f"{view}__{n}" for n in snapshots if n not in (key, "event_timestamp")})
    at = {"on": "event_timestamp", "by": key, "tolerance": TTL}
    return pd.merge_asof(asked, named.sort_values("event_timestamp", kind="stable"), **at)


def outcomes_of(arrivals: pd.DataFrame, asked: Sequence[pd.DataFrame], day: str) -> pd.DataFrame:
    """The answers whose flight landed on the day, with the outcome."""
    landed = arrivals.loc[arrivals["day"] == day, ["flight_id", "landed_at", "dep_delay", "arr_delay"]]
    answers = pd.concat(asked, ignore_index=True).rename(columns={"day": "asked_day"})
    rows = landed.merge(answers, on="flight_id").sort_values(["landed_at", "flight_id"], kind="stable")
    late = (rows["arr_delay"] >= 15).astype("int64")
    return rows.assign(is_late=late, day=day).reset_index(drop=True)
