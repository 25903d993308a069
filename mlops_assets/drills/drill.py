"""What a drill is, and what is concluded from what was seen: facts and one pure function.

Here: ``Drill``, ``Moment``, ``Wanted``, ``Forbidden`` and ``judge``. Belongs here: promises about a system that is
hit, and their verdict. Does not: breaking it (one module for each incident), reading its records (``drills.records``).
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops_assets.drills.scene import Scene


class Source(enum.StrEnum):
    """Which record of the system says so."""

    MONITORS = "monitor"
    """A materialized verdict, in Dagster's event log."""
    DECISIONS = "decision"
    CHECKS = "asset check"
    ASSETS = "asset"
    RUNS = "run"
    TICKS = "sensor tick"
    HISTORY = "promotion history"
    ALERTS = "alert"
    SERVER = "GET /metadata"
    """What the model server says of itself."""
    ANSWERS = "POST /predict"
    """What a caller of the model server gets."""
    SERVER_LOG = "server log"


class Phase(enum.StrEnum):
    """What is timed."""

    DETECTION = "detection"
    DECISION = "decision"
    RECOVERY = "recovery"
    TOLD = "people told"


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One thing that the system put on record."""

    at: float
    """Seconds since 1970, as the record has it; of SERVER and ANSWERS, when it was seen first."""
    source: Source
    what: str
    facts: Mapping[str, str] = field(default_factory=dict)
    day: str = ""
    """On the use case's calendar, where it is about a day."""
    reference: str = ""
    """Where to find it: a run's id, an event's id."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Something that must be on record. Facts may name what is known only in the drill: ``{good}``."""

    phase: Phase
    promise: str
    source: Source
    facts: Mapping[str, str] = field(default_factory=dict)
    says: str = ""
    """Words that the record has."""


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """Something that must not be on record after the injection."""

    promise: str
    source: Source
    facts: Mapping[str, str] = field(default_factory=dict)
    """One that begins with ``not `` is about every other value."""
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Something that was looked up once, at the end."""

    promise: str
    seen: bool
    where: str


@dataclass(frozen=True, kw_only=True)
class Drill:
    """One incident."""

    name: str
    injects: str
    """What is broken, in one sentence."""
    runbook: str
    play: Callable[["Scene"], None]
    """Breaks it, and has the system live on."""
    wanted: tuple[Wanted, ...]
    forbidden: tuple[Forbidden, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the sandbox, where they are not the original's."""
    days: int = 0
    """Days of the calendar that it lives through at most."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A wanted record and the moment at which it came; None when it never did."""

    wanted: Wanted
    moment: Moment | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a drill showed."""

    injected: Moment
    findings: tuple[Finding, ...]
    breaches: tuple[tuple[Forbidden, Moment], ...]
    observed: tuple[Observed, ...]

    @property
    def passed(self) -> bool:
        """True when everything that must be seen was seen, and nothing that must not."""
        return all(f.moment for f in self.findings) and not self.breaches and all(o.seen for o in self.observed)

    @property
    def missing(self) -> tuple[str, ...]:
        """What was not as promised, in words."""
        unseen = [f"not seen: {finding.wanted.promise}" for finding in self.findings if not finding.moment]
        seen = [f"seen, and must not be: {forbidden.promise}: {moment.what}" for forbidden, moment in self.breaches]
        return (*unseen, *seen, *(f"not seen: {o.promise} ({o.where})" for o in self.observed if not o.seen))

    def first(self, phase: Phase) -> Moment | None:
        """The first moment of a phase."""
        found = [f.moment for f in self.findings if f.wanted.phase is phase and f.moment]
        return min(found, key=lambda moment: moment.at, default=None)

    def seconds(self, phase: Phase) -> float | None:
        """From the injection to a phase: to the last promise of recovery, to the first one of every other."""
        found = [f.moment.at for f in self.findings if f.wanted.phase is phase and f.moment]
        return (max(found) if phase is Phase.RECOVERY else min(found)) - self.injected.at if found else None


def judge(
    drill: Drill,
    injected: Moment,
    moments: Sequence[Moment],
    known: Mapping[str, str],
    observed: Sequence[Observed] = (),
) -> Verdict:
    """What of a drill's promises is on record after the injection. ``moments`` in their order.

    Recovery counts from the first detection on: what was well before the system noticed is no recovery.
    """
    after = [moment for moment in moments if moment.at >= injected.at]
    detections = [_first(w, after, known) for w in drill.wanted if w.phase is Phase.DETECTION]
    noticed = min((moment.at for moment in detections if moment), default=injected.at)
    late = [moment for moment in after if moment.at >= noticed]
    findings = [
        Finding(wanted=wanted, moment=_first(wanted, late if wanted.phase is Phase.RECOVERY else after, known))
        for wanted in drill.wanted
    ]
    breaches = [(rule, moment) for rule in drill.forbidden if (moment := _first(rule, after, known))]
    return Verdict(injected=injected, findings=tuple(findings), breaches=tuple(breaches), observed=tuple(observed))


def _first(wanted: Wanted | Forbidden, moments: Sequence[Moment], known: Mapping[str, str]) -> Moment | None:
    return next((moment for moment in moments if _is(wanted, moment, known)), None)


def _is(wanted: Wanted | Forbidden, moment: Moment, known: Mapping[str, str]) -> bool:
    if moment.source is not wanted.source or wanted.says.format_map(known) not in moment.what:
        return False
    return all(_same(value.format_map(known), moment.facts.get(name)) for name, value in wanted.facts.items())


def _same(wanted: str, told: str | None) -> bool:
    if wanted.startswith("not "):
        return told is not None and told != wanted.removeprefix("not ")
    return told == wanted
