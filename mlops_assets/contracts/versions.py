"""What is versioned, and where a version stands: tables, models, arms, moves.

Here: pinned tables, manifests, registered versions, the lines of the promotion history, the server's report.
Belongs here: identity and place. Does not: what is thought of a version (``contracts.evidence``).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.contracts.facts import Training


class Arm(enum.StrEnum):
    """A place in the traffic that a registered version can hold; also the registry alias that says so."""

    CHAMPION = "champion"
    """Answers most of the traffic."""
    CANARY = "canary"
    """Answers a share of the traffic; the champion scores the same rows."""
    SHADOW = "shadow"
    """Scores every row, answers none."""


@dataclass(frozen=True, kw_only=True)
class TableVersion:
    """One pinned state of a table."""

    table: str
    version: int
    first_day: str | None = None
    last_day: str | None = None
    rows: int | None = None
    digest: str | None = None
    """SHA-256 of the rows of a table without days, independent of file layout; None where nobody computed it."""
    day_digests: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each day's rows, for every day that was written (one without rows too); empty without days."""


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
    training: Training | None = None
    """The facts it was trained with, the knobs of its run applied. With ``training_config`` and the frozen training set
    they decide its bytes; None in versions from before they were recorded."""
    training_config: Mapping[str, Any] = field(default_factory=dict)
    """Every knob of the run that trained it."""
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and of the packages that shape a model."""


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
    """registered, signed_off, shadow, canary, widened, promoted, refused, retired, rolled_back, restored, override."""
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
    """Empty while the version is not in memory: it is loaded when somebody asks for the model."""
    computed_by: str = ""
    """The engine: onnx, lightgbm or compiled trees (the same scores to the last bit); empty where none is told."""


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """``GET /metadata`` of the model server, for one model."""

    model: str
    ready: bool
    arms: tuple[ArmStatus, ...]
    problems: tuple[str, ...] = ()
    shadow_rows_waiting: int = 0
    """Answered rows whose shadow's score is not in the traffic log yet."""
    loaded: bool = True
    """False: no version of it is in memory; one that could be is loaded when somebody asks for the model."""
    required: bool = True
    """The server is not ready without it."""

    def arm(self, name: str) -> ArmStatus | None:
        """The arm of that name, or None."""
        return next((a for a in self.arms if a.arm == name), None)
