"""The outside world of the reference use case, replayed: one live day, hour by hour.

Here: the intraday feed (what became known in an hour goes to the online store) and the clients (each flight is asked
about at its decision time, and a segment's model about its own). Belongs here: what a deployment gets from its
surroundings. Does not: landing the day's files (``assets.datasets``), computing a feature (``ml.features``), deciding
anything.

A live deployment has a stream's consumer and real callers instead; they use the same pure functions and endpoint.
Every request id is derived from the flight, so a day lived twice (a run killed and started again) is logged once.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mlops_assets.adapters.endpoint import Endpoint, EndpointDown, EndpointRefused
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.source import Source
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.contracts import Domain, UseCase
from mlops_assets.ml.datasets import check
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets.ml.segments import of_segment

KNOWN_AT: Mapping[str, str | None] = {"flights": None, "arrivals": "landed_at", "weather": "observed_at"}
"""Dataset -> the instant at which a row becomes known; a schedule is published before its day."""
ROWS_PER_REQUEST = 200


@dataclass(frozen=True, kw_only=True)
class LivedDay:
    """What happened on one replayed day."""

    day: str
    requests: int
    answers: int
    problems: tuple[str, ...]


class Replay:
    """Plays days of a source against the online store and the model server."""

    def __init__(
        self,
        source: Source,
        tables: Tables,
        feature_store: FeatureStore,
        endpoint: Endpoint,
        use_cases: tuple[UseCase, ...],
        live_from: str | None = None,
    ) -> None:
        self._source, self._tables = source, tables
        self._feature_store, self._endpoint = feature_store, endpoint
        self._use_cases, self._live_from = use_cases, live_from

    def is_next(self, domain: Domain, day: str) -> bool:
        """True for a live day after which nothing landed yet: the past is not lived a second time."""
        try:
            later = [landed for landed in self._tables.days(f"{domain.name}/datasets/flights") if landed > day]
        except TableMissing:
            later = []
        return day >= (self._live_from or domain.live_from) and not later

    def live(self, domain: Domain, day: str) -> LivedDay:
        """Live through one day: each hour its features go online, then the decisions of that hour are asked for."""
        frames = self._known(domain, day)
        requests = answers = 0
        problems: list[str] = []
        for hour in hours_of([day]):
            self._publish(frames, hour)
            for use_case in self._of(domain):
                rows = rows_of(use_case, self._feature_store, frames["flights"], hour)
                requests += len(rows)
                answered, problem = self._ask(use_case, rows)
                answers += answered
                problems += problem
        for use_case in self._of(domain):
            with contextlib.suppress(EndpointDown, EndpointRefused):
                self._endpoint.wait_for_shadow(use_case.name)
        return LivedDay(day=day, requests=requests, answers=answers, problems=tuple(dict.fromkeys(problems)))

    def _of(self, domain: Domain) -> list[UseCase]:
        return [use_case for use_case in self._use_cases if use_case.domain == domain]

    def _known(self, domain: Domain, day: str) -> dict[str, pd.DataFrame]:
        """The day's clean rows, after those of the days that the longest feature window reaches back to."""
        raw, references = self._source.day(day), self._source.references()
        days = max(view.lookback_days for view in VIEWS.values())
        first, last = (str((pd.Timestamp(day) - pd.Timedelta(days=back)).date()) for back in (days, 1))
        frames = {}
        for name in KNOWN_AT:
            today = check(name, {day: getattr(raw, name)}, references).good
            past = self._tables.read(f"{domain.name}/datasets/{name}", first, last)
            frames[name] = pd.concat([past, today], ignore_index=True)
        return frames

    def _publish(self, frames: Mapping[str, pd.DataFrame], hour: pd.Timestamp) -> None:
        """Put the snapshots of one hour online, computed from nothing that became known later."""
        known = {name: frames[name] if at is None else before(frames[name], at, hour) for name, at in KNOWN_AT.items()}
        for view in VIEWS:
            self._feature_store.write_online(view, compute(view, known, pd.DatetimeIndex([hour])))

    def _ask(self, use_case: UseCase, rows: list[dict[str, Any]]) -> tuple[int, list[str]]:
        answered, problems = 0, []
        for start in range(0, len(rows), ROWS_PER_REQUEST):
            try:
                answered += len(self._endpoint.predict(use_case.name, rows[start : start + ROWS_PER_REQUEST]))
            except (EndpointDown, EndpointRefused) as error:
                problems.append(str(error))
        return answered, problems


def before(frame: pd.DataFrame, at: str, hour: pd.Timestamp) -> pd.DataFrame:
    """The rows that were known at the hour."""
    return frame[frame[at] <= hour]


def rows_of(
    use_case: UseCase, feature_store: FeatureStore, flights: pd.DataFrame, hour: pd.Timestamp
) -> list[dict[str, Any]]:
    """The request rows of the decisions that fall into one hour; of a segment, its own alone."""
    flights = of_segment(flights, use_case.segment)
    decision = flights["sched_dep_at"] - pd.Timedelta(minutes=use_case.decision_lead_minutes)
    now = (decision >= hour) & (decision < hour + pd.Timedelta(hours=1))
    names = [field.name for field in feature_store.inputs(use_case.feature_service).request_fields]
    asked = flights.loc[now, names].to_dict("records")
    times = decision[now].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = use_case.entity_id
    return [
        {**row, "event_time": at, "request_id": f"{use_case.name}/{row[identity]}"}
        for row, at in zip(asked, times, strict=True)
    ]
