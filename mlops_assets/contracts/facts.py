"""The facts of a domain and of a use case, as types.

Here: what one file of ``use_cases`` fills in. Belongs here: a fact that a domain expert or an owner would change.
Does not: values (``use_cases``), anything learnt from data (``contracts.evidence``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
    """Parameters of the family; LightGBM's deterministic ones are added by ``ml.boosted_trees``, always."""
    rounds: int
    early_stopping_rounds: int
    validation_days: int
    """The last days of the window, held out in time order for early stopping and evaluation."""
    window_days: int | None = None
    """Days a training set reaches back from its cut-off day; None means all data so far."""
    family: str = "lightgbm"
    """A name in ``ml.families``: ``lightgbm`` or ``logistic``."""
    calibration: str = "identity"
    """A method of ``ml.calibration``: ``identity``, ``platt``, ``beta`` or ``isotonic``."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A division of the rows by one column that is known at decision time. Read by ``ml.slices``.

    Without ``width`` and ``at_least`` every value is a slice of its own. A missing value belongs to no slice.
    """

    name: str
    column: str
    width: float | None = None
    """Numbers are taken together in steps of this width: 60 makes hours of minutes."""
    at_least: float | None = None
    """Two slices: ``yes`` for values from here on, ``no`` for smaller ones."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What a candidate must show on its held-out days before it may be released. Read by ``ml.evaluation``."""

    min_auc: float
    max_log_loss_ratio: float
    """Log-loss divided by that of the constant training rate: below 1 means better than knowing nothing."""
    max_calibration_error: float
    champion_margin: float
    """How much worse in log-loss than the champion on the same rows, at the upper end of the day-block interval."""
    slice_margin: float = 0.01
    """How much worse in log-loss on one slice, at the lower end of the day-block interval: surely worse than this."""
    slice_min_rows: int = 200
    """Rows below which a slice is shown and not judged."""
    max_latency_ms: float = 100.0
    """Median time of one row in the server as it ships, over loopback, its record on disk."""
    max_bundle_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class CanaryStep:
    """One share of the traffic on a canary's way. Read by ``ml.releases``."""

    basis_points: int
    """What the canary answers, in 1/10,000."""
    days: int = 1
    """Full days of outcomes needed at this share before the next one."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """How a candidate travels from shadow to champion. Read by ``ml.releases``."""

    shadow_days: int
    """Full days of outcomes needed in shadow before the canary verdict."""
    canary_steps: tuple[CanaryStep, ...]
    """The shares of the traffic that a canary answers one after the other, growing; champion comes after the last."""
    margin: float
    """Brier score units: a candidate worse than the champion by more than this is refused."""
    alpha: float
    """Chance of refusing an equal canary that the e-process allows itself."""
    max_days: int
    """Days in one arm without a conclusion after which the candidate is refused as inconclusive."""
    max_error_share: float = 0.01
    """Share of the answered rows that a canary may fail to score beyond what the champion fails in the same minutes."""
    max_latency_ratio: float = 2.0
    """A canary that takes this many times as long as the champion for the same rows is refused ..."""
    max_latency_excess_ms: float = 10.0
    """... when it also takes this much longer: twice nothing hurts nobody."""
    sign_off: tuple[str, ...] = ()
    """Who must sign before a version becomes champion: a person's id, or a role as an owner is named
    (``team:operations``), for which any person may sign. Every entry needs a signature. A rollback never waits."""

    @property
    def canary_days(self) -> int:
        """Full days that a canary takes at least."""
        return sum(step.days for step in self.canary_steps)

    @property
    def first_share(self) -> int:
        """What a canary answers when it starts, in 1/10,000."""
        return self.canary_steps[0].basis_points


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """What callers may expect of the server. Read by ``ml.server_health``."""

    max_p95_ms: float = 500.0
    """Of a day's answers, from the request's arrival to the hand-over to the log."""
    max_fallback_share: float = 0.02
    """Of a day's answers: that many may come without a model."""
    latency_ratio: float = 3.0
    """A day is slower than usual when its median or p95 is that many times the largest of the days before."""
    least_latency_ms: float = 50.0
    """What is faster than this is never too slow, whatever was usual."""
    usual_days: int = 7
    """Days before the champion's promotion that show what is usual."""


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
    """The calendar trains a challenger this often at least, whatever drift says ..."""
    retrain_growth: float = 0.2
    """... and sooner on this share more history than the champion knows: a young model gains by weeks."""
    daily_ceiling: int
    """Automatic actions allowed per day, all kinds together."""
    drift_alarms_needed: int | None = None
    """K for ``data_drift``, which looks at a week of traffic, so that one storm stays in its sight for days; None: as
    for the others ..."""
    drift_window_days: int | None = None
    """... and N."""
    drift_engine: str = "alibi-detect"
    """``alibi-detect`` or ``scipy``: the same statistics under two licences."""
    server: ServerLimits = ServerLimits()


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The values of a column of decisions by which a use case may be divided into segments."""

    column: str
    """Known at decision time, and a column of decisions, outcomes and answers alike (``origin``)."""
    values: tuple[str, ...]
    """Facts, never read from data. Each wants 150 decisions a day or more: monitors and releases count only days
    with 100 outcomes."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The decisions with one value in one column. Read by ``ml.segments``."""

    column: str
    value: str


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
    levels: tuple[Levels, ...] = ()
    """By which columns its use cases may have a model per segment."""


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
    slices: tuple[Slice, ...]
    """Divisions of the rows by which a candidate is evaluated apart."""
    fallback_score: float
    """Answered when there is no champion to answer."""
    owner: Owner
    training: Training
    gates: Gates
    release: Release
    monitoring: Monitoring
    intended_use: str
    limits: tuple[str, ...]
    segment: Segment | None = None
    """The decisions that are its own; None: all of them. Made by ``use_cases.segments``."""

    @property
    def timezone(self) -> str:
        """The calendar's time zone."""
        return self.domain.timezone
