"""A worker behind a front: it owns no port, and answers what comes over the front's connection.

Here: ``serve_front``. Belongs here: the worker's end of that connection. Does not: what is answered (``serving.app``),
the front's end (``serving.pool``).
"""

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.demand import Demand
from mlops_assets.serving.frames import (
    BEAT_S,
    Beat,
    Framed,
    Hello,
    Kind,
    Report,
    connect_in,
    decode_asked,
)
from mlops_assets.serving.listening import end_of_process
from mlops_assets.serving.messages import Reply
from mlops_assets.serving.union import held

LOG = logging.getLogger(__name__)
CONNECT_AGAIN_S = 0.05


class Reporter:
    """What a worker tells about itself."""

    def __init__(self, plane: DataPlane, batcher: Batcher, demand: Demand | None = None) -> None:
        """Of these parts."""
        self._demand = demand
        self._plane = plane
        self._batcher = batcher
        self._seen: Mapping[str, object] = {}
        self._held: dict[str, object] = {}
        self._since: dict[str, float] = {}

    def beat(self) -> Beat:
        """How it is now; to be called at every beat."""
        self._notice()
        return Beat(bool(self._plane.states), self._batcher.busy_s)

    def report(self) -> Report:
        """Everything."""
        self._notice()
        told = self._plane.metadata()
        waiting = self._demand.gauges() if self._demand else {}
        text = self._plane.render_metrics({**self._batcher.gauges(), **waiting})
        return Report(tuple(told["models"]), tuple(told["problems"]), dict(self._since), text, self._plane.started_at)

    def _notice(self) -> None:
        """Remember when what answers for a model changed."""
        states = self._plane.states
        if states is self._seen:
            return
        seen, self._seen = self._seen, states
        for model in [model for model, state in states.items() if state is not seen.get(model)]:
            now_held = held(self._plane.status(model))
            if self._held.get(model) != now_held:
                self._held[model], self._since[model] = now_held, time.monotonic()


class _Front(Framed):
    """The connection with the front."""

    def __init__(self, app: App, reporter: Reporter, nudge: Callable[[], None]) -> None:
        super().__init__()
        self._app = app
        self._reporter = reporter
        self._nudge = nudge
        self._answering = 0
        self._no_more = False
        self.there = False
        """A front has accepted the connection, which waits for the next one when there is none."""
        self.over = asyncio.Event()

    def received(self, kind: int, number: int, payload: memoryview) -> None:
        """See Framed."""
        self.there = True
        if kind == Kind.ASK:
            self._answering += 1
            self._app.answer(decode_asked(payload), functools.partial(self._answered, number))
        elif kind == Kind.TELL:
            self.send(Kind.REPORT, number, self._reporter.report())
        elif kind == Kind.NUDGE:
            self._nudge()

    def _answered(self, number: int, reply: Reply) -> None:
        self._answering -= 1
        self.send(Kind.ANSWER, number, reply)
        self._end_when_done()

    def eof_received(self) -> bool:
        """The front sends nothing more: answer what came, and close."""
        self._no_more = True
        self._end_when_done()
        return True

    def _end_when_done(self) -> None:
        if self._no_more and not self._answering:
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The front is gone."""
        self.over.set()


async def serve_front(
    app: App, reporter: Reporter, nudge: Callable[[], None], folder: Path, place: int, grace_s: float
) -> None:
    """Answer the front of a server's folder, and the next one when it is replaced, until SIGTERM or SIGINT.

    Then nothing more is taken, and what was is answered, for ``grace_s`` at most.
    """
    loop, stop = asyncio.get_running_loop(), end_of_process()
    stopped = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        front = _Front(app, reporter, nudge)
        try:
            await loop.create_unix_connection(lambda front=front: front, sock=connect_in(folder))
        except OSError as error:
            LOG.warning("the front is not there: %s", error)
            await asyncio.sleep(CONNECT_AGAIN_S)
            continue
        beating = asyncio.ensure_future(_beat(front, reporter, place))
        over = asyncio.ensure_future(front.over.wait())
        await asyncio.wait([stopped, over], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and front.there:
            front.send(Kind.LEAVING)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(front.over.wait(), grace_s)
        beating.cancel()
        over.cancel()


async def _beat(front: Framed, reporter: Reporter, place: int) -> None:
    front.send(Kind.HELLO, 0, Hello(place, os.getpid()))
    while True:
        front.send(Kind.BEAT, 0, reporter.beat())
        await asyncio.sleep(BEAT_S)
