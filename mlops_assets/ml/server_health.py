"""Does the server answer as it did before this champion: in time, and with the model's own answers?

Here: one day's service in numbers, and the monitor ``server_health``, which compares it with the days before the
champion's promotion on the same server, and with the limits of the use case. Belongs here: what the record of answers
says about serving. Does not: what the answers were worth (``ml.performance``), the canary's latency beside the champion
(``ml.releases``).

An answer of the declared fallback says that the champion could not answer. A decision that nobody answered leaves no
record that names a version, so it is held against the champion only where that was not usual before it; and an hour in
which nothing at all was answered is an outage: any version would have been silent.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.contracts import Arm, Judgement, ServerLimits, Verdict
from mlops_assets.ml.monitoring import MIN_ROWS, Subject, binomial_tail, judgement, unknown

MONITOR = "server_health"
FALLBACK = "fallback"
"""The arm of an answer that no version gave."""
CHANCE = 1e-4
"""A share has risen when so many failures would come with less than this probability at the usual rate."""
LEAST_RATE = 0.001
"""The usual rate of failures is never taken to be less than one in a thousand: a single one is no news."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What one day's record says of serving."""

    answers: int
    """By the champion."""
    fallbacks: int
    """By the declared fallback."""
    planned: int
    """Decisions that were to be taken, in hours in which anything was answered."""
    unanswered: int
    """Of these, without any record."""
    outage_hours: int
    """Hours with decisions of which none has a record."""
    median_ms: float | None
    """None without any answer of the champion."""
    p95_ms: float | None

    @property
    def fallback_share(self) -> float:
        """Of what was answered."""
        return self.fallbacks / max(self.answers + self.fallbacks, 1)

    @property
    def unanswered_share(self) -> float:
        """Of what was planned."""
        return self.unanswered / max(self.planned, 1)


def service_of(rows: pd.DataFrame, planned: pd.DataFrame, entity_id: str, answered: pd.Series | None = None) -> Service:
    """One day in numbers.

    ``rows`` are the answers that count (``arm``, ``latency_ms``, the entity id), ``planned`` the day's decisions (the
    entity id, and ``hour``, any label of the hour in which they were to be taken). ``answered``: the entity ids that
    anybody answered, a canary too; those of ``rows`` when not given.
    """
    fallen = (rows["arm"] == FALLBACK).to_numpy(bool)
    latencies = rows.loc[~fallen, "latency_ms"].to_numpy(np.float64)
    recorded = planned[entity_id].isin(rows[entity_id] if answered is None else answered)
    alive = recorded.groupby(planned["hour"]).transform("any") if len(planned) else recorded
    return Service(
        answers=int((~fallen).sum()),
        fallbacks=int(fallen.sum()),
        planned=int(alive.sum()),
        unanswered=int((alive & ~recorded).sum()),
        outage_hours=int(planned.loc[~alive.astype(bool), "hour"].nunique()),
        median_ms=float(np.median(latencies)) if len(latencies) else None,
        p95_ms=float(np.quantile(latencies, 0.95)) if len(latencies) else None,
    )


def of_arms(rows: pd.DataFrame, version: int | None = None) -> pd.DataFrame:
    """The answers that count for or against a champion: its own (any champion's without a version), and fallbacks."""
    own = rows["arm"] == Arm.CHAMPION
    return rows[(own if version is None else own & (rows["version"] == version)) | (rows["arm"] == FALLBACK)]


def server_health(about: Subject, today: Service, before: list[Service], limits: ServerLimits) -> Judgement:
    """Is serving worse than before this champion, or worse than the use case allows?

    ``before``: the days before its promotion; those with few answers do not count. UNKNOWN when the day is thin.
    """
    seen = today.answers + today.fallbacks
    if seen < MIN_ROWS:
        return unknown(MONITOR, about, f"{seen} answers", seen)
    usual = [day for day in before if day.answers >= MIN_ROWS]
    numbers = {**_numbers(today), **_usual(usual, limits)}
    problems = [*_absolute(today, limits), *_worse(today, usual, limits)]
    outage = f"; {today.outage_hours} hours without any answer are nobody's" if today.outage_hours else ""
    slow = f"median {today.median_ms or 0:.1f} ms, p95 {today.p95_ms or 0:.1f} ms"
    calm = f"{slow}, {today.fallback_share:.1%} by the fallback"
    reason = ("; ".join(problems) or f"{calm}: {_told(usual)}") + outage
    return judgement(MONITOR, about, Verdict.ALARM if problems else Verdict.OK, reason, numbers, seen)


def _absolute(today: Service, limits: ServerLimits) -> list[str]:
    problems = []
    if today.p95_ms is not None and today.p95_ms > limits.max_p95_ms:
        problems.append(f"p95 is {today.p95_ms:.0f} ms, more than the {limits.max_p95_ms:g} ms that are allowed")
    if today.fallback_share > limits.max_fallback_share:
        allowed = f"more than the {limits.max_fallback_share:.1%} that are allowed"
        problems.append(f"the fallback gave {today.fallback_share:.1%} of the answers, {allowed}")
    return problems


def _worse(today: Service, usual: list[Service], limits: ServerLimits) -> list[str]:
    if not usual:
        return []
    problems = []
    for name in ("median_ms", "p95_ms"):
        now, most = getattr(today, name), max(getattr(day, name) for day in usual)
        if now is not None and now > max(limits.latency_ratio * most, limits.least_latency_ms):
            problems.append(f"{name.removesuffix('_ms')} is {now:.0f} ms, before this champion at most {most:.0f} ms")
    seen, rate = today.answers + today.fallbacks, max(_share(usual, "fallback_share"), LEAST_RATE)
    if binomial_tail(today.fallbacks, seen, rate) < CHANCE:
        problems.append(f"the fallback gave {today.fallbacks} of {seen} answers, usual was {rate:.1%}")
    rate = max(_share(usual, "unanswered_share"), LEAST_RATE)
    rare = binomial_tail(today.unanswered, today.planned, rate) < CHANCE
    if rare and today.unanswered_share > limits.max_fallback_share:
        problems.append(f"{today.unanswered} of {today.planned} decisions were not answered, usual was {rate:.1%}")
    return problems


def _numbers(today: Service) -> dict[str, float | None]:
    return {
        "median_ms": today.median_ms,
        "p95_ms": today.p95_ms,
        "fallback_share": today.fallback_share,
        "unanswered_share": today.unanswered_share,
        "outage_hours": float(today.outage_hours),
    }


def _usual(usual: list[Service], limits: ServerLimits) -> dict[str, float | None]:
    """What was usual before, and the p95 above which the monitor speaks."""
    if not usual:
        return {"p95_ms_limit": limits.max_p95_ms}
    medians, slowest = ([getattr(day, name) for day in usual] for name in ("median_ms", "p95_ms"))
    return {
        "p95_ms_limit": min(limits.max_p95_ms, max(limits.latency_ratio * max(slowest), limits.least_latency_ms)),
        "usual_median_ms": float(np.median(medians)),
        "usual_p95_ms": float(np.median(slowest)),
        "usual_fallback_share": _share(usual, "fallback_share"),
        "usual_unanswered_share": _share(usual, "unanswered_share"),
    }


def _share(usual: list[Service], name: str) -> float:
    return float(np.mean([getattr(day, name) for day in usual]))


def _told(usual: list[Service]) -> str:
    return f"as on {len(usual)} days before this champion" if usual else "nothing is known of before this champion"
