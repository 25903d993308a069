"""What the server answered, and what came of it.

Here: traffic (the server's own log, by day of the decision) and outcomes (by day on which they became known).
Belongs here: rows. Does not: verdicts about them (``assets.monitoring.monitors``).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.tables import TableMissing, Tables
from mlops_assets.adapters.traffic_log import TrafficLog
from mlops_assets.assets.address import DATASETS, FEATURES, MODELS, MONITORING, group, key, table
from mlops_assets.assets.partitions import calendar, days_of, shift, window
from mlops_assets.contracts import UseCase
from mlops_assets.ml.outcomes import LONGEST_FLIGHT_DAYS, all_arms, join_outcomes
from mlops_assets.ml.segments import of_segment

OWN = "answers_are_of_its_segment"


def build_traffic(use_case: UseCase) -> list[Any]:
    """The assets that hold rows of traffic."""
    return [_traffic(use_case), _outcomes(use_case)]


def _shared(use_case: UseCase, name: str) -> dict[str, Any]:
    return {
        "key": key(use_case, MONITORING, name),
        "group_name": group(use_case, MONITORING),
        "partitions_def": calendar(use_case.domain),
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def _traffic(use_case: UseCase) -> dg.AssetsDefinition:
    shared = _shared(use_case, "traffic")
    unique = dg.AssetCheckSpec("answers_are_unique", asset=shared["key"], description="No request id occurs twice.")
    own = dg.AssetCheckSpec(OWN, asset=shared["key"], description="Nobody asked it about another segment's decisions.")
    landing = key(use_case.domain, DATASETS, "landing")
    registered = dg.AssetDep(key(use_case, MODELS, "registered_version"), partition_mapping=window(-1000, -1))

    @dg.asset(
        **shared,
        # The raw day lands after it was lived: from then on the log of the day is complete.
        deps=[landing, key(use_case.domain, FEATURES, "online_store"), registered],
        check_specs=[unique] if use_case.segment is None else [unique, own],
    )
    def traffic(
        context: dg.AssetExecutionContext, traffic_log: dg.ResourceParam[TrafficLog], tables: dg.ResourceParam[Tables]
    ) -> dg.MaterializeResult:
        """Every acknowledged answer of the day, exactly once: features, scores of all arms, versions and digests."""
        days = days_of(context)
        logged = pd.concat([traffic_log.frame(day, use_case.name) for day in days], ignore_index=True)
        answered = with_drained(all_arms(logged), rows_between(tables, use_case, "traffic", days[0], days[-1]))
        rows = settle(tables, table(use_case, MONITORING, "traffic"), answered, days, context.run.run_id)
        once = bool(rows["request_id"].is_unique)
        checks = [dg.AssetCheckResult(passed=once, check_name=unique.name)]
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": len(rows),
                "by_arm": dg.MetadataValue.json(rows["arm"].value_counts().to_dict()),
                "mean_score": float(rows["score"].mean()) if len(rows) else None,
                "missing_values": int(rows["missing"].sum()),
                "median_latency_ms": float(rows["latency_ms"].median()) if len(rows) else None,
            },
            check_results=checks if use_case.segment is None else [*checks, _only_own(use_case, rows)],
        )

    return traffic


def _only_own(use_case: UseCase, rows: pd.DataFrame) -> dg.AssetCheckResult:
    """The record keeps every answer; monitors and outcomes look at the segment's own."""
    strange = len(rows) - len(of_segment(rows, use_case.segment))
    return dg.AssetCheckResult(
        passed=not strange, check_name=OWN, severity=dg.AssetCheckSeverity.WARN, metadata={"of_others": strange}
    )


def _outcomes(use_case: UseCase) -> dg.AssetsDefinition:
    answered = dg.AssetDep(key(use_case, MONITORING, "traffic"), partition_mapping=window(-LONGEST_FLIGHT_DAYS))

    @dg.asset(**_shared(use_case, "outcomes"), deps=[key(use_case.domain, DATASETS, "arrivals"), answered])
    def outcomes(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
        """The outcomes that became known on the day, each beside the answer it belongs to: labels come late."""
        days = days_of(context)
        landed = tables.read(table(use_case.domain, DATASETS, "arrivals"), days[0], days[-1])
        asked = tables.read(table(use_case, MONITORING, "traffic"), shift(days[0], -LONGEST_FLIGHT_DAYS), days[-1])
        arrived, asked = (of_segment(frame, use_case.segment) for frame in (landed, asked))
        joined = join_outcomes(asked, arrived)
        rows = settle(tables, table(use_case, MONITORING, "outcomes"), joined, days, context.run.run_id)
        late = int((rows["asked_day"] < rows["day"]).sum())
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": len(rows),
                "late_rate": float(rows[use_case.label].mean()) if len(rows) else None,
                "from_earlier_days": late,
                "without_an_answer": len(arrived) - len(rows),
            }
        )

    return outcomes


def with_drained(logged: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """What the log holds, and what it held when the days were drained before and has forgotten since."""
    gone = held[~held["request_id"].isin(logged["request_id"])] if len(held) else held
    return pd.concat([gone, logged], ignore_index=True) if len(gone) else logged


def settle(tables: Tables, address: str, rows: pd.DataFrame, days: list[str], run_id: str) -> pd.DataFrame:
    """Make ``rows`` the table's rows of those days; columns that only earlier days have are empty in them.

    Days without rows before there is a table leave no table: its columns are not known yet.
    """
    if tables.version(address) is None and rows.empty:
        return rows
    if tables.version(address) is not None:
        known = tables.read(address, days[0], days[0]).iloc[:0]
        rows = rows.reindex(columns=[*known.columns, *(name for name in rows if name not in known)])
        rows = rows.astype({name: kind for name, kind in known.dtypes.items() if rows[name].isna().all()})
    tables.replace(address, rows, days, {"dagster_run_id": run_id})
    return rows


def rows_between(
    tables: Tables, use_case: UseCase, name: str, first: str, last: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Rows of traffic or outcomes from the first to the last day; empty before there are any."""
    try:
        return tables.read(table(use_case, MONITORING, name), first, last, columns=columns)
    except TableMissing:
        return pd.DataFrame()
