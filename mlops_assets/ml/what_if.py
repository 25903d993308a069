"""What would have changed a decision: the same table, asked again with one thing otherwise.

Here: ``Inputs``, which a decision can be made of again, and ``alternatives``. Belongs here: which single changes are
tried. Does not: the table (``ml.policy``).
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mlops_assets.contracts import Action, Decision, Judgement, Monitoring, Verdict
from mlops_assets.ml.policy import (
    BREACHES,
    DATA_CHECKS,
    DRIFTS,
    ROLLBACK_DAYS,
    SEQUENTIAL,
    Situation,
    decide,
    explain,
    latest,
    persistence,
)

ACTING = (*DATA_CHECKS, *BREACHES, *DRIFTS)
"""Monitors whose verdicts the table looks at; the others inform."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything that a decision was made of."""

    situation: Situation
    monitoring: Monitoring

    def decide(self) -> Decision:
        """The decision, made again."""
        return decide(self.situation, self.monitoring)


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One thing otherwise, and the action that it would have led to."""

    change: str
    """Completes "if ..."."""
    action: Action


def alternatives(inputs: Inputs) -> list[Alternative]:
    """Every single change that would have led to another action, in the order of the table's columns."""
    made, found = inputs.decide(), []
    for change, situation in _changes(inputs):
        other = decide(situation, inputs.monitoring)
        if other.action is not made.action:
            found.append(Alternative(change=change, action=other.action))
    return found


def why(inputs: Inputs) -> str:
    """A decision in plain words, and what would have changed it."""
    told = [explain(inputs.decide()), "", "It would have been"]
    told += [f"- {other.action}, if {other.change}" for other in alternatives(inputs)]
    return "\n".join(told if alternatives(inputs) else [*told[:-1], "Nothing alone would have changed it."])


def _changes(inputs: Inputs) -> Iterator[tuple[str, Situation]]:
    situation, monitoring = inputs.situation, inputs.monitoring
    today = latest(situation.judgements, situation.day)
    known = {judgement.monitor for judgement in situation.judgements}
    for name in (name for name in ACTING if name in known):
        said = today[name].verdict if name in today else None
        if said is not None and said is not Verdict.OK:
            told = "been quiet" if said is Verdict.ALARM else "given a verdict, and a quiet one"
            yield f"{name} had {told}", _with(situation, name, Verdict.OK, 1)
        if said is not Verdict.ALARM:
            yield f"{name} had raised an alarm", _with(situation, name, Verdict.ALARM, 1)
        days, _ = persistence(name, monitoring)
        if name not in (*DATA_CHECKS, *SEQUENTIAL) and days > 1:
            yield f"{name} had raised alarms on {days} days running", _with(situation, name, Verdict.ALARM, days)
    yield from _changes_of_models(situation, monitoring)


def _changes_of_models(situation: Situation, monitoring: Monitoring) -> Iterator[tuple[str, Situation]]:
    if (challenger := situation.challenger_version) is not None:
        yield f"version {challenger} were not being judged", replace(situation, challenger_version=None)
    if (before := situation.predecessor_version) is not None:
        yield f"there were no version {before} to go back to", replace(situation, predecessor_version=None)
    elif situation.champion_version is not None:
        yield "there were an earlier champion to go back to", replace(situation, predecessor_version=0)
    if situation.champion_since is not None:
        young = f"version {situation.champion_version} had been promoted within {ROLLBACK_DAYS} days"
        yield young, replace(situation, champion_since=situation.day)
        yield (
            f"it had been promoted more than {ROLLBACK_DAYS} days before",
            replace(situation, champion_since="0001-01-01"),
        )
    if situation.decisions:
        told = f"nothing had been done automatically in the {monitoring.retrain_cooldown_days} days before"
        yield told, replace(situation, decisions=())


def _with(situation: Situation, monitor: str, verdict: Verdict, days: int) -> Situation:
    """With that verdict of the monitor on so many days, the last of them the situation's."""
    last = dt.date.fromisoformat(situation.day)
    judged = [(last - dt.timedelta(days=back)).isoformat() for back in range(days)]
    others = tuple(j for j in situation.judgements if (j.monitor, j.day in judged) != (monitor, True))
    supposed = tuple(
        Judgement(
            monitor=monitor, day=day, verdict=verdict, reason="supposed", champion_version=situation.champion_version
        )
        for day in judged
    )
    return replace(situation, judgements=(*others, *supposed))
