"""Releases: which registered version answers, and the verdict that put it there.

Here: shadow, canary, canary_analysis and champion (by cut-off day of the version), deployment (by day: what the
server itself says). Belongs here: assets that move a version into or out of an arm. Does not: the rules
(``ml.releases``), how an arm moves (``adapters.releases``), going back (``assets.remediation``).

After a rollback the latest materialization of ``champion`` is still the bad version: ``deployment`` is the truth.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.endpoint import Endpoint
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MODELS, MONITORING, RELEASES, group, key, table
from mlops_assets.assets.files import release_decision_of
from mlops_assets.assets.metadata import plain
from mlops_assets.assets.partitions import calendar, window
from mlops_assets.contracts import (
    Arm,
    Evaluation,
    ModelVersion,
    ReleaseDecision,
    Step,
    UseCase,
    from_json,
    to_plain,
)
from mlops_assets.ml.releases import stale_because

SERVER_SECONDS = 60
"""How long a release waits for the server: it polls every second and loads a model in less than one."""

ARM_OF = {
    Step.TO_SHADOW: Arm.SHADOW,
    Step.TO_CANARY: Arm.CANARY,
    Step.WIDEN: Arm.CANARY,
    Step.TO_CHAMPION: Arm.CHAMPION,
}
DESCRIPTION_OF = {
    Arm.SHADOW: "The version scores every request and answers none: it passed its gates, nothing else is known.",
    Arm.CANARY: "The version answers a share of the traffic, which grows; the champion scores the same rows.",
    Arm.CHAMPION: "The version answers the traffic; materialized once the server itself reports its digest.",
}


class VersionConfig(dg.Config):
    """Which version a release is about, and on which day's verdict it acts."""

    version: int = 0
    """Registered version; 0 is the newest of the partition's cut-off day."""
    day: str = ""
    """Day of the release table's verdict; empty is the newest."""


def build_releases(use_case: UseCase) -> list[Any]:
    """The release assets of a use case."""
    return [
        _arm(use_case, Arm.SHADOW, key(use_case, MODELS, "registered_version")),
        _arm(use_case, Arm.CANARY, key(use_case, RELEASES, "shadow")),
        _canary_analysis(use_case),
        _arm(use_case, Arm.CHAMPION, key(use_case, RELEASES, "canary_analysis")),
        _deployment(use_case),
        *(_exact_bytes(use_case, arm) for arm in Arm),
    ]


def _arm(use_case: UseCase, arm: Arm, upstream: dg.AssetKey) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(use_case, RELEASES, arm),
        group_name=group(use_case, RELEASES),
        partitions_def=calendar(use_case.domain),
        deps=[upstream],
        description=DESCRIPTION_OF[arm],
        output_required=False,
    )
    def enter(
        context: dg.AssetExecutionContext,
        config: VersionConfig,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> Iterator[dg.MaterializeResult]:
        version = version_of(releases.registry, use_case, context.partition_key, config.version)
        decision = release_decision_of(artifacts, use_case, version.version, config.day)
        stale = stale_verdict(artifacts, releases, use_case, decision)
        if ARM_OF.get(decision.step) is not arm or stale:
            told = stale or f"{decision.step}: {decision.reason}"
            context.log.warning(f"version {version.version} is not moved to {arm}: {told}")
            return
        move(releases, version, decision, cause_of(context, decision))
        endpoint.nudge()
        endpoint.wait_for(version.name, arm, version.digest, timeout=SERVER_SECONDS)
        yield dg.MaterializeResult(metadata=_metadata(version, decision))

    return enter


def move(releases: Releases, version: ModelVersion, decision: ReleaseDecision, cause: Cause) -> None:
    """Carry out a step up: into an arm, or to a larger share of the traffic."""
    releases.enter(
        version.name,
        version.version,
        version.digest,
        ARM_OF[decision.step],
        cause=cause,
        kind="widened" if decision.step is Step.WIDEN else None,
        basis_points=decision.basis_points,
    )


def stale_verdict(artifacts: Artifacts, releases: Releases, use_case: UseCase, decision: ReleaseDecision) -> str | None:
    """Why the verdict must not be carried out any more, None while it may.

    Carried out, a stale one does harm: the refusal of a version that was forced in as champion seconds before had the
    fallback answer a whole day, and a canary that was taken out meanwhile would come back with a larger share.
    """
    newest = release_decision_of(artifacts, use_case, decision.version)
    return stale_because(decision, newest, releases.promotions.arms(use_case.name))


def _exact_bytes(use_case: UseCase, arm: Arm) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(use_case, RELEASES, arm),
        name="server_reports_the_evaluated_digest",
        description="The digest that the server reports for this arm is the one that was evaluated, byte for byte.",
    )
    def server_reports_the_evaluated_digest(
        releases: dg.ResourceParam[Releases], endpoint: dg.ResourceParam[Endpoint]
    ) -> dg.AssetCheckResult:
        held = releases.promotions.arms(use_case.name).get(arm)
        reported = endpoint.status(use_case.name).arm(arm)
        if held is None:
            return dg.AssetCheckResult(passed=reported is None, metadata={"reason": f"nobody holds {arm}"})
        document = releases.registry.document(use_case.name, held.version, "evaluation.json")
        evaluated = from_json(Evaluation, document).model_digest
        told = reported.digest if reported else "nothing"
        return dg.AssetCheckResult(
            passed=evaluated == held.digest == told, metadata={"evaluated": evaluated, "reported": told}
        )

    return server_reports_the_evaluated_digest


def _canary_analysis(use_case: UseCase) -> dg.AssetsDefinition:
    address = key(use_case, RELEASES, "canary_analysis")
    passed = dg.AssetCheckSpec("candidate_passed", asset=address, description="The candidate may become champion.")
    judged_days = window(0, 2 * use_case.release.max_days)

    @dg.asset(
        key=address,
        group_name=group(use_case, RELEASES),
        partitions_def=calendar(use_case.domain),
        deps=[
            key(use_case, RELEASES, "canary"),
            dg.AssetDep(key(use_case, MONITORING, "challenger_regret"), partition_mapping=judged_days),
        ],
        check_specs=[passed],
    )
    def canary_analysis(
        context: dg.AssetExecutionContext,
        config: VersionConfig,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> dg.MaterializeResult:
        """The conclusion about a candidate: it may become champion, or it is refused and leaves the traffic."""
        version = version_of(releases.registry, use_case, context.partition_key, config.version)
        decision = release_decision_of(artifacts, use_case, version.version, config.day)
        if decision.step is Step.REFUSE and not stale_verdict(artifacts, releases, use_case, decision):
            releases.leave(version.name, version.version, version.digest, cause=cause_of(context, decision))
            endpoint.nudge()
        promotes = decision.step is Step.TO_CHAMPION
        check = dg.AssetCheckResult(passed=promotes, check_name=passed.name, metadata={"reason": decision.reason})
        return dg.MaterializeResult(metadata=_metadata(version, decision), check_results=[check])

    return canary_analysis


def _deployment(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(
        key=key(use_case, RELEASES, "deployment"),
        group_name=group(use_case, RELEASES),
        partitions_def=calendar(use_case.domain),
        deps=[
            key(use_case, MONITORING, "traffic"),
            dg.AssetDep(key(use_case, RELEASES, "champion"), partition_mapping=window(-1000)),
        ],
    )
    def deployment(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables], endpoint: dg.ResourceParam[Endpoint]
    ) -> dg.MaterializeResult:
        """Who answered that day: digests and shares from the server's own log, and what it reports at its end."""
        day = context.partition_key
        answered = tables.read(table(use_case, MONITORING, "traffic"), day, day)
        report = endpoint.status(use_case.name)
        frame = answers_by_version(answered, day)
        tables.replace(table(use_case, RELEASES, "deployment"), frame, [day], {"dagster_run_id": context.run.run_id})
        holder = report.arm(Arm.CHAMPION)
        return dg.MaterializeResult(
            metadata={
                "champion_version": holder.version if holder else None,
                "champion_digest": holder.digest if holder else None,
                "answers": len(answered),
                "arms": dg.MetadataValue.json(to_plain(report.arms)),
                "answers_by_version": dg.MetadataValue.md(frame.to_markdown(index=False)),
            }
        )

    return deployment


def answers_by_version(answered: pd.DataFrame, day: str) -> pd.DataFrame:
    """Answers of a day by arm, version and digest: columns day, arm, version, digest, answers."""
    columns = ["arm", "version", "digest"]
    counts = answered.groupby(columns, dropna=False).size().reset_index(name="answers")
    # Without a single answer of a version the column would be one of numbers, which the table's is not.
    digest = counts["digest"].astype(object).where(counts["digest"].notna(), None)
    return counts.assign(day=day, digest=digest)[["day", *columns, "answers"]]


def version_of(registry: Registry, use_case: UseCase, cutoff_day: str, number: int = 0) -> ModelVersion:
    """The version asked for, or the newest that was trained up to the cut-off day.

    Raises dg.Failure when there is none.
    """
    if number:
        return registry.version(use_case.name, number)
    found = [version for version in registry.versions(use_case.name) if version.cutoff_day == cutoff_day]
    if not found:
        raise dg.Failure(f"no registered version was trained up to {cutoff_day}: materialize registered_version first")
    return found[-1]


def cause_of(context: dg.AssetExecutionContext, decision: ReleaseDecision) -> Cause:
    """Why a version moves, as the history will tell it."""
    return Cause(
        id=f"release/{decision.version}/{decision.day}/{decision.step}",
        day=decision.day,
        by=actor_of(context),
        reason=decision.reason,
        evidence=dict(decision.numbers),
        dagster_run_id=context.run.run_id,
    )


def actor_of(context: dg.AssetExecutionContext) -> str:
    """Who asked for this run, for the record: the sensor that requested it, or the asset that a person materialized."""
    sensor = context.run.tags.get("dagster/sensor_name")
    return f"sensor:{sensor}" if sensor else f"asset:{context.asset_key.to_user_string()}"


def _metadata(version: ModelVersion, decision: ReleaseDecision) -> dict[str, Any]:
    return {
        "version": version.version,
        "digest": version.digest,
        "outcome": str(decision.outcome or "none yet"),
        "step": str(decision.step),
        "basis_points": decision.basis_points,
        "reason": decision.reason,
        "judged_on": decision.day,
        **plain(decision.numbers),
    }
