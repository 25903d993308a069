"""The nouns that cross a boundary between two rooms, frozen.

Here: small immutable records and enumerations without behaviour, and their JSON form.
Belongs here: a type that at least two rooms exchange.
Does not: anything that computes, reads, writes or knows a framework; facts of one use case (``use_cases``).

Every digest in this project is a SHA-256 in lower-case hex. Every day is an ISO date of the use case's own
calendar ("2013-04-01"); every instant is an ISO 8601 UTC time that ends in "Z".
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class Arm(enum.StrEnum):
    """A place in the traffic that a registered version can hold; also the registry alias that says so."""

    CHAMPION = "champion"
    """Answers most of the traffic."""
    CANARY = "canary"
    """Answers a share of the traffic; the champion scores the same rows."""
    SHADOW = "shadow"
    """Scores every row, answers none."""


class Verdict(enum.StrEnum):
    """What one monitor says of one day."""

    OK = "ok"
    ALARM = "alarm"
    UNKNOWN = "unknown"
    """The evidence is missing or too thin: pauses automation, never promotes, is never counted as a failure."""


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
    TO_CHAMPION = "to_champion"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who answers for a group of assets, by role: ``team:data``, ``team:machine-learning`` or ``team:operations``."""

    data: str
    machine_learning: str
    operations: str


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a use case's model is trained. Read by ``ml.models``."""

    params: Mapping[str, Any]
    """LightGBM parameters; the deterministic ones are added by ``ml.models`` and cannot be switched off."""
    rounds: int
    early_stopping_rounds: int
    validation_days: int
    """The last days of the window, held out in time order for early stopping and evaluation."""
    window_days: int | None = None
    """Days a training set reaches back from its cut-off day; None means all data so far."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What a candidate must show on its held-out days before it may be released. Read by ``ml.evaluation``."""

    min_auc: float
    max_log_loss_ratio: float
    """Log-loss divided by that of the constant training rate: below 1 means better than knowing nothing."""
    max_calibration_error: float
    champion_margin: float
    """How much worse in log-loss than the champion on the same rows, at the upper end of the day-block interval."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """How a candidate travels from shadow to champion. Read by ``ml.releases``."""

    shadow_days: int
    """Full days of outcomes needed in shadow before the canary verdict."""
    canary_basis_points: int
    """Share of the traffic that the canary answers, in 1/10,000."""
    canary_days: int
    """Full days of outcomes needed in canary before it may become champion."""
    margin: float
    """Brier score units: a candidate worse than the champion by more than this is refused."""
    alpha: float
    """Chance of refusing an equal canary that the e-process allows itself."""
    max_days: int
    """Days in one arm without a conclusion after which the candidate is refused as inconclusive."""


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """When the monitors speak and how often automation may act. Read by ``ml.monitoring`` and ``ml.policy``."""

    alarms_needed: int
    """K of K-of-N: days in alarm ..."""
    alarm_window_days: int
    """... among the last N judged days."""
    rollback_margin: float
    """Brier score units by which the champion must be worse than its predecessor on the same rows."""
    rollback_min_rows: int
    retrain_cooldown_days: int
    retrain_every_days: int
    """The calendar retrains a challenger this often whatever drift says."""
    daily_ceiling: int
    """Automatic actions allowed per day, all kinds together."""
    drift_engine: str = "alibi-detect"
    """``alibi-detect`` or ``scipy``: the same statistics under two licences."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """The facts of a family of datasets and features that use cases share: its calendar and its owner."""

    name: str
    timezone: str
    first_day: str
    """First day of the calendar."""
    last_day: str | None
    """Last day of the calendar; None means open-ended, for live use."""
    live_from: str
    """First day with live traffic: everything before is history, landed at once."""
    owner: Owner


@dataclass(frozen=True, kw_only=True)
class UseCase:
    """The facts of one prediction problem: data, no behaviour. One file of ``use_cases`` makes one of these."""

    name: str
    domain: Domain
    """Whose datasets and features it stands on."""
    question: str
    label: str
    feature_service: str
    entity_id: str
    """Column that identifies one decision, e.g. ``flight_id``."""
    decision_lead_minutes: int
    slices: tuple[str, ...]
    """Columns by whose values a candidate is evaluated apart."""
    fallback_score: float
    """Answered when there is no champion to answer."""
    owner: Owner
    training: Training
    gates: Gates
    release: Release
    monitoring: Monitoring
    intended_use: str
    limits: tuple[str, ...]

    @property
    def timezone(self) -> str:
        """The calendar's time zone."""
        return self.domain.timezone


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """One pinned state of a table."""

    table: str
    version: int
    first_day: str | None = None
    last_day: str | None = None
    rows: int | None = None
    digest: str | None = None
    """SHA-256 of the rows, independent of file layout; None where nobody computed it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Where a model came from: written before registration, part of the registered version, never changed."""

    use_case: str
    cutoff_day: str
    window_first_day: str
    validation_first_day: str
    code_commit: str
    code_dirty: bool
    lock_digest: str
    feature_service: str
    feature_service_digest: str
    training_set_digest: str
    training_rows: int
    tables: tuple[TableVersion, ...]
    params: Mapping[str, Any]
    model_digest: str
    """Digest of the bundle: the one string that evaluation, registry, card, server and traffic all carry."""
    dagster_run_id: str
    mlflow_run_id: str
    created_at: str
    trained_because: str
    fault_injected: str | None = None
    """What a drill did to this model on purpose; None for every honest model."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One registered version as the registry tells it."""

    name: str
    version: int
    digest: str
    cutoff_day: str
    mlflow_run_id: str
    created_at: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate's answer about one candidate."""

    name: str
    passed: bool
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a candidate showed on days it was not trained on."""

    model_digest: str
    first_day: str
    last_day: str
    rows: int
    metrics: Mapping[str, float]
    """auc, log_loss, brier, calibration_error, late_rate, constant_log_loss."""
    champion_version: int | None
    champion_metrics: Mapping[str, float]
    slices: Mapping[str, Mapping[str, float]]
    """``carrier=UA`` -> rows, auc, log_loss, late_rate."""
    gates: tuple[Gate, ...]

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


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One line of the promotion history: a version entered or left an arm. Append-only."""

    event_id: str
    """Unique and derived from the cause, so that repeating the cause does not repeat the line."""
    at: str
    """Wall-clock instant."""
    day: str
    """Day on the use case's calendar."""
    model: str
    version: int
    digest: str
    from_arm: str | None
    to_arm: str | None
    """None: out of traffic (refused, rolled back, retired)."""
    kind: str
    """registered, shadow, canary, promoted, refused, retired, rolled_back, restored or override."""
    by: str
    """``sensor:<name>``, ``asset:<key>`` or ``operator:<person>``."""
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    dagster_run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ArmStatus:
    """One arm as the server reports it."""

    arm: str
    version: int
    digest: str
    basis_points: int
    loaded_at: str


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """``GET /metadata`` of the model server, for one model."""

    model: str
    ready: bool
    arms: tuple[ArmStatus, ...]
    problems: tuple[str, ...] = ()

    def arm(self, name: str) -> ArmStatus | None:
        """The arm of that name, or None."""
        return next((a for a in self.arms if a.arm == name), None)


def to_json(value: Any) -> str:
    """The JSON text of a contract (or of plain data), keys sorted, so that equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a contract back from its JSON text.

    Raises msgspec.ValidationError, naming the field, when the text does not fit ``kind``.
    """
    return msgspec.json.decode(text, type=kind)


def to_plain(value: Any) -> Any:
    """A contract as plain dicts, lists and scalars."""
    return msgspec.to_builtins(value)
