"""Retention: the server's log is kept short, and nothing that was acknowledged is lost by it.

Here: log_retention. Belongs here: what leaves the server's log, and where it is before it does. Does not: the log
(``adapters.traffic_log``), when (``automation.schedules``), its size (the server's own limit).

An answer leaves the log when it is old enough and lies in a table: in ``traffic`` (decisions, of which monitoring
makes rows day by day), or else in ``traffic_archive``, whole as the server wrote it. Killed anywhere, the run is
repeated: the archive takes an answer once, and the log forgets only what it was told lies elsewhere.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import msgspec
import pandas as pd
from pydantic import Field

from mlops_assets.adapters.tables import Tables
from mlops_assets.adapters.traffic_log import TrafficLog, TrafficRecord
from mlops_assets.assets.address import MONITORING, group, key, table
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import UseCase

ARCHIVE = "traffic_archive"


class RetentionConfig(dg.Config):
    """How long the server's log keeps what lies elsewhere too."""

    keep_days: int = Field(
        default=30,
        ge=1,
        description="Days that stay: of decisions counted back from the newest day in the table traffic, of features "
        "that callers sent counted back from today. A request id that comes again after that gets a new answer.",
    )


def build_retention(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset that keeps the log short."""
    address = key(use_case, MONITORING, "log_retention")
    kept = dg.AssetCheckSpec(
        "forgotten_answers_are_kept",
        asset=address,
        description="Every answer that left the log lies in a table, once.",
    )

    @dg.asset(
        key=address,
        group_name=group(use_case, MONITORING),
        deps=[key(use_case, MONITORING, "traffic")],
        check_specs=[kept],
    )
    def log_retention(
        context: dg.AssetExecutionContext,
        config: RetentionConfig,
        traffic_log: dg.ResourceParam[TrafficLog],
        tables: dg.ResourceParam[Tables],
    ) -> dg.MaterializeResult:
        """What the server's log forgot, and how much of it went into the archive first."""
        drained_days = tables.days(table(use_case, MONITORING, "traffic"))
        limits = Limits.of(drained_days[-1] if drained_days else None, config.keep_days)
        days, archived, forgotten, lost = [], 0, 0, 0
        for day in traffic_log.days(use_case.name):
            records = [record for record in traffic_log.read(day, use_case.name) if limits.passed(record)]
            if not records:
                continue
            days.append(day)
            ids = [record.request_id for record in records]
            drained = _ids(rows_between(tables, use_case, "traffic", day, day))
            rest = _archive([record for record in records if record.request_id not in drained])
            archived += _put(tables, use_case, rest, context.run.run_id)
            # Looked up again, not assumed: after this line nobody else has them.
            held = drained | set(_archived(tables, use_case, rest))
            lost += len(set(ids) - held)
            forgotten += traffic_log.forget([request_id for request_id in ids if request_id in held])
        check = dg.AssetCheckResult(passed=not lost, check_name=kept.name, metadata={"neither": lost})
        return dg.MaterializeResult(
            metadata={
                "days": dg.MetadataValue.json(days),
                "forgotten": forgotten,
                "archived": archived,
            },
            check_results=[check],
        )

    return [log_retention]


@dataclass(frozen=True)
class Limits:
    """Until when answers are old."""

    decisions: str
    """Last day of decisions. Their clock is the domain's, which may be a replay; it stands still while nothing is
    drained, so that no day is forgotten before monitoring saw it."""
    features: str
    """Last day on which features were received that are old now."""

    @classmethod
    def of(cls, newest_drained: str | None, keep_days: int) -> "Limits":
        """Counted back so many days."""
        today = dt.datetime.now(dt.UTC).date().isoformat()
        return cls(shift(newest_drained, -keep_days) if newest_drained else "", shift(today, -keep_days))

    def passed(self, record: TrafficRecord) -> bool:
        """True when the record is old."""
        return record.day <= self.decisions if record.request else record.received_at[:10] <= self.features


def _archive(records: Sequence[TrafficRecord]) -> pd.DataFrame:
    """One row for each record: what it is found by, and all of it as JSON."""
    rows = [
        {
            "request_id": record.request_id,
            "asked_day": record.day,
            "arm": record.arm,
            "digest": record.digest or "",
            "score": record.score,
            "record": msgspec.json.encode(record).decode(),
        }
        for record in records
    ]
    return pd.DataFrame(rows, columns=["request_id", "asked_day", "arm", "digest", "score", "record"])


def _put(tables: Tables, use_case: UseCase, rows: pd.DataFrame, run_id: str) -> int:
    if rows.empty:
        return 0
    return tables.append_once(table(use_case, MONITORING, ARCHIVE), rows, "request_id", {"dagster_run_id": run_id})


def _archived(tables: Tables, use_case: UseCase, rows: pd.DataFrame) -> set[str]:
    """Of these rows, the ids that lie in the archive."""
    if rows.empty:
        return set()
    held = tables.read(table(use_case, MONITORING, ARCHIVE), columns=["request_id"])["request_id"]
    return set(rows["request_id"]) & set(held)


def _ids(rows: pd.DataFrame) -> set[str]:
    return set(rows["request_id"]) if len(rows) else set()
