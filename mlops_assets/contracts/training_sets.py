"""What a model was trained on: the frozen training set, what it was asked from, and where its file is.

Here: the manifest of a training set and its parts. Belongs here: what is needed to fetch the rows again, or to build
them again. Does not: the rows (a file), what was trained on them (``contracts.versions``).
"""

from dataclasses import dataclass

from mlops_assets.contracts.facts import Segment
from mlops_assets.contracts.versions import TableVersion


@dataclass(frozen=True, kw_only=True)
class FilePointer:
    """Where one file lies in a DVC remote: what a ``.dvc`` file says."""

    path: str
    """Relative path in the DVC repository that pushed it."""
    md5: str
    """DVC's own address of the content. Truth is told by the SHA-256 beside it."""
    size: int
    """Bytes."""
    remote: str
    """Address of the remote that it was pushed to, without credentials."""


@dataclass(frozen=True, kw_only=True)
class EntityQuery:
    """Which decisions are rows, and what their label is: enough to ask the tables again."""

    text: str
    """The same in words."""
    decisions_table: str
    """One row per scheduled flight."""
    outcomes_table: str
    """One row per landing."""
    label: str
    """The column that says whether the arrival was late: 1 or 0."""
    lead_minutes: int
    """A decision is taken this long before the scheduled departure."""
    late_minutes: int
    """An arrival this long after schedule, or longer, is late."""
    first_day: str
    """First scheduled day."""
    cutoff_day: str
    """Last scheduled day, and the last day of an outcome that counts."""
    window_days: int | None
    """Length of the window that ends with the cut-off day; None: all data so far."""
    segment: Segment | None = None
    """The decisions that are rows; None: all of them."""


@dataclass(frozen=True, kw_only=True)
class TrainingSetManifest:
    """One frozen training set: written beside its rows, registered with every version trained on it, never changed."""

    use_case: str
    cutoff_day: str
    tables: tuple[TableVersion, ...]
    """Every table that was read, at which version, for which days."""
    feature_service: str
    feature_service_digest: str
    query: EntityQuery
    code_commit: str
    code_dirty: bool
    lock_digest: str
    rows: int
    digest: str
    """SHA-256 of the file."""
    content_digest: str
    """SHA-256 of the rows, whatever wrote the file."""
    file: FilePointer
    dagster_run_id: str
    created_at: str
