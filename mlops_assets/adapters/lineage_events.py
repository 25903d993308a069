"""What happened to which datasets, for whoever collects lineage outside.

Here: the records of one run, the interface ``LineageEvents`` and its in-memory twin. Belongs here: what is told.
Does not: the OpenLineage format (``adapters.openlineage``), reading it off Dagster (``automation.run_lineage``).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops_assets.ml.column_lineage import SourceColumn

TABLE, FILE, VERSION, OTHER = "table", "file", "version", "other"
"""Where a dataset is kept: a Delta table, the artifacts folder, the model registry, anywhere else."""


class LineageUndelivered(ConnectionError):
    """The collector did not take an event. It will be told again."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a dataset's schema."""

    name: str
    type: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """One check's answer about a dataset."""

    name: str
    passed: bool
    severity: str = "error"
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetState:
    """A dataset at one version."""

    name: str
    """``flights/datasets/weather``."""
    kind: str
    version: str | None = None
    columns: tuple[Column, ...] = ()
    column_lineage: Mapping[str, tuple[SourceColumn, ...]] = field(default_factory=dict)
    """Column -> the columns it is computed from; their datasets belong to the same domain."""
    assertions: tuple[Assertion, ...] = ()
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class LineageRun:
    """A step of a run: what it read and what it made."""

    id: str
    """UUID; derived from what happened, so that telling it again tells the same."""
    job: str
    state: str
    """COMPLETE, FAIL or ABORT."""
    started_at: str
    ended_at: str
    parent: "tuple[str, str] | None" = None
    """Job and id of the run that this is a part of."""
    days: tuple[str, str] | None = None
    """First and last partition."""
    inputs: tuple[DatasetState, ...] = ()
    outputs: tuple[DatasetState, ...] = ()
    error: str | None = None


class LineageEvents(ABC):
    """A collector of lineage."""

    enabled = True
    """False when nobody collects."""

    @abstractmethod
    def tell(self, runs: Sequence[LineageRun]) -> None:
        """Tell what happened, in this order. Raises LineageUndelivered; what was told before is not taken back."""


class NoLineageEvents(LineageEvents):
    """Nobody collects."""

    enabled = False

    def tell(self, runs: Sequence[LineageRun]) -> None:
        """As in LineageEvents."""


class MemoryLineageEvents(LineageEvents):
    """The in-memory twin. ``down`` plays a collector that does not answer."""

    def __init__(self) -> None:
        self.told: list[LineageRun] = []
        self.down = False

    def tell(self, runs: Sequence[LineageRun]) -> None:
        """As in LineageEvents."""
        if self.down:
            raise LineageUndelivered("the collector does not answer")
        self.told.extend(runs)
