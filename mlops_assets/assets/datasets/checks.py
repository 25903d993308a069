"""What must hold of the landed days beyond their contract: that everything came, and came once.

Here: the checks of flights, arrivals and weather. Belongs here: a check of a dataset. Does not: how completeness is
measured and where its limits lie (``ml.completeness``), what stops a landing before it is written (``ml.datasets``).

A failed check with severity ERROR blocks: what is made from the day is not made. A warning is for a person to look at.
"""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg
import pandas as pd

from mlops_assets.adapters.source import LandedSource
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, key, table
from mlops_assets.assets.partitions import calendar, shift
from mlops_assets.assets.range_checks import Judged, Verdicts, judged
from mlops_assets.contracts import Domain
from mlops_assets.ml import completeness
from mlops_assets.ml.completeness import BROKEN_SHARE, DOUBTFUL_SHARE, MISSING_HOURS, Completeness

Judge = Callable[[Tables, LandedSource, list[str]], Verdicts]


def dataset_checks(domain: Domain) -> list[dg.AssetChecksDefinition]:
    """The checks of a domain's datasets, on each of their days."""
    tables = {name: table(domain, DATASETS, name) for name in ("flights", "arrivals", "weather")}
    return [
        _check(domain, "flights", "schedule_is_whole", _schedule(tables),
               "Every airport of departure has a schedule; no flight is there twice; carriers and airports are known."),
        _check(domain, "arrivals", "arrivals_were_scheduled", _scheduled(tables),
               "Every arrival belongs to a flight of the published schedule, and no flight lands twice."),
        _check(domain, "arrivals", "most_scheduled_flights_arrive", _arrived(tables),
               "Of every airport the arrivals are as many as its published schedule lets expect."),
        _check(domain, "weather", "every_hour_is_observed", _observed(tables),
               "Every airport has an observation of every hour of the local day, but for a few."),
    ]  # fmt: skip


def _check(domain: Domain, dataset: str, name: str, judge: Judge, text: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(domain, DATASETS, dataset),
        name=name,
        description=text,
        blocking=True,
        partitions_def=calendar(domain),
        additional_deps=[key(domain, DATASETS, "flights")] if dataset == "arrivals" else None,
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        tables: dg.ResourceParam[Tables],
        source: dg.ResourceParam[LandedSource],
    ) -> Judged:
        yield from judged(context, lambda days: judge(tables, source, days))

    return check


def _schedule(address: Mapping[str, str]) -> Judge:
    def judge(tables: Tables, source: LandedSource, days: list[str]) -> Verdicts:
        columns = ["day", "flight_id", "origin", "dest", "carrier"]
        flights = tables.read(address["flights"], days[0], days[-1], columns=columns)
        strange = _by_day(flights, completeness.strange_flights(flights, source.references()), days)
        silent = completeness.airports_without_schedule(flights, days)
        return {
            day: dg.AssetCheckResult(
                passed=not strange[day] and not silent[day],
                metadata={"strange_flights": strange[day], "airports_without_schedule": ", ".join(silent[day])},
            )
            for day in days
        }

    return judge


def _scheduled(address: Mapping[str, str]) -> Judge:
    def judge(tables: Tables, source: LandedSource, days: list[str]) -> Verdicts:
        near, first = (shift(days[0], -1), shift(days[-1], 1)), min(tables.days(address["flights"]))
        arrivals = tables.read(address["arrivals"], *near, columns=["day", "flight_id", "scheduled_day"])
        # The longest delay is 30 hours: what lands on a day was scheduled on it or on the two before.
        flights = tables.read(address["flights"], shift(days[0], -3), near[1], columns=["flight_id"])
        why = completeness.strange_arrivals(arrivals, flights, max(first, shift(days[0], -3)))
        strange = _by_day(arrivals, why, days)
        return {day: _scheduled_day(strange[day]) for day in days}

    return judge


def _scheduled_day(strange: Mapping[str, int]) -> dg.AssetCheckResult:
    """A flight that lands twice gives two outcomes to one decision. One that nobody scheduled gives none: its row of
    the schedule may be in quarantine."""
    error = completeness.LANDED_TWICE in strange
    severity = dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=not strange, severity=severity, metadata=strange)


def _arrived(address: Mapping[str, str]) -> Judge:
    def judge(tables: Tables, source: LandedSource, days: list[str]) -> Verdicts:
        flights = tables.read(address["flights"], shift(days[0], -1), days[-1], columns=["origin", "sched_arr_at"])
        arrivals = tables.read(address["arrivals"], days[0], days[-1], columns=["day", "origin"])
        return {day.day: _landings(day) for day in completeness.landings(flights, arrivals, days)}

    return judge


def _landings(day: Completeness) -> dg.AssetCheckResult:
    least = min(day.shares.values())
    broken = least < BROKEN_SHARE
    return dg.AssetCheckResult(
        passed=least >= DOUBTFUL_SHARE,
        severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
        metadata=_told(day),
    )


def _observed(address: Mapping[str, str]) -> Judge:
    def judge(tables: Tables, source: LandedSource, days: list[str]) -> Verdicts:
        weather = tables.read(address["weather"], days[0], days[-1], columns=["day", "origin"])
        return {day.day: _hours(day) for day in completeness.observations(weather, days)}

    return judge


def _hours(day: Completeness) -> dg.AssetCheckResult:
    """Hours that are missing are a warning: the features say so (they are missing too) and the model knows that case.
    More observations than hours are rows that were doubled."""
    doubled = any(day.found[airport] > hours for airport, hours in day.expected.items())
    return dg.AssetCheckResult(
        passed=not doubled and day.most_missing <= MISSING_HOURS,
        severity=dg.AssetCheckSeverity.ERROR if doubled else dg.AssetCheckSeverity.WARN,
        metadata=_told(day),
    )


def _told(day: Completeness) -> dict[str, dg.MetadataValue]:
    rows = [f"| {o} | {n} | {day.found[o]} | {day.shares[o]:.0%} |" for o, n in day.expected.items()]
    text = "\n".join(["| airport | expected | found | share |", "|---|---|---|---|", *rows])
    return {"least_share": dg.MetadataValue.float(min(day.shares.values())), "rows": dg.MetadataValue.md(text)}


def _by_day(rows: pd.DataFrame, why: pd.Series, days: Sequence[str]) -> dict[str, dict[str, int]]:
    """Day -> reason -> number of strange rows."""
    strange = pd.DataFrame({"day": rows["day"], "why": why}).dropna().value_counts()
    return {day: {str(w): int(n) for (d, w), n in strange.items() if d == day} for day in days}
