"""The workers as their front sees them: who gets which request, and what becomes of it when a worker dies.

Here: ``Pool``, and ``Link``, one worker in it. Belongs here: promises about requests on their way. Does not: the bytes
(``serving.frames``), HTTP (``serving.front``), starting workers (``serving.supervisor``).

A request whose worker is gone is sent to another one, or waits until one is there: predictions are idempotent, for
their rows' ids are made here (``Asked.seed``) and an id is answered once. What a dead worker was answering is suspected
of having killed it: suspects are sent one at a time to each worker, and one whose second worker dies is refused, so
that a request that kills takes two workers with it and no innocent one along.

A worker that says nothing for a second is killed: it may be stopped, or hold a lock that the others wait for. Its
silence is counted in turns of this process's own clock, so that a pause of the whole machine is nobody's fault.
"""

import itertools
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable

import msgspec

from mlops_assets.serving.affinity import first_with_room, model_guessed
from mlops_assets.serving.frames import (
    BEAT_S,
    Framed,
    Kind,
    Report,
    decode_beat,
    decode_hello,
    decode_reply,
    decode_report,
    forwarded,
)
from mlops_assets.serving.gathering import Gatherings, Told
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.requests import LONGEST_NUMBER, PATIENCE_HEADER
from mlops_assets.serving.validation import new_request_id

LOG = logging.getLogger(__name__)
DOUBTED_TURNS = 3
"""A worker silent for so many beats gets nothing new while another one speaks."""
HUNG_TURNS = 10
"""A worker silent for so many beats is killed."""
KNOWS_S = 3.0
"""Where no worker knows what to serve, those that are there for so long get the requests, to refuse them."""
_PATIENCE = PATIENCE_HEADER.encode()
Outcome = Reply | Refusal


class Sent:
    """A request on its way."""

    __slots__ = ("asked", "deaths", "due", "give", "model", "patient_until", "seed")

    def __init__(self, asked: Asked, give: Callable[[Outcome], None], limit_s: float) -> None:
        """Answered within ``limit_s`` of its arrival."""
        self.asked = asked
        self.give = give
        self.model = model_guessed(asked)
        self.seed = new_request_id()
        self.deaths = 0
        """Workers that died with it."""
        self.due = asked.arrived + limit_s
        told = asked.header(_PATIENCE)
        readable = told is not None and told.isdigit() and len(told) <= LONGEST_NUMBER
        self.patient_until = asked.arrived + int(told) / 1000 if told and readable else self.due


class Link(Framed):
    """One worker."""

    def __init__(self, pool: "Pool") -> None:
        """Not connected yet."""
        super().__init__()
        self._pool = pool
        self.place = -1
        self.pid = 0
        self.came_at = time.perf_counter()
        self.knows = False
        self.leaving = False
        self.busy_s = 0.0
        self.silent = 0
        """Turns of the clock since it was heard."""
        self.sent: dict[int, Sent] = {}
        """By number: what it was sent and did not answer."""
        self.suspects = 0
        """Of these, the ones that a worker died with."""

    def received(self, kind: int, number: int, payload: memoryview) -> None:
        """See Framed."""
        self.silent = 0
        if kind == Kind.ANSWER:
            if (sent := self.sent.pop(number, None)) is not None:
                self._pool.answered(self, sent, decode_reply(payload))
        elif kind == Kind.BEAT:
            beat = decode_beat(payload)
            self.busy_s = beat.busy_s
            if beat.knows != self.knows:
                self.knows = beat.knows
                self._pool.changed()
        elif kind == Kind.REPORT:
            self._pool.reported(self, number, decode_report(payload))
        elif kind == Kind.HELLO:
            self.place, self.pid = msgspec.structs.astuple(decode_hello(payload))
            self._pool.came(self)
        elif kind == Kind.LEAVING:
            self.leaving = True
            self._pool.changed()
            self.say_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker is gone."""
        self._pool.lost(self)


class Pool:
    """All workers of a server. All of it belongs to the event loop's thread."""

    def __init__(self, metrics: Metrics, limit_s: float = 30.0, stuck_s: float = 120.0, slack: int = 0) -> None:
        """A request is answered or refused within ``limit_s``. No batch takes longer than ``stuck_s``.

        ``slack`` is that of ``first_with_room``.
        """
        self._metrics = metrics
        self._slack = slack
        self._limit_s, self._stuck_s = limit_s, stuck_s
        self.links: dict[int, Link] = {}
        """Place -> its worker."""
        self._open: dict[int, dict[int, Sent]] = {}
        """Place -> what it is answering, of the workers that get requests now."""
        self._held: deque[Sent] = deque()
        """Requests for which no worker is there."""
        self._suspects: deque[Sent] = deque()
        """Requests that a worker died with and that are not sent again yet."""
        self._numbers = itertools.count(1)
        self._gatherings = Gatherings(lambda place, number: self.links[place].send(Kind.TELL, number))
        self._turned_at = 0.0

    def ask(self, asked: Asked, give: Callable[[Outcome], None]) -> None:
        """Have a request answered: ``give`` is called once, later."""
        self._send(Sent(asked, give, self._limit_s))

    def gather(self, done: Callable[[Told], None]) -> None:
        """Ask every worker about itself; ``done`` is called once, with those that told in time."""
        self._gatherings.begin(next(self._numbers), {place: link.pid for place, link in self.links.items()}, done)

    def nudge(self) -> None:
        """Let every worker look at what is desired."""
        for link in self.links.values():
            link.send(Kind.NUDGE)

    def turn(self) -> None:
        """To be called every ``BEAT_S``: notice who is silent and what is late."""
        now = time.perf_counter()
        on_time = now - self._turned_at < 2 * BEAT_S
        self._turned_at = now
        for link in list(self.links.values()):
            link.silent += on_time
            if link.silent >= HUNG_TURNS or link.busy_s > self._stuck_s:
                LOG.error("worker %d (pid %d) hangs: it is killed", link.place, link.pid)
                self._metrics.count("mlops_workers_killed_total")
                _kill(link.pid)
                link.abort()
        self.changed()
        self._refuse_late(now)

    # What links tell.

    def came(self, link: Link) -> None:
        """A worker is there, perhaps in the place of one that is not gone yet."""
        if (old := self.links.get(link.place)) is not None:
            old.abort()
            self.lost(old)
        self.links[link.place] = link
        link.send(Kind.WELCOME)
        LOG.info("worker %d (pid %d) is there", link.place, link.pid)
        self.changed()

    def lost(self, link: Link) -> None:
        """A worker is gone: what it was answering goes to another one."""
        if self.links.get(link.place) is link:
            del self.links[link.place]
            if not link.leaving:
                LOG.warning("worker %d (pid %d) is gone with %d requests", link.place, link.pid, len(link.sent))
                self._metrics.count("mlops_workers_lost_total")
        self._gatherings.lost(link.place, link.pid)
        sent, link.sent = link.sent, {}
        refused = [died for died in sent.values() if died.deaths]
        for died in sent.values():
            died.deaths += 1
            if died.deaths == 1:
                self._suspects.append(died)
                self._metrics.count("mlops_retried_requests_total")
        self.changed()
        for died in refused:
            LOG.error("two workers died while they answered a request to %s: it is not sent again", died.asked.path)
            died.give(Refusal(503, None, "two workers of this server ended while they answered this request"))

    def answered(self, link: Link, sent: Sent, reply: Reply) -> None:
        """A worker answered."""
        sent.give(reply)
        if sent.deaths:
            link.suspects -= 1
            self._send_suspects()

    def changed(self) -> None:
        """Who gets requests may have changed: those who speak and know what to serve, or have not come to know it."""
        there = [link for link in self.links.values() if not link.leaving]
        speaking = [link for link in there if link.silent < DOUBTED_TURNS] or there
        since = time.perf_counter() - KNOWS_S
        able = [link for link in speaking if link.knows] or [link for link in speaking if link.came_at < since]
        self._open = {link.place: link.sent for link in able}
        if self._open:
            held, self._held = self._held, deque()
            for sent in held:
                self._send(sent)
            self._send_suspects()

    def reported(self, link: Link, number: int, report: Report) -> None:
        """A worker told about itself."""
        self._gatherings.told(number, link.place, link.pid, report)

    # Requests.

    def _send(self, sent: Sent) -> None:
        if not self._open:
            self._held.append(sent)
            return
        self._send_to(self.links[first_with_room(sent.model, self._open, self._slack)], sent)

    def _send_suspects(self) -> None:
        """To each worker one at a time: if it dies too, it is known of what."""
        free = deque(place for place in self._open if not self.links[place].suspects)
        while self._suspects and free:
            link = self.links[free.popleft()]
            link.suspects += 1
            self._send_to(link, self._suspects.popleft())

    def _send_to(self, link: Link, sent: Sent) -> None:
        number = next(self._numbers)
        link.sent[number] = sent
        link.send(Kind.ASK, number, forwarded(sent.asked, sent.seed, again=sent.deaths > 0))

    def _refuse_late(self, now: float) -> None:
        for waiting in (self._held, self._suspects):
            for sent in [sent for sent in waiting if now > min(sent.due, sent.patient_until)]:
                waiting.remove(sent)
                if now > sent.due:
                    refusal = Refusal(503, None, "no worker of this server is there to answer: try again later")
                else:
                    message = "the time that the request allows for its answer passed: try again, or allow more"
                    refusal = Refusal(504, PATIENCE_HEADER, message)
                sent.give(refusal)
        for link in self.links.values():
            for number in [number for number, sent in link.sent.items() if now > sent.due]:
                sent = link.sent.pop(number)
                link.suspects -= sent.deaths > 0
                sent.give(
                    Refusal(504, None, f"the answer took longer than {self._limit_s:g} s: send fewer rows at once")
                )


def _kill(pid: int) -> None:
    assert pid > 1, "0 and -1 are groups of processes"
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError as error:
        LOG.warning("pid %d cannot be killed: %s", pid, error)
