"""Bringing alerts to people: to every address that Apprise knows (webhooks, mail, chat, pagers).

Here: ``Notifier``. Belongs here: delivery, each alert to each address at least once, in their order. Does not: what is
told (``adapters.alerts``), when (``automation.alerts``).

The record of alerts is the outbox. How far each address has come is kept beside it: an address that is down holds up
no other, and gets what it missed when it is back. A process that dies between a delivery and its note delivers again.
"""

import fcntl
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.adapters.alerts import Alert, Alerts, Severity
from mlops_assets.contracts import from_json, to_json

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""How long an address that did not answer is left alone: doubled each time, up to the second."""
AT_ONCE = 20
"""Alerts brought to one address at once: the rest waits for the next time."""


@dataclass(frozen=True)
class Delivery:
    """What one attempt brought."""

    delivered: int
    waiting: int
    """Alerts that an address has still to get."""
    silent: tuple[str, ...] = ()
    """Kinds of the addresses that are not answering."""


@dataclass(kw_only=True)
class Reached:
    """How far one address has come."""

    position: int
    failures: int = 0
    """In a row."""
    again_at: float = 0.0
    """Seconds since 1970 before which it is not tried."""


class Notifier:
    """Delivers what the record holds and an address has not got."""

    def __init__(
        self,
        alerts: Alerts,
        place: Path,
        addresses: Sequence[str],
        send: Callable[[str, Alert], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``place`` keeps how far each of the ``addresses`` (Apprise URLs) has come."""
        self._alerts, self._place, self._addresses = alerts, place, addresses
        self._send, self._clock = send or send_by_apprise, clock

    def deliver(self) -> Delivery:
        """Bring what waits to every address that answers; the rest stays for the next time.

        An address that does not answer is left alone for a while, longer each time: whoever calls has more to do.
        """
        if not self._addresses:
            return Delivery(0, 0)
        with self._reached() as reached:
            told, delivered, silent = self._alerts.sent(), 0, []
            # A new address gets what the others wait for, and nothing of before.
            first = min((known.position for known in reached.values()), default=0)
            for address in self._addresses:
                mine = reached.setdefault(_name(address), Reached(position=first))
                for alert in told[mine.position : mine.position + AT_ONCE] if self._clock() >= mine.again_at else ():
                    if not self._send(address, alert):
                        mine.failures += 1
                        mine.again_at = self._clock() + min(FIRST_PAUSE_S * 2 ** (mine.failures - 1), LONGEST_PAUSE_S)
                        break
                    mine.position, mine.failures, delivered = mine.position + 1, 0, delivered + 1
                    self._keep(reached)
                if mine.failures:
                    silent.append(shown(address))
            self._keep(reached)
            waiting = max(len(told) - reached[_name(address)].position for address in self._addresses)
        return Delivery(delivered, waiting, tuple(silent))

    @contextmanager
    def _reached(self) -> Iterator[dict[str, Reached]]:
        """By the digest of each address, for addresses hold secrets. One process at a time."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        with self._place.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield from_json(dict[str, Reached], self._place.read_bytes()) if self._place.exists() else {}

    def _keep(self, reached: dict[str, Reached]) -> None:
        beside = self._place.with_suffix(".new")
        beside.write_text(to_json(reached))
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
