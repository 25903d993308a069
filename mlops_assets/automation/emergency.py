"""The emergency rollback: a decided rollback, carried out within the tick that hears of it.

Here: from a decision to the moved alias and the server's nudge, and what a tick makes of a move that cannot be made.
Belongs here: what must not wait for a run's process, which takes ten seconds before it works. Does not: other actions
(``automation.remediation``), the look at the server and the evidence: the run that is still asked for sees to those.

The run makes the same move with the same cause, so it finds it made. A daemon that is killed between alias and cursor
leaves a tick that the next one repeats, with the same result.
"""

import contextlib
import enum
from dataclasses import dataclass

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.endpoint import Endpoint, EndpointDown, EndpointRefused
from mlops_assets.adapters.promotions import HistoryMoved
from mlops_assets.adapters.registry import RegistryCorrupt, RegistryUnavailable, VersionMissing
from mlops_assets.adapters.releases import ChampionChanged, NothingToRollBackTo, Releases
from mlops_assets.adapters.signatures import SignatureRefused
from mlops_assets.assets.address import REMEDIATION, key
from mlops_assets.assets.files import decision_of
from mlops_assets.assets.remediation import roll_back
from mlops_assets.automation.walk import Seen
from mlops_assets.contracts import Action, Transition, UseCase

REFUSED = (NothingToRollBackTo, VersionMissing, RegistryCorrupt, SignatureRefused)
"""A bad champion answers and nobody can take its place: the run is asked for, fails with this, and people are told."""
PASSING = (RegistryUnavailable, HistoryMoved)
"""Gone in a while: the next tick tries again. Anything else fails the tick, which keeps the cursor too."""


class Outcome(enum.StrEnum):
    """What became of a decided rollback in a tick."""

    MOVED = "moved"
    OVERTAKEN = "overtaken"
    """The decision is about a champion that is none any more, or was taken anew: there is nothing to do."""
    REFUSED = "refused"
    WAITING = "waiting"
    """The decision stays in front of the cursor."""


@dataclass(frozen=True)
class Attempt:
    """One attempt, and what to tell of it."""

    outcome: Outcome
    reason: str
    line: Transition | None = None
    """The line of the history that restored the old version."""


def attempt(
    use_case: UseCase, event: Seen, by: str, artifacts: Artifacts, releases: Releases, endpoint: Endpoint
) -> Attempt:
    """Roll back now, as was decided; ``event`` is the decision's materialization."""
    decision = decision_of(artifacts, use_case, event.partition)
    if decision is None:
        return Attempt(Outcome.REFUSED, f"the decision of {event.partition} is not on record")
    if (decision.action, decision.version) != (Action.ROLL_BACK, event.metadata["version"]):
        anew = f"{decision.action} about version {decision.version}"
        return Attempt(Outcome.OVERTAKEN, f"{event.partition} was decided anew: {anew}")
    try:
        line = roll_back(releases, use_case, decision, by)
    except ChampionChanged as error:
        return Attempt(Outcome.OVERTAKEN, str(error))
    except REFUSED as error:
        return Attempt(Outcome.REFUSED, str(error))
    except PASSING as error:
        return Attempt(Outcome.WAITING, str(error))
    with contextlib.suppress(EndpointDown, EndpointRefused):  # it looks at the registry every second by itself
        endpoint.nudge()
    moved = f"version {decision.version} went, version {line.version} is champion since {line.at}"
    return Attempt(Outcome.MOVED, moved, line)


def observed(use_case: UseCase, event: Seen, made: Attempt) -> dg.AssetObservation:
    """The attempt as an event in Dagster's log, beside the materialization that the run will add.

    An observation: it changes neither the partition's status nor its data version, and a second one does no harm.
    """
    line = made.line
    facts = (
        {"champion_version": line.version, "digest": line.digest, "moved_at": line.at, "by": line.by} if line else {}
    )
    return dg.AssetObservation(
        key(use_case, REMEDIATION, "rollback"),
        partition=event.partition,
        description=f"{made.outcome}: {made.reason}",
        metadata={"outcome": str(made.outcome), "reason": made.reason, **facts},
    )
