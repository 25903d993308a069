"""Bringing alerts to people: to every address that Apprise knows (webhooks, mail, chat, pagers).

Here: ``Notifier``. Belongs here: delivery, each alert to each address at least once, in their order. Does not: what is
told (``adapters.alerts``), when (``automation.alerts``).

The record of alerts is the outbox. How far each address has come is kept beside it: an address that is down holds up
no other, and gets what it missed when it is back. A process that dies between a delivery and its note delivers again.
"""

import fcntl
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.adapters.alerts import Alert, Alerts, Severity

AT_ONCE = 20
"""Alerts brought to one address at once: the rest waits for the next time."""


@dataclass(frozen=True)
class Delivery:
    """What one attempt brought."""

    delivered: int
    waiting: int
    """Alerts that an address has still to get."""
    silent: tuple[str, ...] = ()
    """Kinds of the addresses that did not take one."""


class Notifier:
    """Delivers what the record holds and an address has not got."""

    def __init__(
        self,
        alerts: Alerts,
        place: Path,
        addresses: Sequence[str],
        send: Callable[[str, Alert], bool] | None = None,
    ) -> None:
        """``place`` keeps how far each of the ``addresses`` (Apprise URLs) has come."""
        self._alerts, self._place, self._addresses = alerts, place, addresses
        self._send = send or send_by_apprise

    def deliver(self) -> Delivery:
        """Try every address once; what one does not take stays for the next time."""
        if not self._addresses:
            return Delivery(0, 0)
        with self._positions() as positions:
            # A new address gets what the others wait for, and nothing of before.
            first = min(positions.values(), default=0)
            told, delivered, silent = self._alerts.sent(), 0, []
            for address in self._addresses:
                name = _name(address)
                position = positions.setdefault(name, first)
                for alert in told[position : position + AT_ONCE]:
                    if not self._send(address, alert):
                        silent.append(shown(address))
                        break
                    positions[name] += 1
                    delivered += 1
                    self._keep(positions)
            waiting = max(len(told) - positions[_name(address)] for address in self._addresses)
        return Delivery(delivered, waiting, tuple(silent))

    @contextmanager
    def _positions(self) -> Iterator[dict[str, int]]:
        """How far each address has come, by its digest: addresses hold secrets. One process at a time."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        with self._place.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield json.loads(self._place.read_text()) if self._place.exists() else {}

    def _keep(self, positions: dict[str, int]) -> None:
        beside = self._place.with_suffix(".new")
        beside.write_text(json.dumps(positions, sort_keys=True))
        beside.replace(self._place)


def send_by_apprise(address: str, alert: Alert) -> bool:
    """Bring one alert to one address; False when it was not taken."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.ERROR)
    kinds = {
        Severity.INFO: apprise.NotifyType.INFO,
        Severity.WARNING: apprise.NotifyType.WARNING,
        Severity.CRITICAL: apprise.NotifyType.FAILURE,
    }
    kind = apprise.NotifyType.SUCCESS if alert.resolves else kinds[alert.severity]
    client = apprise.Apprise()
    if not client.add(address):
        return False
    title, body = message(alert)
    return bool(client.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))


def message(alert: Alert) -> tuple[str, str]:
    """Title and text of an alert as people read them."""
    links = [f"{label}: {url}" for label, url in alert.links.items()]
    return alert.title, "\n".join([alert.text or alert.title, *links, f"key: {alert.key}", f"at: {alert.at}"])


def shown(address: str) -> str:
    """The kind of an address: whatever follows may be secret."""
    return address.partition("://")[0]


def _name(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:16]
