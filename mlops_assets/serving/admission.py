"""Which requests are let in: bursts may wait, a queue that stands is refused.

Here: ``Admission``, and ``Rounds``, which sees the queue before the queue. Belongs here: the judgement. Does not: the
queue of what was let in (``serving.batching``).

Target and interval are CoDel's (Nichols and Jacobson, "Controlling Queue Delay", 2012): not the queue's length, but how
long it has made everybody wait. Requests wait twice: in the system's sockets until the event loop reads them, and in
the batcher's queue. Whichever of the two is the bottleneck, its queue is the one that grows.
"""

import asyncio
import time
from collections.abc import Callable

from mlops_assets.serving.refusal import Refusal

TOO_MUCH = "the server has more to do than it can: try again in a second"
QUEUED_S, UNREAD_S = 0.05, 0.015
"""Longest wait that may stand: in the queue (a batch, and its disk sync, in front), and before being read."""
GRACE_S, RELAPSE_S = 0.1, 1.0
"""How long a queue may be longer than that, and after which time a queue that is back is a new one."""
FEW = 16
"""So many requests are no queue, however large each is: they wait for their own work."""


class _Standing:
    """Whether a queue that is too long has been so for long enough to be refused."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._since: float | None = None
        self._refused_at = float("-inf")

    def over(self) -> None:
        """It is short."""
        self._since = None

    def refused(self) -> bool:
        """It is too long now."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self._grace_s or now - self._refused_at < RELAPSE_S:
            self._refused_at = now
            return True
        return False


class Rounds:
    """Rounds of the event loop: what comes during one waits, unread, for the next."""

    def __init__(self, ended: Callable[[float], None]) -> None:
        """``ended`` is called after every round in which requests were read, with its seconds."""
        self._ended = ended
        self._began: float | None = None

    def lasts_s(self) -> float:
        """How long this one has lasted since its first request. Called for every request, from the loop's thread."""
        now = time.perf_counter()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._end, now)
        return now - self._began

    def _end(self, began: float) -> None:
        self._began = None
        self._ended(time.perf_counter() - began)


class Admission:
    """Refuses a queue that stands."""

    def __init__(
        self, queued_s: float = QUEUED_S, unread_s: float = UNREAD_S, grace_s: float = GRACE_S, few: int = FEW
    ) -> None:
        """Refuse what makes waits longer than this for ``grace_s``, when more than ``few`` requests are here."""
        self._queued_s, self._unread_s, self._few = queued_s, unread_s, few
        self._queue, self._unread = _Standing(grace_s), _Standing(grace_s)
        self._rounds = Rounds(self._round_ended)

    def require(self, in_flight: int, queued_s: float) -> None:
        """Let a request in before it is read: reading what is refused afterwards would cost the others.

        ``in_flight`` requests were let in and are not answered; the queue makes them wait ``queued_s``. Of a round that
        is too long, its first part is let in: so the next one is shorter, and the server is never idle. Raises Refusal.
        """
        lasts_s = self._rounds.lasts_s()
        refused = False
        if in_flight <= self._few or queued_s <= self._queued_s:
            self._queue.over()
        else:
            refused = self._queue.refused()
        if in_flight > self._few and lasts_s > self._unread_s:
            refused = self._unread.refused() or refused
        if refused:
            raise Refusal(429, None, TOO_MUCH)

    def _round_ended(self, seconds: float) -> None:
        if seconds <= self._unread_s:
            self._unread.over()
