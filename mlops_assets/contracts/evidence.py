"""What was measured and what was concluded: gates, evaluations, verdicts, decisions.

Here: the records that a decision can be replayed from. Belongs here: evidence and conclusions. Does not: how either
is reached (``ml``).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_assets.contracts.versions import Arm


class Verdict(enum.StrEnum):
    """What one monitor says of one day."""

    OK = "ok"
    ALARM = "alarm"
    UNKNOWN = "unknown"
    """The evidence is missing or too thin: pauses automation, and is never held against a model."""


class Action(enum.StrEnum):
    """What the decision table can ask for."""

    NOTHING = "nothing"
    WATCH = "watch"
    HOLD = "hold"
    """Quarantine the data and hold: no rollback and no training until the data checks pass again."""
    RETRAIN = "retrain"
    ROLL_BACK = "roll_back"
    FALL_BACK = "fall_back"
    """No earlier champion exists: answer with the use case's declared fallback and retrain at once."""


class Step(enum.StrEnum):
    """What the release table can ask for, of one candidate version."""

    WAIT = "wait"
    PAUSE = "pause"
    """Inconclusive: evidence is missing; nothing moves until it arrives or an operator decides."""
    TO_SHADOW = "to_shadow"
    TO_CANARY = "to_canary"
    WIDEN = "widen"
    """The canary answers a larger share of the traffic from now on."""
    TO_CHAMPION = "to_champion"
    REFUSE = "refuse"


class Outcome(enum.StrEnum):
    """What the analysis of one candidate came to."""

    PASS = "pass"
    """It moves up."""
    FAIL = "fail"
    """Its gates, its loss or its service speak against it."""
    INCONCLUSIVE = "inconclusive"
    """Evidence is missing, thin, or could not be measured: never a reason to move up, and says nothing against it."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate's answer about one candidate."""

    name: str
    passed: bool
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    judged: bool = True
    """False where the evidence is missing or too thin: the gate passes, and proves nothing."""

    @property
    def answer(self) -> str:
        """``yes``, ``NO`` or ``not judged``."""
        if not self.judged:
            return "not judged"
        return "yes" if self.passed else "NO"


@dataclass(frozen=True, kw_only=True)
class ServerAnswers:
    """What a server that held nothing but one bundle said when it was asked some rows, one at a time."""

    digest: str | None
    """Of the bundle that it reported; None when it loaded none."""
    scores: tuple[float, ...]
    """One per row; none when it did not answer."""
    latencies_ms: tuple[float, ...]
    """Of every request, as the caller saw it."""
    bundle_bytes: int
    problem: str | None = None
    """Why it did not load or did not answer."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a candidate showed on days it was not trained on."""

    model_digest: str
    first_day: str
    last_day: str
    rows: int
    metrics: Mapping[str, float]
    """On all held-out rows: auc, log_loss, brier, calibration_error, late_rate, constant_log_loss."""
    champion_version: int | None
    champion_metrics: Mapping[str, float]
    """The champion's, on the held-out rows of days that it was not trained on; none without such rows."""
    slices: Mapping[str, Mapping[str, float]]
    """``carrier=UA`` -> rows, auc, log_loss, late_rate; beside the champion (or the constant rate) also difference,
    low, high, with the days and compared_rows that these three are of."""
    gates: tuple[Gate, ...]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> 95 % interval by days."""
    enforced: bool = True
    """False in a dry run: the gates say what they found and stop nothing."""
    compared_metrics: Mapping[str, float] = field(default_factory=dict)
    """This candidate's on the same rows as ``champion_metrics``."""
    compared_rows: int | None = None
    """Rows that both were measured on; None in evaluations from before they were counted, whose champion's metrics are
    of all held-out rows."""
    compared_days: int = 0

    @property
    def passed(self) -> bool:
        """True when every gate passed."""
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One monitor's verdict on one day, with the numbers it stands on."""

    monitor: str
    day: str
    verdict: Verdict
    reason: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    champion_version: int | None = None
    champion_digest: str | None = None
    rows: int = 0
    revised_from: Verdict | None = None
    """What was said of the day before its outcomes came late or were corrected; None when nothing else was said."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the decision table concluded on one day, with everything it looked at."""

    day: str
    action: Action
    reason: str
    evidence: tuple[Judgement, ...] = ()
    version: int | None = None
    """The champion it is about."""
    target_version: int | None = None
    """Where a rollback goes to."""
    stands_on: tuple[str, ...] | None = None
    """The monitors whose alarms led to it; none for the calendar. None: a decision from before this was kept."""

    @property
    def acts(self) -> bool:
        """True when automation has something to do."""
        return self.action not in (Action.NOTHING, Action.WATCH)


@dataclass(frozen=True, kw_only=True)
class ReleaseDecision:
    """What the release table concluded about one candidate on one day."""

    day: str
    version: int
    step: Step
    reason: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    outcome: Outcome | None = None
    """None while the days that the evidence needs are not over."""
    basis_points: int = 0
    """Share of the traffic that the step gives the canary, in 1/10,000; 0 where it gives none."""
    arm: Arm | None = None
    """Where it stood when it was judged. A verdict about another place is stale."""
    against: int | None = None
    """The champion that it was compared with, None when there was none. A verdict against another one is stale."""
