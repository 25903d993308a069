"""What to do about a day: the decision table, with debouncing, cooldown and ceiling in front of every action.

Here: one pure function from everything that is known to one decision, and its story in words. Belongs here: a rule
about acting on verdicts. Does not: verdicts (``ml.monitoring``, ``ml.performance``), moving a candidate
(``ml.releases``), doing anything.

| data or labels fail | worse since promotion | performance or population alarm | challenger | decision |
|---|---|---|---|---|
| yes | any | any | any | hold: no rollback, no training |
| no | yes, a predecessor exists | any | any | roll back |
| no | yes, none exists | any | any | fall back: declared fallback, retrain at once |
| no | no | yes | none | retrain |
| no | no | yes | on its way | watch: the release table judges it |
| no | no | no | any | nothing, or the calendar's retrain |
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.contracts import Action, Decision, Judgement, Monitoring, Verdict

DATA_CHECKS = ("data_contract", "feature_contract", "feature_skew", "label_sanity")
"""A failure here means that the measurements lie: nothing may be concluded from them. One alarm is enough."""
BREACHES = ("predecessor_regret", "server_health")
"""Worse since promotion. ``predecessor_regret`` accumulates its own evidence over the rows since then, so it is not
debounced again by K-of-N; ``server_health`` is."""
SEQUENTIAL = ("predecessor_regret",)
ROLLBACK_DAYS = 14
"""Days after its promotion in which a champion can be rolled back: two weeks without trouble are a clean period, and
what goes wrong later came from outside, where the predecessor would not do better."""
DRIFTS = ("performance", "data_drift")
"""Reasons to train a challenger. Drift of scores, of labels and estimated performance inform and do not act."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything the decision table looks at, at the end of one day."""

    day: str
    judgements: tuple[Judgement, ...]
    """Of the last days, the day's own among them; the last one of a (monitor, day) counts."""
    decisions: tuple[Decision, ...] = ()
    """Earlier decisions."""
    champion_version: int | None = None
    champion_since: str | None = None
    """Day on which the champion was promoted: older verdicts are about somebody else."""
    champion_cutoff: str | None = None
    """Last day of data that the champion knows: the calendar counts from here, whatever was refused since."""
    data_since: str | None = None
    """First day of data; None: not known, and the calendar counts days alone."""
    predecessor_version: int | None = None
    challenger_version: int | None = None
    """A candidate in training, in shadow or in canary."""
    champion_left: str | None = None
    """Of a day that is decided again: the day on which that champion was replaced since, for another reason."""


def decide(situation: Situation, monitoring: Monitoring) -> Decision:
    """The decision of one day."""
    today = tuple(latest(situation.judgements, situation.day).values())
    wanted, why, on = _table(situation, monitoring)
    action, reason = _restrained(wanted, why, situation, monitoring)
    return Decision(
        day=situation.day,
        action=action,
        reason=reason,
        evidence=today,
        version=situation.champion_version,
        target_version=situation.predecessor_version if action is Action.ROLL_BACK else None,
        stands_on=tuple(judgement.monitor for judgement in on),
    )


def latest(judgements: Sequence[Judgement], day: str) -> dict[str, Judgement]:
    """Monitor -> its last judgement of that day: a day reopened by late outcomes counts once."""
    return {judgement.monitor: judgement for judgement in judgements if judgement.day == day}


def explain(decision: Decision) -> str:
    """A decision in plain words: what was decided, why, and what every monitor said."""
    about = "" if decision.version is None else f" about champion version {decision.version}"
    target = "" if decision.target_version is None else f" (to version {decision.target_version})"
    lines = [f"{decision.day}: {decision.action}{target}{about}, because {decision.reason}."]
    lines += [f"- {j.monitor}: {j.verdict}, {j.reason}" for j in sorted(decision.evidence, key=lambda j: j.monitor)]
    return "\n".join(lines)


def _table(situation: Situation, monitoring: Monitoring) -> tuple[Action, str, Sequence[Judgement]]:
    """The action, its reason, and the alarms that it stands on."""
    today = latest(situation.judgements, situation.day)
    broken = [today[name] for name in DATA_CHECKS if name in today and today[name].verdict is Verdict.ALARM]
    if broken:
        return Action.HOLD, "the measurements cannot be trusted: " + _reasons(broken), broken
    if situation.champion_version is None:
        return Action.NOTHING, "there is no champion", ()
    breached = [today[name] for name in BREACHES if speaks(name, situation, monitoring)]
    if breached and _days_between(situation.champion_since, situation.day) > ROLLBACK_DAYS:
        return Action.WATCH, f"trouble only after {ROLLBACK_DAYS} clean days: " + _reasons(breached), breached
    if breached and situation.predecessor_version is not None:
        return Action.ROLL_BACK, "worse than before its promotion: " + _reasons(breached), breached
    if breached:
        alone = "worse than before its promotion and there is no earlier champion: "
        return Action.FALL_BACK, alone + _reasons(breached), breached
    drifted = [today[name] for name in DRIFTS if speaks(name, situation, monitoring)]
    if drifted and situation.challenger_version is not None:
        version = situation.challenger_version
        return Action.WATCH, f"challenger version {version} is being judged already; " + _reasons(drifted), drifted
    if drifted:
        return Action.RETRAIN, "it persists: " + _reasons(drifted), drifted
    return *_calendar(situation, monitoring), ()


def _calendar(situation: Situation, monitoring: Monitoring) -> tuple[Action, str]:
    known = situation.champion_cutoff
    age = _days_between(known, situation.day)
    if (
        known is None
        or situation.challenger_version is not None
        or age < due_after(situation.data_since, known, monitoring)
    ):
        return Action.NOTHING, _calm(situation, monitoring)
    if last := _cooling(situation, monitoring):
        waits = f"the calendar waits: a model was trained on {last}"
        return Action.NOTHING, f"{_calm(situation, monitoring)}; {waits}"
    return Action.RETRAIN, f"the calendar: the champion knows nothing of the last {age} days"


def _calm(situation: Situation, monitoring: Monitoring) -> str:
    """Why no monitor is acted on: none is in alarm, or none for long enough."""
    counts = {name: _alarms(name, situation, monitoring) for name in (*BREACHES, *DRIFTS)}
    waiting = [
        f"{name} {days} of {persistence(name, monitoring)[0]} days" for name, days in counts.items() if days is not None
    ]
    return f"no alarm has lasted long enough yet: {', '.join(waiting)}" if waiting else "no monitor raises an alarm"


def due_after(data_since: str | None, cutoff: str, monitoring: Monitoring) -> int:
    """Days after its cut-off day at which a model is old, by the calendar: never within the cooldown."""
    if data_since is None:
        return monitoring.retrain_every_days
    grown = math.ceil(monitoring.retrain_growth * (_days_between(data_since, cutoff) + 1))
    return max(monitoring.retrain_cooldown_days, min(monitoring.retrain_every_days, grown))


def _restrained(action: Action, reason: str, situation: Situation, monitoring: Monitoring) -> tuple[Action, str]:
    """Cooldown, ceiling and missing evidence turn an action into watching. A hold is never restrained."""
    if action not in (Action.RETRAIN, Action.ROLL_BACK, Action.FALL_BACK):
        return action, reason
    if situation.champion_left is not None:
        gone = f"version {situation.champion_version} was replaced on {situation.champion_left}"
        return Action.WATCH, f"{gone}; wanted: {action}, {reason}"
    today = latest(situation.judgements, situation.day)
    blind = [name for name in DATA_CHECKS if name in today and today[name].verdict is Verdict.UNKNOWN]
    if blind and action is Action.RETRAIN:
        return Action.WATCH, f"{', '.join(blind)} gave no verdict, so nothing is trained; wanted: {action}, {reason}"
    if action is Action.RETRAIN and (last := _cooling(situation, monitoring)):
        return Action.WATCH, f"retrained on {last}, in cooldown; wanted: {action}, {reason}"
    others = [d for d in situation.decisions if (d.day, d.action) != (situation.day, action)]
    acted = [d for d in others if d.day == situation.day and d.acts and d.action is not Action.HOLD]
    if len(acted) >= monitoring.daily_ceiling:
        return Action.WATCH, f"{len(acted)} automatic actions today already; wanted: {action}, {reason}"
    return action, reason


def _cooling(situation: Situation, monitoring: Monitoring) -> str | None:
    """The day of the last training, if that is too short a time ago for another one."""
    others = (d for d in situation.decisions if (d.day, d.action) != (situation.day, Action.RETRAIN))
    last = max((d.day for d in others if d.action in (Action.RETRAIN, Action.FALL_BACK)), default=None)
    return last if last and _days_between(last, situation.day) < monitoring.retrain_cooldown_days else None


def speaks(monitor: str, situation: Situation, monitoring: Monitoring) -> bool:
    """In alarm today, and on K of the last N judged days of this champion unless it accumulates its own evidence."""
    days = _alarms(monitor, situation, monitoring)
    return days is not None and (monitor in SEQUENTIAL or days >= persistence(monitor, monitoring)[0])


def _alarms(monitor: str, situation: Situation, monitoring: Monitoring) -> int | None:
    """Days in alarm among the last N judged ones of this champion; None when the monitor is quiet today."""
    judged = {
        j.day: j.verdict
        for j in situation.judgements
        if j.monitor == monitor and j.day <= situation.day and j.champion_version == situation.champion_version
    }
    if judged.get(situation.day) is not Verdict.ALARM:
        return None
    days = sorted(day for day, verdict in judged.items() if verdict is not Verdict.UNKNOWN)
    return sum(judged[day] is Verdict.ALARM for day in days[-persistence(monitor, monitoring)[1] :])


def persistence(monitor: str, monitoring: Monitoring) -> tuple[int, int]:
    """K and N of K-of-N."""
    needed, window = monitoring.alarms_needed, monitoring.alarm_window_days
    if monitor == "data_drift":
        return monitoring.drift_alarms_needed or needed, monitoring.drift_window_days or window
    return needed, window


def _reasons(judgements: Sequence[Judgement]) -> str:
    return "; ".join(f"{j.monitor}: {j.reason}" for j in judgements)


def _days_between(first: str | None, last: str) -> int:
    return 0 if first is None else (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days
