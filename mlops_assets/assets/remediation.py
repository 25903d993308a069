"""Remediation: what automation did about a bad day, each with the decision and the evidence it stands on.

Here: rollback, retrain, quarantine and incident, by day. Belongs here: assets that act on a decision. Does not: the
decision (``ml.policy``, written by ``assets.monitoring``), when they run (``automation``).
Nothing upstream may depend on these assets: the loop is closed by sensors.
"""

from typing import Any

import dagster as dg

from mlops_assets.adapters.alerts import Alerts
from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.endpoint import Endpoint, EndpointTimeout
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MONITORING, RELEASES, REMEDIATION, group, key
from mlops_assets.assets.files import decision_of, folder
from mlops_assets.assets.incidents import Desk, report_of
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.releases import SERVER_SECONDS, actor_of
from mlops_assets.contracts import Action, Arm, Decision, Transition, UseCase, to_json, to_plain
from mlops_assets.ml.incident_reports import summary


def build_remediation(use_case: UseCase) -> list[Any]:
    """The remediation assets of a use case."""
    return [_rollback(use_case), _retrain(use_case), _quarantine(use_case), _incident(use_case)]


def _shared(use_case: UseCase, name: str) -> dict[str, Any]:
    return {
        "key": key(use_case, REMEDIATION, name),
        "group_name": group(use_case, REMEDIATION),
        "partitions_def": calendar(use_case.domain),
    }


def _rollback(use_case: UseCase) -> dg.AssetsDefinition:
    shared = _shared(use_case, "rollback")
    answered = dg.AssetCheckSpec(
        "server_answers_with_the_old_digest",
        asset=shared["key"],
        description="The server itself reports the digest of the version that was rolled back to, at its full share.",
    )

    @dg.asset(
        **shared,
        deps=[key(use_case, MONITORING, "decision"), key(use_case, RELEASES, "deployment")],
        check_specs=[answered],
    )
    def rollback(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> dg.MaterializeResult:
        """The champion went back to its predecessor: model, features and preprocessing together, seen at the server."""
        decision = decided(artifacts, use_case, context.partition_key, Action.ROLL_BACK)
        line = roll_back(releases, use_case, decision, actor_of(context), context.run.run_id)
        endpoint.nudge()
        problem = _not_answering(endpoint, use_case, line.digest)
        return dg.MaterializeResult(
            metadata={
                "rolled_back_version": decision.version,
                "champion_version": line.version,
                "digest": line.digest,
                "moved_at": line.at,
                "moved_in": "this run"
                if line.dagster_run_id == context.run.run_id
                else "a sensor's tick or another run",
                **_metadata(decision),
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=problem is None,
                    check_name=answered.name,
                    description=problem,
                    metadata={"digest": line.digest},
                )
            ],
        )

    return rollback


def roll_back(
    releases: Releases, use_case: UseCase, decision: Decision, by: str, run_id: str | None = None
) -> Transition:
    """Carry a decided rollback out; whoever does it a second time writes nothing, and gets the first one's line.

    Raises what ``Releases.roll_back`` raises.
    """
    cause = Cause(
        id=f"decision/{decision.day}/{decision.action}/{decision.version}",
        day=decision.day,
        by=by,
        reason=decision.reason,
        evidence={"judgements": to_plain(decision.evidence)},
        dagster_run_id=run_id,
    )
    target = decision.target_version
    return releases.roll_back(use_case.name, cause=cause, from_version=decision.version, to_version=target)


def _not_answering(endpoint: Endpoint, use_case: UseCase, digest: str) -> str | None:
    """Why the server does not report the digest; the rollback stands in the history all the same, so nothing raises."""
    try:
        endpoint.wait_for(use_case.name, Arm.CHAMPION, digest, timeout=SERVER_SECONDS)
    except EndpointTimeout as error:
        return str(error)
    return None


def _retrain(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(**_shared(use_case, "retrain"), deps=[key(use_case, MONITORING, "decision")])
    def retrain(context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]) -> dg.MaterializeResult:
        """A challenger was asked for, on the data so far; the run that records this also trains it."""
        decision = decided(artifacts, use_case, context.partition_key, Action.RETRAIN, Action.FALL_BACK)
        return dg.MaterializeResult(metadata=_metadata(decision))

    return retrain


def _quarantine(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(**_shared(use_case, "quarantine"), deps=[key(use_case, MONITORING, "decision")])
    def quarantine(context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]) -> dg.MaterializeResult:
        """The day's data or labels are broken: it is held, nothing is trained on it or rolled back because of it."""
        decision = decided(artifacts, use_case, context.partition_key, Action.HOLD)
        path = f"{folder(use_case, REMEDIATION, 'quarantine', decision.day)}.json"
        artifacts.put(path, to_json(decision).encode())
        return dg.MaterializeResult(metadata=_metadata(decision))

    return quarantine


def _incident(use_case: UseCase) -> dg.AssetsDefinition:
    acting = [key(use_case, REMEDIATION, name) for name in ("rollback", "retrain", "quarantine")]
    seen = [key(use_case, MONITORING, "decision"), key(use_case, RELEASES, "deployment")]

    @dg.asset(**_shared(use_case, "incident"), deps=[*seen, *acting])
    def incident(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        tables: dg.ResourceParam[Tables],
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
        alerts: dg.ResourceParam[Alerts],
    ) -> dg.MaterializeResult:
        """The incidents that the day touches: opened by a first action, told once, closed when the cause is over."""
        parts = {"artifacts": artifacts, "tables": tables, "releases": releases, "endpoint": endpoint, "alerts": alerts}
        desk = Desk(use_case=use_case, run_id=context.run.run_id, **parts)
        touched = desk.work(context.partition_key)
        reports = "\n\n".join(report_of(artifacts, use_case, one.id) for one in touched) or "No incident."
        return dg.MaterializeResult(
            metadata={
                "open": sum(one.is_open for one in touched),
                "closed": sum(one.closed_day == context.partition_key for one in touched),
                "incidents": dg.MetadataValue.json([dict(summary(one)) for one in touched]),
                "report": dg.MetadataValue.md(reports),
            }
        )

    return incident


ACTING = (Action.ROLL_BACK, Action.RETRAIN, Action.FALL_BACK, Action.HOLD)


def decided(artifacts: Artifacts, use_case: UseCase, day: str, *actions: Action) -> Decision:
    """The decision of the day, which must be one of ``actions``.

    Raises dg.Failure that says what was decided instead, and how a person acts without a decision.
    """
    decision = decision_of(artifacts, use_case, day)
    if decision is None:
        raise dg.Failure(f"nothing was decided about {day}: materialize {use_case.name}/monitoring/decision first")
    if decision.action not in actions:
        raise dg.Failure(
            f"the decision of {day} is {decision.action} ({decision.reason}), not {' or '.join(actions)}; "
            "to act without it use `mlops rollback` or the job that trains"
        )
    return decision


def _metadata(decision: Decision) -> dict[str, Any]:
    return {
        "action": str(decision.action),
        "reason": decision.reason,
        "evidence": dg.MetadataValue.json(to_plain(decision.evidence)),
    }
