"""An incident: what it is about, what its days said, what moved because of it, how it ended.

Here: the records of an incident and of its timeline. Belongs here: what is kept of an incident. Does not: when one
opens and closes (``ml.incidents``), how it is told (``ml.incident_reports``).
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_assets.contracts.evidence import Action, Judgement
from mlops_assets.contracts.versions import Transition


class Phase(enum.StrEnum):
    """What a moment of a timeline is."""

    DETECTED = "detected"
    """A monitor alarmed for the first time."""
    DECIDED = "decided"
    REVISED = "revised"
    """Outcomes came late or were corrected, and a day's verdict changed."""
    ACTED = "acted"
    """A version moved."""
    ANSWERED = "answered"
    """The server itself reported the version that was put in."""
    VERIFIED = "verified"
    """A whole day was answered by that version alone."""
    RECOVERED = "recovered"
    """The first judged day on which the monitors of the cause were quiet again."""
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One line of a timeline."""

    phase: Phase
    day: str
    """On the use case's calendar."""
    text: str
    at: str = ""
    """Wall-clock instant, where it is known."""


@dataclass(frozen=True, kw_only=True)
class IncidentDay:
    """What one day said of an incident; a day that is made again replaces what it said before."""

    day: str
    action: Action
    reason: str
    alarms: tuple[str, ...] = ()
    """Monitors in alarm."""
    quiet: tuple[str, ...] = ()
    """Monitors with a verdict, and a quiet one."""
    champion_version: int | None = None
    answered: Mapping[str, int] = field(default_factory=dict)
    """Digest -> answers of the champion's arm that day."""
    revised: Mapping[str, str] = field(default_factory=dict)
    """Monitor -> its verdict on the day before outcomes came late."""


@dataclass(frozen=True, kw_only=True)
class InvolvedVersion:
    """Where a version that an incident is about came from."""

    version: int
    digest: str
    cutoff_day: str
    training_set_digest: str = ""
    code_commit: str = ""
    trained_because: str = ""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One cause of trouble, from the first decision that acted on it to its end."""

    id: str
    """Day and action of that decision: ``2013-04-25-retrain``."""
    use_case: str
    action: Action
    opened_day: str
    opened_at: str
    detected_day: str
    """First day of the alarms that led to it; the opening day where no monitor spoke (the calendar)."""
    reason: str
    monitors: tuple[str, ...]
    """Whose alarms it is about; none where no monitor spoke."""
    champion_version: int | None
    champion_digest: str | None
    target_version: int | None = None
    """Where a rollback goes to."""
    evidence: tuple[Judgement, ...] = ()
    """Every verdict of the opening day, with its numbers."""
    days: tuple[IncidentDay, ...] = ()
    """From the opening day on, in order."""
    moves: tuple[Transition, ...] = ()
    """What moved in the promotion history since it opened, without the evidence of the moves."""
    versions: tuple[InvolvedVersion, ...] = ()
    answers: tuple[Moment, ...] = ()
    """When the server was seen answering with another version."""
    told: tuple[str, ...] = ()
    """Keys of its alerts."""
    runs: tuple[str, ...] = ()
    """Dagster runs that worked on it."""
    closed_day: str | None = None
    closed_at: str = ""
    closed_because: str = ""

    @property
    def is_open(self) -> bool:
        """True until its cause is over."""
        return self.closed_day is None
