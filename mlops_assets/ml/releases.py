"""How a candidate travels: registered -> shadow -> canary -> champion, or out.

Shadow comes first because scoring the same rows with both models needs 3 to 230 times fewer rows than splitting the
traffic; a canary still follows, because only real answers show real trouble. In both arms the candidate and the
champion are compared on the same rows.

Here: the paired evidence about a candidate, and the release table. Belongs here: a rule about moving a candidate.
Does not: gates before release (``ml.evaluation``), moving anything (``adapters.releases``), what happens to a
champion (``ml.policy``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.contracts import Arm, Gate, Release, ReleaseDecision, Step
from mlops_assets.ml.day_blocks import Difference, paired_difference
from mlops_assets.ml.metrics import brier_scores
from mlops_assets.ml.sequential import Evidence, worse_than

MIN_ROWS_PER_DAY = 100
"""Paired rows that make a day full. A tenth of a normal day: fewer means that scoring or outcomes broke down."""


@dataclass(frozen=True, kw_only=True)
class ArmEvidence:
    """What the paired rows of one arm say about a candidate. Brier scores, candidate minus champion."""

    difference: Difference
    evidence: Evidence

    @property
    def full_days(self) -> int:
        """Days with enough paired rows."""
        return self.evidence.full_days

    def numbers(self) -> dict[str, float | None]:
        """Everything as plain numbers, for a decision's record."""
        return {
            "brier_difference": _finite(self.difference.mean),
            "low": _finite(self.difference.low),
            "high": _finite(self.difference.high),
            "rows": float(self.difference.rows),
            "full_days": float(self.full_days),
            "e_value": self.evidence.fast,
            "e_value_by_days": self.evidence.strict,
        }


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Where a candidate stands on one day."""

    version: int
    arm: Arm | None
    """SHADOW or CANARY; None while it is only registered."""
    days_in_arm: int
    """Calendar days since it entered the arm."""
    gates: tuple[Gate, ...]
    """Of its evaluation; empty when there is none."""
    override: Arm | None = None
    """Arm that a recorded operator override asks for, whatever the gates say."""
    enforced: bool = True
    """False after a dry run of the gates: what they found stops nothing."""
    unsigned: tuple[str, ...] = ()
    """Who must still sign before it may become champion."""


def compare_arms(
    rows: pd.DataFrame,
    *,
    candidate: str,
    champion: str,
    label: str,
    margin: float,
    day: str = "day",
) -> ArmEvidence:
    """The paired evidence of ``rows``: one row per decision that both models scored and whose outcome is known.

    ``candidate`` and ``champion`` name the columns of scores; ``day`` is the day on which the outcome became known;
    rows come in the order in which they did. Rows before the candidate entered the arm must not be among them.
    """
    labels = rows[label].to_numpy(np.float64)
    losses = brier_scores(rows[candidate].to_numpy(np.float64), labels)
    other = brier_scores(rows[champion].to_numpy(np.float64), labels)
    days = rows[day].to_numpy()
    return ArmEvidence(
        difference=paired_difference(days, losses, other),
        evidence=worse_than(days, losses - other, margin, MIN_ROWS_PER_DAY),
    )


def decide_release(
    day: str,
    candidate: Candidate,
    release: Release,
    *,
    has_champion: bool,
    alarms_armed: bool,
    paired: ArmEvidence | None,
) -> ReleaseDecision:
    """The release table: what to do with one candidate at the end of one day.

    ``paired`` is the evidence gathered since the candidate entered its arm, None when it could not be measured: that
    pauses a release and never counts against the model. ``alarms_armed`` says that the monitors which would notice
    a bad release ran for this day.
    """
    rule = _RULES[candidate.arm]
    step, reason = rule(candidate, release, has_champion, alarms_armed, paired)
    if step is Step.TO_CHAMPION and candidate.unsigned and candidate.override is None:
        waits = f"it waits for the sign-off of {', '.join(candidate.unsigned)} (`mlops sign-off {candidate.version}`)"
        step, reason = Step.PAUSE, f"{waits}; {reason}"
    return ReleaseDecision(
        day=day,
        version=candidate.version,
        step=step,
        reason=reason,
        numbers={} if paired is None else paired.numbers(),
    )


def _registered(
    candidate: Candidate, release: Release, has_champion: bool, alarms_armed: bool, paired: ArmEvidence | None
) -> tuple[Step, str]:
    failed = [gate for gate in candidate.gates if not gate.passed]
    if candidate.override is None and not candidate.gates:
        return Step.PAUSE, "the candidate has no evaluation"
    if candidate.override is None and failed and candidate.enforced:
        return Step.REFUSE, "gate failed: " + "; ".join(f"{gate.name}: {gate.reason}" for gate in failed)
    passed = _passed(candidate, failed)
    if not has_champion and candidate.override is None:
        return Step.TO_CHAMPION, f"{passed} and there is no champion to compare with"
    if not alarms_armed:
        return Step.PAUSE, _UNARMED
    if candidate.override is not None:
        return _ENTER[candidate.override], f"an operator's override sends it to {candidate.override}"
    return Step.TO_SHADOW, passed


def _passed(candidate: Candidate, failed: Sequence[Gate]) -> str:
    unjudged = [gate.name for gate in candidate.gates if not gate.judged]
    if failed:
        return f"a dry run: {', '.join(gate.name for gate in failed)} failed and stops nothing"
    return f"no gate failed (not judged: {', '.join(unjudged)})" if unjudged else "all gates passed"


def _in_shadow(
    candidate: Candidate, release: Release, has_champion: bool, alarms_armed: bool, paired: ArmEvidence | None
) -> tuple[Step, str]:
    """Nobody is answered from here, so nothing is refused before all days of the shadow are in."""
    if paired is None:
        return Step.PAUSE, _UNMEASURED
    early = _too_few_days(candidate, release, release.shadow_days, paired)
    if early is not None:
        return early
    if paired.difference.mean > release.margin and paired.evidence.rejects(release.alpha):
        return Step.REFUSE, _worse(release, paired)
    if paired.difference.mean > 0:
        return _undecided(candidate, release, paired, "has not beaten the champion in shadow")
    if not alarms_armed:
        return Step.PAUSE, _UNARMED
    return Step.TO_CANARY, f"no worse than the champion in shadow: {_in_words(paired)}"


def _in_canary(
    candidate: Candidate, release: Release, has_champion: bool, alarms_armed: bool, paired: ArmEvidence | None
) -> tuple[Step, str]:
    """Its answers are real, so it is refused at the end of any full day."""
    if paired is None:
        return Step.PAUSE, _UNMEASURED
    if paired.evidence.rejects(release.alpha):
        return Step.REFUSE, _worse(release, paired)
    early = _too_few_days(candidate, release, release.canary_days, paired)
    if early is not None:
        return early
    if paired.difference.mean > release.margin:
        return _undecided(candidate, release, paired, f"is worse than the champion by more than {release.margin}")
    if not alarms_armed:
        return Step.PAUSE, _UNARMED
    return Step.TO_CHAMPION, f"passed its canary: {_in_words(paired)}"


_UNMEASURED = "inconclusive: the paired rows could not be measured"
_UNARMED = "no release without an armed alarm: a monitor gave no verdict for this day"

_ENTER: Mapping[Arm, Step] = {
    Arm.SHADOW: Step.TO_SHADOW,
    Arm.CANARY: Step.TO_CANARY,
    Arm.CHAMPION: Step.TO_CHAMPION,
}

_RULES: Mapping[Arm | None, Callable[..., tuple[Step, str]]] = {
    None: _registered,
    Arm.SHADOW: _in_shadow,
    Arm.CANARY: _in_canary,
}


def _too_few_days(
    candidate: Candidate, release: Release, days_needed: int, paired: ArmEvidence
) -> tuple[Step, str] | None:
    if paired.full_days >= days_needed:
        return None
    if candidate.days_in_arm >= release.max_days:
        return Step.REFUSE, f"inconclusive after {candidate.days_in_arm} days: {_in_words(paired)}"
    if candidate.days_in_arm > days_needed + _GRACE_DAYS:
        return Step.PAUSE, f"inconclusive: only {paired.full_days} full days of outcomes, {days_needed} are needed"
    return Step.WAIT, f"{paired.full_days} of {days_needed} full days of outcomes"


_GRACE_DAYS = 2
"""Days without full outcomes (a feed late, a holiday) that are waiting, not trouble."""


def _undecided(candidate: Candidate, release: Release, paired: ArmEvidence, why: str) -> tuple[Step, str]:
    if candidate.days_in_arm >= release.max_days:
        return Step.REFUSE, f"after {candidate.days_in_arm} days it {why}: {_in_words(paired)}"
    return Step.WAIT, f"it {why} so far: {_in_words(paired)}"


def _worse(release: Release, paired: ArmEvidence) -> str:
    return f"worse than the champion by more than {release.margin} Brier: {_in_words(paired)}"


def _in_words(paired: ArmEvidence) -> str:
    difference = paired.difference
    return (
        f"Brier {difference.mean:+.4f} against the champion on the same {difference.rows} rows of "
        f"{difference.days} days (95 % interval by days {difference.low:+.4f} to {difference.high:+.4f}), "
        f"e-value {paired.evidence.fast:.3g}"
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
