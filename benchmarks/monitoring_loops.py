"""How a champion comes to be another one: never, by the calendar, or by the shipped loop.

Here: each policy over a run of days, with what it answered and what it trained. Belongs here: carrying out what
``ml.policy`` and ``ml.releases`` decide, on the frozen rows. Does not: the models (``benchmarks.monitoring_versions``),
comparing policies (``benchmarks.monitoring_trigger``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from benchmarks.model_data import FIRST as BEGIN
from benchmarks.model_data import USE_CASE
from benchmarks.monitoring_versions import LABEL, Version, Year, shift
from mlops_assets.contracts import Action, Arm, Decision, Judgement, Monitoring, Release, Step, Verdict
from mlops_assets.ml.canary_signals import Signals
from mlops_assets.ml.metrics import log_losses
from mlops_assets.ml.paired import compare_arms
from mlops_assets.ml.policy import Situation, decide
from mlops_assets.ml.releases import Candidate, Measured, decide_release

JUDGED_DAYS, DECIDED_DAYS = 10, 30
"""As many as the asset ``decision`` looks at."""
SERVES = Signals(verdict=Verdict.OK, reason="service as the champion's")
"""What is compared here are models."""
NEVER = 10_000
"""Days between trainings that no year has."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One policy over the days."""

    name: str
    losses: np.ndarray
    """Log-loss of every decision, day by day."""
    retrained: Sequence[str]
    """Cut-off day of every training after the first champion's."""
    promoted: Sequence[str]
    """Days at whose end the champion changed."""
    decisions: Sequence[Decision] = ()
    refused: Sequence[str] = ()
    """Candidates that did not become champion, each with the reason."""


def scheduled(year: Year, name: str, first: str, last: str, cutoffs: Sequence[str]) -> Outcome:
    """Models of those cut-off days, each in charge from the day after it; nothing is asked of them."""
    losses = []
    for day in _days(first, last):
        cutoff = max((c for c in cutoffs if c < day), default=shift(first, -1))
        chosen = year.asked(day, day)
        losses.append(log_losses(year.version(cutoff).scores(chosen), year.labels[chosen]))
    return Outcome(name=name, losses=np.concatenate(losses), retrained=cutoffs, promoted=cutoffs)


def every(days: int, first: str, last: str, age: int = 0) -> list[str]:
    """Cut-off days of a calendar; ``age``: days of its period that are over on the first day."""
    before = _days(first, last)[:-1]
    return [day for number, day in enumerate(before, 1) if (number + age) % days == 0]


def growing(share: float, begin: str, first: str, last: str) -> list[str]:
    """Cut-off days on which there is that share more data, in days since ``begin``, than at the one before."""
    cutoffs, size = [], len(_days(begin, shift(first, -1)))
    for day in _days(first, last)[:-1]:
        if len(_days(begin, day)) >= (1 + share) * size:
            cutoffs.append(day)
            size = len(_days(begin, day))
    return cutoffs


@dataclass(kw_only=True)
class Loop:
    """The shipped loop at work: monitors, decision table, gates, shadow, canary."""

    year: Year
    champion: Version
    since: str
    """Day at whose end it became champion."""
    monitoring: Monitoring
    deaf_to: Sequence[str] = ()
    """Monitors whose verdicts are not heard."""
    release: Release = USE_CASE.release
    champion_set_out: str = ""
    """Day at whose end it came into the shadow."""
    predecessor: Version | None = None
    candidate: Version | None = None
    arm: Arm | None = None
    entered: str = ""
    """Day at whose end it came into its arm."""
    set_out: str = ""
    """Day at whose end it was trained and came into the shadow."""
    share: int = 0
    """What the candidate answers, in 1/10,000."""
    share_since: str = ""
    judgements: list[Judgement] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    retrained: list[str] = field(default_factory=list)
    promoted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def answered(self, day: str) -> np.ndarray:
        """Log-loss of the day's decisions; of a canary's share in expectation."""
        chosen = self.year.asked(day, day)
        losses = log_losses(self.champion.scores(chosen), self.year.labels[chosen])
        if self.arm is not Arm.CANARY or self.candidate is None:
            return losses
        share = self.share / 10_000
        return (1 - share) * losses + share * log_losses(self.candidate.scores(chosen), self.year.labels[chosen])

    def end(self, day: str) -> None:
        """Everything that happens at the end of a day."""
        today = self.year.judged(self.champion, self.since, self.predecessor, day, self.champion_set_out)
        heard = [judgement for judgement in today if judgement.monitor not in self.deaf_to]
        self.judgements = [*(j for j in self.judgements if j.day > shift(day, -JUDGED_DAYS)), *heard]
        decision = decide(self._situation(day), self.monitoring)
        self.decisions.append(decision)
        armed = today[0].verdict is not Verdict.UNKNOWN
        if self.candidate is not None:
            self._move(day, armed)
        if decision.action is Action.ROLL_BACK and self.predecessor is not None:
            self._promote(self.predecessor, day, day)
            self.predecessor = None
        if decision.action in (Action.RETRAIN, Action.FALL_BACK):
            self.candidate, self.arm = self.year.version(day), None
            self.entered = self.set_out = day
            self.retrained.append(day)
            self._move(day, armed)

    def _situation(self, day: str) -> Situation:
        return Situation(
            day=day,
            judgements=tuple(self.judgements),
            decisions=tuple(d for d in self.decisions if d.day >= shift(day, -DECIDED_DAYS)),
            champion_version=self.champion.number,
            champion_since=self.since,
            champion_cutoff=self.champion.cutoff,
            data_since=BEGIN,
            predecessor_version=self.predecessor and self.predecessor.number,
            challenger_version=self.candidate and self.candidate.number,
        )

    def _move(self, day: str, armed: bool) -> None:
        """Ask the release table about the candidate, and do what it says."""
        assert self.candidate is not None
        in_canary = self.arm is Arm.CANARY
        held = Candidate(
            version=self.candidate.number,
            arm=self.arm,
            days_in_arm=len(_days(self.entered, day)) - 1,
            gates=() if self.arm else self.candidate.evaluated(self.champion).gates,
            share=self.share if in_canary else 0,
            days_at_share=len(_days(self.share_since, day)) - 1 if in_canary else 0,
        )
        rows = self.year.paired(
            self.year.outcomes(self.set_out, day, self.set_out), mine=self.candidate, theirs=self.champion
        )
        facts = {"candidate": "mine", "champion": "theirs", "label": LABEL, "margin": self.release.margin}
        paired = compare_arms(rows, since=self.share_since if in_canary else None, **facts) if len(rows) else None
        unarmed = () if armed else ("performance gave no verdict",)
        measured = Measured(paired=paired, signals=SERVES, unarmed=unarmed)
        told = decide_release(day, held, self.release, measured, champion=self.champion.number)
        if told.step in (Step.TO_SHADOW, Step.TO_CANARY):
            self.arm, self.entered = (Arm.SHADOW if told.step is Step.TO_SHADOW else Arm.CANARY), day
        if told.basis_points:
            self.share, self.share_since = told.basis_points, day
        if told.step is Step.REFUSE:
            self.refused.append(f"{self.candidate.cutoff} on {day}: {told.reason}")
            self.candidate = self.arm = None
        if told.step is Step.TO_CHAMPION:
            self.predecessor = self.champion
            self._promote(self.candidate, day, self.set_out)

    def _promote(self, version: Version, day: str, set_out: str) -> None:
        self.champion, self.since, self.champion_set_out = version, day, set_out
        self.candidate = self.arm = None
        self.promoted.append(day)


def triggered(
    year: Year, name: str, first: str, last: str, monitoring: Monitoring, deaf_to: Sequence[str] = ()
) -> Outcome:
    """The shipped loop with those settings, deaf to some monitors."""
    cutoff = shift(first, -1)
    loop = Loop(year=year, champion=year.version(cutoff), since=cutoff, monitoring=monitoring, deaf_to=deaf_to)
    losses = []
    for day in _days(first, last):
        losses.append(loop.answered(day))
        loop.end(day)
    return Outcome(
        name=name,
        losses=np.concatenate(losses),
        retrained=loop.retrained,
        promoted=loop.promoted,
        decisions=loop.decisions,
        refused=loop.refused,
    )


def _days(first: str, last: str) -> list[str]:
    return [str(day.date()) for day in pd.date_range(first, last)]
