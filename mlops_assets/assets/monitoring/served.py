"""How each day was served, counted once and kept: what the monitor of serving compares a day with.

Here: the days behind a verdict on serving. Belongs here: which answers and decisions count for a day. Does not: the
verdict and its numbers (``ml.server_health``).
"""

from collections.abc import Sequence

import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.assets.address import DATASETS, table
from mlops_assets.assets.files import put_service, service_kept
from mlops_assets.assets.monitoring.evidence import Evidence
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import shift, span
from mlops_assets.contracts import Arm, UseCase
from mlops_assets.ml.segments import of_segment
from mlops_assets.ml.server_health import Service, of_arms, service_of


def services(artifacts: Artifacts, tables: Tables, use_case: UseCase, seen: Evidence) -> tuple[Service, list[Service]]:
    """How the day was served by its champion, and the days before the champion's promotion by whoever it was then.

    On the day of its promotion another one answered most: only its own answers count, and nobody is missed.
    """
    day, champion = seen.about.day, seen.champion
    if champion is None:
        raise ValueError("there is no champion")
    rows, planned = seen.traffic[seen.traffic["day"] == day], _planned(tables, use_case, day, day)
    put_service(artifacts, use_case, day, _service(rows, planned, use_case))
    own, young = of_arms(rows, champion.version), champion.day >= day
    if young:
        own, planned = own[own["arm"] == Arm.CHAMPION], planned.iloc[:0]
    first, last = shift(champion.day, -use_case.monitoring.server.usual_days), shift(champion.day, -1)
    today = service_of(own, planned, use_case.entity_id, rows[use_case.entity_id])
    return today, _before(artifacts, tables, use_case, first, last)


def _service(rows: pd.DataFrame, planned: pd.DataFrame, use_case: UseCase) -> Service:
    """By any champion; what a canary answered is answered."""
    return service_of(of_arms(rows), planned, use_case.entity_id, rows[use_case.entity_id])


def _before(artifacts: Artifacts, tables: Tables, use_case: UseCase, first: str, last: str) -> list[Service]:
    """The days' services as they were kept; a day that nobody has counted yet is counted now."""
    kept = {day: service_kept(artifacts, use_case, day) for day in span(first, last)}
    new = [day for day, service in kept.items() if service is None]
    if new:
        kept |= _counted(artifacts, tables, use_case, new)
    return [service for service in kept.values() if service is not None]


def _counted(artifacts: Artifacts, tables: Tables, use_case: UseCase, days: list[str]) -> dict[str, Service]:
    columns = ["day", use_case.entity_id, "arm", "version", "latency_ms", *_segment_columns(use_case)]
    rows = of_segment(rows_between(tables, use_case, "traffic", days[0], days[-1], columns), use_case.segment)
    if rows.empty:
        return {}
    planned, found = _planned(tables, use_case, days[0], days[-1]), {}
    for day in sorted({*rows["day"]} & {*days}):
        found[day] = _service(rows[rows["day"] == day], planned[planned["day"] == day], use_case)
        put_service(artifacts, use_case, day, found[day])
    return found


def _planned(tables: Tables, use_case: UseCase, first: str, last: str) -> pd.DataFrame:
    """The decisions of those days (but for the first hours of a day, which are of flights of the next): id, day, hour.

    Decided before midnight about a flight after it: the log has such an answer under the day before.
    """
    columns = ["day", use_case.entity_id, "sched_dep_at", *_segment_columns(use_case)]
    try:
        flights = tables.read(table(use_case.domain, DATASETS, "flights"), first, last, columns=columns)
    except TableMissing:
        flights = pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    flights = of_segment(flights, use_case.segment)
    if flights.empty:
        return flights.assign(hour=None)
    decided = flights["sched_dep_at"] - pd.Timedelta(minutes=use_case.decision_lead_minutes)
    local = decided.dt.tz_convert(use_case.timezone)
    known = flights.assign(hour=local.dt.strftime("%H"))
    return known[local.dt.strftime("%Y-%m-%d") == known["day"]]


def _segment_columns(use_case: UseCase) -> Sequence[str]:
    return [use_case.segment.column] if use_case.segment else []
