"""How a candidate travels: registered -> shadow -> canary, share by share -> champion, or out.

Shadow comes first because scoring the same rows with both models needs 3 to 230 times fewer rows than splitting the
traffic; a canary still follows, because only real answers show real trouble. In both arms the candidate and the
champion are compared on the same rows; in a canary their service too, in the same minutes.

Here: the release table, and when a verdict of it is stale. Belongs here: a rule about moving a candidate. Does not:
evidence (``ml.paired``, ``ml.canary_signals``), gates before release (``ml.evaluation``), moving anything
(``adapters.releases``), what happens to a champion (``ml.policy``).

What could not be measured is inconclusive: it pauses a release, never promotes and never counts against the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.contracts import Arm, CanaryStep, Gate, Outcome, Release, ReleaseDecision, Step, Transition, Verdict
from mlops_assets.ml.canary_signals import Signals
from mlops_assets.ml.paired import ArmEvidence, in_words


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
    share: int = 0
    """What it answers as a canary, in 1/10,000."""
    days_at_share: int = 0
    """Calendar days since it answers that share."""
    override: Arm | None = None
    """Arm that a recorded operator override asks for, whatever the gates say."""
    enforced: bool = True
    """False after a dry run of the gates: what they found stops nothing."""
    unsigned: tuple[str, ...] = ()
    """Who must still sign before it may become champion."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a candidate by the end of a day."""

    paired: ArmEvidence | None = None
    """Its loss beside the champion's since it entered its arm; None when it could not be measured."""
    signals: Signals | None = None
    """Its service beside the champion's since it answers its present share; None when that could not be measured."""
    unarmed: tuple[str, ...] = ()
    """Why a bad release would not be noticed; () while the alarms are armed."""
    problems: tuple[str, ...] = ()
    """What went wrong in measuring."""


@dataclass(frozen=True, kw_only=True)
class _Said:
    """One line of the table's answer."""

    step: Step
    reason: str
    outcome: Outcome | None
    basis_points: int = 0


def decide_release(
    day: str, candidate: Candidate, release: Release, measured: Measured, *, champion: int | None
) -> ReleaseDecision:
    """The release table: what to do with one candidate at the end of one day. ``champion`` is the present one."""
    said = _RULES[candidate.arm](candidate, release, measured, champion)
    if said.step is Step.TO_CHAMPION and candidate.unsigned and candidate.override is None:
        waits = f"it waits for the sign-off of {', '.join(candidate.unsigned)} (`mlops sign-off {candidate.version}`)"
        said = _Said(step=Step.PAUSE, reason=f"{waits}; {said.reason}", outcome=said.outcome)
    paired, signals = measured.paired, measured.signals
    return ReleaseDecision(
        day=day,
        version=candidate.version,
        step=said.step,
        reason=said.reason,
        numbers={**(paired.numbers() if paired else {}), **(signals.numbers if signals else {})},
        outcome=said.outcome,
        basis_points=said.basis_points,
        arm=candidate.arm,
        against=champion,
    )


def stale_because(decision: ReleaseDecision, newest: ReleaseDecision, held: Mapping[Arm, Transition]) -> str | None:
    """Why a verdict must not be carried out any more; None while it may, and when it has been.

    ``newest`` is the newest verdict about the version, ``held`` who holds which arm now. What takes a candidate out of
    the traffic stays good when a newer verdict says something else; what moves it up does not.
    """
    present = next((arm for arm, line in held.items() if line.version == decision.version), None)
    up = decision.step in _TARGET
    if up and (newest.day, newest.step) != (decision.day, decision.step):
        return f"a newer verdict, of {newest.day}, says {newest.step}: {newest.reason}"
    if up and present is _TARGET[decision.step] is not decision.arm:
        return None
    if present is not decision.arm:
        return f"it was judged in {decision.arm or 'no arm'} and is in {present or 'no arm'} now"
    champion = held[Arm.CHAMPION].version if Arm.CHAMPION in held else None
    if up and decision.step is not Step.TO_SHADOW and champion != decision.against:
        return f"it was compared with champion {decision.against or 'none'}, and champion is {champion or 'none'} now"
    return None


_TARGET: Mapping[Step, Arm] = {
    Step.TO_SHADOW: Arm.SHADOW,
    Step.TO_CANARY: Arm.CANARY,
    Step.WIDEN: Arm.CANARY,
    Step.TO_CHAMPION: Arm.CHAMPION,
}
"""Where the steps up lead."""


def _registered(candidate: Candidate, release: Release, measured: Measured, champion: int | None) -> _Said:
    failed = [gate for gate in candidate.gates if not gate.passed]
    if candidate.override is None and not candidate.gates:
        return _pause("the candidate has no evaluation")
    if candidate.override is None and failed and candidate.enforced:
        return _fail("gate failed: " + "; ".join(f"{gate.name}: {gate.reason}" for gate in failed))
    if measured.unarmed:
        return _unarmed(measured)
    if candidate.override is not None:
        step, why = _ENTER[candidate.override], f"an operator's override sends it to {candidate.override}"
        return _up(step, why, release.first_share if step is Step.TO_CANARY else 0)
    passed = _passed(candidate, failed)
    if champion is None:
        return _up(Step.TO_CHAMPION, f"{passed} and there is no champion to compare with")
    return _up(Step.TO_SHADOW, passed)


def _passed(candidate: Candidate, failed: Sequence[Gate]) -> str:
    unjudged = [gate.name for gate in candidate.gates if not gate.judged]
    if failed:
        return f"a dry run: {', '.join(gate.name for gate in failed)} failed and stops nothing"
    return f"no gate failed (not judged: {', '.join(unjudged)})" if unjudged else "all gates passed"


def _in_shadow(candidate: Candidate, release: Release, measured: Measured, champion: int | None) -> _Said:
    """Nobody is answered from here, so nothing is refused before all days of the shadow are in."""
    paired = measured.paired
    if paired is None:
        return _unmeasured("paired rows", measured)
    early = _too_few_days(candidate, release, paired, (paired.full_days, release.shadow_days, candidate.days_in_arm))
    if early is not None:
        return early
    if paired.is_worse(release.margin, release.alpha):
        return _fail(_worse(release, paired))
    if paired.difference.mean > 0:
        return _undecided(candidate, release, paired, "has not beaten the champion in shadow")
    if measured.unarmed:
        return _unarmed(measured)
    return _up(Step.TO_CANARY, f"no worse than the champion in shadow: {in_words(paired)}", release.first_share)


def _in_canary(candidate: Candidate, release: Release, measured: Measured, champion: int | None) -> _Said:
    """Its answers are real, so it is refused at the end of any full day, and for its service at the end of any day.

    Champion becomes who has the days of the whole way and is no worse over them: an operator's override may skip the
    shadow, not its evidence.
    """
    paired, signals = measured.paired, measured.signals
    if signals is not None and signals.verdict is Verdict.ALARM:
        return _fail(signals.reason)
    if paired is None:
        return _unmeasured("paired rows", measured)
    if paired.is_worse(release.margin, release.alpha):
        return _fail(_worse(release, paired))
    lived = (paired.step_days, _days_at(release, candidate.share), candidate.days_at_share)
    early = _too_few_days(candidate, release, paired, lived)
    if early is not None:
        return early
    if paired.difference.mean > release.margin:
        return _undecided(candidate, release, paired, f"is worse than the champion by more than {release.margin}")
    if signals is None:
        return _unmeasured("service beside the champion's", measured)
    if signals.verdict is Verdict.UNKNOWN:
        return _pause(f"inconclusive: {signals.reason}")
    if measured.unarmed:
        return _unarmed(measured)
    passed, wider = f"{in_words(paired)}; {signals.reason}", _next(release, candidate.share)
    if wider is None:
        return _at_the_end(candidate, release, paired, passed)
    shares = f"{candidate.share / 100:g} % of the traffic, {wider.basis_points / 100:g} % next"
    return _up(Step.WIDEN, f"passed {shares}: {passed}", wider.basis_points)


def _at_the_end(candidate: Candidate, release: Release, paired: ArmEvidence, passed: str) -> _Said:
    """After the last share: the evidence of the whole way decides."""
    whole = release.shadow_days + release.canary_days
    if paired.full_days < whole:
        lived = f"has {paired.full_days} of {whole} full days of shadow and canary"
        return _undecided(candidate, release, paired, lived)
    if paired.difference.mean > 0:
        return _undecided(candidate, release, paired, "has not beaten the champion in shadow and canary")
    return _up(Step.TO_CHAMPION, f"passed its canary: {passed}")


def _next(release: Release, share: int) -> CanaryStep | None:
    """The step after a share; None after the last one."""
    return next((step for step in release.canary_steps if step.basis_points > share), None)


def _days_at(release: Release, share: int) -> int:
    """Full days asked for at a share; a share that is no step's counts as the next one's."""
    return next((s.days for s in release.canary_steps if s.basis_points >= share), release.canary_steps[-1].days)


_ENTER: Mapping[Arm, Step] = {
    Arm.SHADOW: Step.TO_SHADOW,
    Arm.CANARY: Step.TO_CANARY,
    Arm.CHAMPION: Step.TO_CHAMPION,
}

_RULES: Mapping[Arm | None, Callable[[Candidate, Release, Measured, int | None], _Said]] = {
    None: _registered,
    Arm.SHADOW: _in_shadow,
    Arm.CANARY: _in_canary,
}


def _too_few_days(
    candidate: Candidate, release: Release, paired: ArmEvidence, lived: tuple[int, int, int]
) -> _Said | None:
    """``lived``: full days, full days needed, calendar days."""
    full, needed, days = lived
    if full >= needed:
        return None
    if candidate.days_in_arm >= release.max_days:
        return _expired(candidate, f"only {full} full days of outcomes, {needed} are needed", paired)
    if days > needed + _GRACE_DAYS:
        return _pause(f"inconclusive: only {full} full days of outcomes, {needed} are needed")
    return _Said(step=Step.WAIT, reason=f"{full} of {needed} full days of outcomes", outcome=None)


_GRACE_DAYS = 2
"""Days without full outcomes (a feed late, a holiday) that are waiting, not trouble."""


def _undecided(candidate: Candidate, release: Release, paired: ArmEvidence, why: str) -> _Said:
    if candidate.days_in_arm >= release.max_days:
        return _expired(candidate, f"it {why}", paired)
    return _Said(step=Step.WAIT, reason=f"it {why} so far: {in_words(paired)}", outcome=None)


def _expired(candidate: Candidate, why: str, paired: ArmEvidence) -> _Said:
    """Out after so many days without a conclusion; that is not held against it."""
    reason = f"inconclusive after {candidate.days_in_arm} days, {why}: {in_words(paired)}"
    return _Said(step=Step.REFUSE, reason=reason, outcome=Outcome.INCONCLUSIVE)


def _unmeasured(what: str, measured: Measured) -> _Said:
    told = f" ({'; '.join(measured.problems)})" if measured.problems else ""
    return _pause(f"inconclusive: the {what} could not be measured{told}")


def _unarmed(measured: Measured) -> _Said:
    return _pause(f"no release without an armed alarm: {'; '.join(measured.unarmed)}")


def _pause(reason: str) -> _Said:
    return _Said(step=Step.PAUSE, reason=reason, outcome=Outcome.INCONCLUSIVE)


def _fail(reason: str) -> _Said:
    return _Said(step=Step.REFUSE, reason=reason, outcome=Outcome.FAIL)


def _up(step: Step, reason: str, basis_points: int = 0) -> _Said:
    return _Said(step=step, reason=reason, outcome=Outcome.PASS, basis_points=basis_points)


def _worse(release: Release, paired: ArmEvidence) -> str:
    return f"worse than the champion by more than {release.margin} Brier: {in_words(paired)}"
