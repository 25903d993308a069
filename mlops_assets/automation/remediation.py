"""The sensor that acts on decisions: rolls back, retrains, quarantines.

Here: from a materialized decision to the run that carries it out. Belongs here: which job answers which action, what a
tick says. Does not: the decision itself (K-of-N, cooldown and ceiling are in ``ml.policy``), the rollback that a tick
makes at once (``automation.emergency``).

Edge-triggered: a decision is answered once, when it is first materialized (run key: action, day, version); the same
decision materialized again asks for nothing, and the tick says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.adapters.alerts import runbook_at
from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.endpoint import Endpoint
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import MODELS, MONITORING, automation, key
from mlops_assets.automation.emergency import Attempt, Outcome, attempt, observed
from mlops_assets.automation.jobs import HOLD, RETRAIN, ROLL_BACK
from mlops_assets.automation.walk import Asked, Cursors, Seen
from mlops_assets.contracts import Action, UseCase

JOB_OF = {
    Action.ROLL_BACK: ROLL_BACK,
    Action.RETRAIN: RETRAIN,
    Action.FALL_BACK: RETRAIN,
    Action.HOLD: HOLD,
}
BY_RUN = "by_run"
"""End of the run key of a rollback that the tick could not make: the run starts the registry of this machine when it
is gone, and makes the move itself."""
TOLD = 5
"""Decisions that led to no run and are told one by one in the tick's reason."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tick makes of one decision."""

    reason: str
    request: dg.RunRequest | None = None
    observation: dg.AssetObservation | None = None
    waits: bool = False
    """The cursor stays before the decision."""


def walked(use_case: UseCase) -> tuple[dg.AssetKey, ...]:
    """The assets that the sensor walks."""
    return (key(use_case, MONITORING, "decision"),)


def remediation_sensor(use_case: UseCase, settings: Settings, jobs: Mapping[str, Any]) -> dg.SensorDefinition:
    """Walks the decisions of a use case, rolls back at once, and requests what each asks for."""
    name = automation(use_case, "remediation")

    @dg.sensor(
        name=name,
        jobs=[jobs[job] for job in dict.fromkeys(JOB_OF.values())],
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Rolls back, retrains or quarantines when the decision of a day asks for it; once for each.",
        metadata={str(action): runbook_at(settings.runbooks, action) for action in JOB_OF},
    )
    def remediation(
        context: dg.SensorEvaluationContext,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        endpoint: dg.ResourceParam[Endpoint],
    ) -> dg.SensorResult:
        asked = Asked(context.instance)

        def answered(event: Seen) -> Answer:
            made = None
            if Action(event.metadata["action"]) is Action.ROLL_BACK:
                made = attempt(use_case, event, f"sensor:{name}", artifacts, releases, endpoint)
            return answer_to(use_case, settings.runbooks, event, made, asked)

        cursors, answers = Cursors(context.cursor), []
        (decisions,) = walked(use_case)
        for event in cursors.walk(context.instance, decisions):
            answers.append(answered(event))
            if answers[-1].waits:
                cursors.hold(decisions, event)
                break
        requests = [answer.request for answer in answers if answer.request]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else _quiet(answers),
            asset_events=[answer.observation for answer in answers if answer.observation],
            cursor=cursors.text(),
        )

    return remediation


def answer_to(use_case: UseCase, runbooks: str, event: Seen, made: Attempt | None, asked: Asked) -> Answer:
    """What follows from a decision; ``made`` is the attempt at its rollback, if it asks for one."""
    action = Action(event.metadata["action"])
    said = f"{event.partition}: {action}: {event.metadata['reason']}"
    if action not in JOB_OF:
        return Answer(reason=said)
    waits = made is not None and made.outcome is Outcome.WAITING
    request = request_of(use_case, event, runbooks, BY_RUN if waits else "")
    before = asked.before(request.run_key)
    told = [said, f"{made.outcome}: {made.reason}" if made else "", "asked for before" if before else ""]
    # What a run has moved, that run has seen at the server, too.
    by_run = made is not None and made.line is not None and made.line.dagster_run_id is not None
    overtaken = made is not None and made.outcome is Outcome.OVERTAKEN
    return Answer(
        reason="; ".join([*filter(None, told), f"runbook: {request.tags['mlops/runbook']}"]),
        request=None if before or by_run or overtaken else request,
        observation=observed(use_case, event, made) if made and not (before or by_run) else None,
        waits=waits,
    )


def request_of(use_case: UseCase, event: Seen, runbooks: str, how: str = "") -> dg.RunRequest:
    """The run that carries out one decision, or sees to it that it was."""
    action, day = Action(event.metadata["action"]), event.partition
    reason = str(event.metadata["reason"])
    job = JOB_OF[action]
    trains = job == RETRAIN
    model = key(use_case, MODELS, "model").to_python_identifier()
    parts = (use_case.name, str(action), day, str(event.metadata["version"]), how)
    return dg.RunRequest(
        job_name=automation(use_case, job),
        run_key="/".join(filter(None, parts)),
        partition_key=day,
        run_config={"ops": {model: {"config": {"because": f"{action} on {day}: {reason}"}}}} if trains else {},
        tags={
            "mlops/action": str(action),
            "mlops/reason": reason[:240],
            "mlops/runbook": runbook_at(runbooks, action),
        },
    )


def _quiet(answers: Sequence[Answer]) -> str:
    if not answers:
        return "no new decision"
    return f"{len(answers)} new decisions, no run to ask for; " + "; ".join(a.reason for a in answers[-TOLD:])
