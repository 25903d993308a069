"""What people are to be told: one alert per key, however often the cause is seen, and one word when it is over.

Here: the ``Alerts`` interface, the twin in memory and the one that writes JSON lines to a file. Belongs here: what was
told. Does not: deciding that something is worth an alert (``ml.policy``, ``automation``), bringing it to people
(``adapters.notifications``).
"""

import contextlib
import enum
import fcntl
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mlops_assets.adapters.registry import utc_now
from mlops_assets.contracts import from_json, to_json


class Severity(enum.StrEnum):
    """How soon a person should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One message."""

    key: str
    """Names the cause, e.g. ``arrival_delay/rollback/2013-05-01``: the same key is told once."""
    at: str
    severity: Severity
    title: str
    text: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    """Label -> URL."""
    resolves: str = ""
    """The key of the alert that is over; empty for an alert."""


RUNBOOKS = "docs/runbooks"


def runbook_at(runbooks: str, name: str) -> str:
    """Where a runbook lies below the folder or address of them all.

    >>> runbook_at("https://wiki.example/books/", "roll_back")
    'https://wiki.example/books/roll_back.md'
    """
    return f"{runbooks.rstrip('/')}/{name}.md"


class Alerts(ABC):
    """The record of everything that people are told; repeats nothing."""

    def __init__(self, runbooks: str = RUNBOOKS) -> None:
        """``runbooks``: the folder or address under which people find them."""
        self._runbooks = runbooks

    def alert(
        self,
        key: str,
        severity: Severity,
        title: str,
        text: str = "",
        links: Mapping[str, str] | None = None,
        runbook: str = "",
    ) -> bool:
        """Tell people once: False, and nothing is told, when ``key`` was told before and is not over.

        ``runbook``: the name of the one that says what to do.
        """
        book = {"runbook": self.runbook(runbook)} if runbook else {}
        told = dict(links or {}) | book
        return self._add(Alert(key=key, at=utc_now(), severity=Severity(severity), title=title, text=text, links=told))

    def runbook(self, name: str) -> str:
        """Where people find the runbook of that name."""
        return f"{self._runbooks.rstrip('/')}/{name}.md"

    def resolve(self, key: str, text: str = "") -> bool:
        """Tell people that it is over: False, and nothing is told, unless ``key`` was told and is not over.

        From then on the same key is told again when its cause comes back.
        """
        known = open_alerts(self.sent()).get(key)
        if known is None:
            return False
        title = f"Over: {known.title}"
        over = Alert(
            key=key, at=utc_now(), severity=Severity.INFO, title=title, text=text, links=known.links, resolves=key
        )
        return self._add(over)

    @abstractmethod
    def _add(self, alert: Alert) -> bool:
        """Add it unless that changes nothing (``adds``); must be safe when two processes do it at once."""

    @abstractmethod
    def sent(self) -> list[Alert]:
        """Everything told so far, oldest first."""


def open_alerts(told: Sequence[Alert]) -> dict[str, Alert]:
    """Key -> alert, of those that are not over, oldest first."""
    known: dict[str, Alert] = {}
    for alert in told:
        if alert.resolves:
            known.pop(alert.resolves, None)
        else:
            known.setdefault(alert.key, alert)
    return known


def adds(told: Sequence[Alert], alert: Alert) -> bool:
    """True when it says something new: an alert that is not open, or the end of one that is."""
    return (alert.key in open_alerts(told)) == bool(alert.resolves)


class MemoryAlerts(Alerts):
    """Alerts in the memory of one process."""

    def __init__(self, runbooks: str = RUNBOOKS) -> None:
        super().__init__(runbooks)
        self._sent: list[Alert] = []

    def _add(self, alert: Alert) -> bool:
        if not adds(self._sent, alert):
            return False
        self._sent.append(alert)
        return True

    def sent(self) -> list[Alert]:
        """As in Alerts."""
        return list(self._sent)


class LogAlerts(Alerts):
    """Alerts as JSON lines in a file; the file is also the memory of what was told."""

    def __init__(self, path: Path, runbooks: str = RUNBOOKS) -> None:
        super().__init__(runbooks)
        self._path = path

    def _add(self, alert: Alert) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if not adds(_read(text), alert):
                return False
            # A writer that was killed may have left half a line: close it, so that this one stays readable.
            file.write(("" if text.endswith("\n") or not text else "\n") + to_json(alert) + "\n")
            return True

    def sent(self) -> list[Alert]:
        """As in Alerts."""
        return _read(self._path.read_text()) if self._path.exists() else []


def _read(text: str) -> list[Alert]:
    """Every whole line; half a line that a killed writer left is passed over."""
    alerts = []
    for line in text.splitlines():
        with contextlib.suppress(msgspec.DecodeError):
            alerts.append(from_json(Alert, line))
    return alerts
