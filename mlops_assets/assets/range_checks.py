"""Checks of partitioned assets: one evaluation for every day, also in a range run.

Here: ``judged``. Belongs here: how a verdict on each day is told. Does not: the verdicts (the checks of each stage),
the days of a run (``assets.range_runs``).

Dagster gives a range run of a partitioned check one result, and leaves the days planned for ever. So each day is told
as an ``AssetCheckEvaluation`` of its own, and the step's one result sums them up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)

from mlops_assets.assets.partitions import days_of
from mlops_assets.assets.range_runs import blocks

Judged = Iterator[dg.AssetCheckEvaluation | dg.AssetCheckResult]
"""What a check that ends with ``yield from judged(...)`` returns."""
Verdicts = Mapping[str, dg.AssetCheckResult]


def judged(context: dg.AssetCheckExecutionContext, judge: Callable[[list[str]], Verdicts]) -> Judged:
    """Judge the days of this run block by block and tell each. ``judge`` gives a result for every day of a block."""
    days = days_of(context)
    if len(days) == 1:
        yield judge(days)[days[0]]
        return
    (spec,) = context.check_specs
    failed: dict[str, dg.AssetCheckResult] = {}
    for block in blocks(days):
        verdicts = judge(block)
        failed |= {day: verdicts[day] for day in block if not verdicts[day].passed}
        seen = _materializations(context, spec.asset_key, block)
        yield from (_evaluation(spec, day, verdicts[day], seen.get(day)) for day in block)
    yield _summary(days, failed)


def _summary(days: Sequence[str], failed: Verdicts) -> dg.AssetCheckResult:
    """Of the worst severity; the step fails by the days themselves when one blocks."""
    error = any(verdict.severity is dg.AssetCheckSeverity.ERROR for verdict in failed.values())
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN,
        metadata={"days": len(days), "failed": dg.MetadataValue.json(sorted(failed))},
    )


def _evaluation(
    spec: dg.AssetCheckSpec,
    day: str,
    verdict: dg.AssetCheckResult,
    seen: Target | None,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=verdict.passed,
        metadata=verdict.metadata,
        severity=verdict.severity,
        description=verdict.description,
        blocking=spec.blocking,
        partition=day,
        target_materialization_data=seen,
    )


def _materializations(
    context: dg.AssetCheckExecutionContext, asset: dg.AssetKey, days: Sequence[str]
) -> dict[str, Target]:
    """The newest materialization of each day, among the last that were recorded: in a range run, those of the run."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=list(days))
    found = context.instance.fetch_materializations(wanted, limit=len(days)).records
    return {
        str(record.partition_key): Target(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in reversed(found)
    }
