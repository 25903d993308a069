"""Telling people: one alert per key, however often the cause is seen.

Here: the ``Alerts`` interface, the twin in memory and the one that writes JSON lines to a file.
Belongs here: channels. Does not: deciding that something is worth an alert (``ml.policy``, ``automation``).
"""

import contextlib
import enum
import fcntl
from abc import ABC, abstractmethod
from collections.abc import Mapping
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


class Alerts(ABC):
    """A channel to people that repeats nothing."""

    def alert(
        self, key: str, severity: Severity, title: str, text: str = "", links: Mapping[str, str] | None = None
    ) -> bool:
        """Tell people once: False, and nothing is sent, when ``key`` was told before."""
        return self._send(
            Alert(key=key, at=utc_now(), severity=Severity(severity), title=title, text=text, links=dict(links or {}))
        )

    @abstractmethod
    def _send(self, alert: Alert) -> bool:
        """Send unless the key is known; must be safe when two processes do it at once."""

    @abstractmethod
    def sent(self) -> list[Alert]:
        """Everything told so far, oldest first."""


class MemoryAlerts(Alerts):
    """Alerts in the memory of one process."""

    def __init__(self) -> None:
        self._sent: dict[str, Alert] = {}

    def _send(self, alert: Alert) -> bool:
        return self._sent.setdefault(alert.key, alert) is alert

    def sent(self) -> list[Alert]:
        """As in Alerts."""
        return list(self._sent.values())


class LogAlerts(Alerts):
    """Alerts as JSON lines in a file; the file is also the memory of what was told."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _send(self, alert: Alert) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if any(known.key == alert.key for known in _read(text)):
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
