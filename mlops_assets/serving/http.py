"""An HTTP server for an application.

Here: ``HttpServer``: accepting connections, watching their time, ending them. Belongs here: what concerns all
connections. Does not: one connection (``serving.connection``), what is asked (``serving.app``).
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time

from mlops_assets.serving.connection import Connection, Limits
from mlops_assets.serving.messages import Application

LOG = logging.getLogger(__name__)
AT_ONCE = 256
"""Connections accepted before requests have their turn."""
PAUSE_S = 0.1
"""After the system refused a connection, for want of file numbers."""


class HttpServer:
    """The connections of one listening socket. All of it belongs to the event loop's thread."""

    def __init__(self, application: Application, limits: Limits | None = None) -> None:
        """Answers by ``application``."""
        self.application = application
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.closing = False
        self._listening: socket.socket | None = None
        self._welcomes: set[asyncio.Task[object]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        # With a shorter queue, callers who come at once try again after a second.
        listening.listen(self.limits.max_connections)
        listening.setblocking(False)
        self._listening = listening
        loop.add_reader(listening.fileno(), self._accept, loop, listening, tls)
        self._sweep(loop)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing more, answer what was asked, let go of every connection; after ``grace_s`` by force."""
        self.closing = True
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
        for connection in list(self.connections):
            connection.finish()
        deadline = time.monotonic() + grace_s
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.finish(now=True)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _accept(self, loop: asyncio.AbstractEventLoop, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Let in all who wait. The loop's own server accepts one between two rounds of requests: with a thousand busy
        connections, a new one would wait for seconds.
        """
        for _ in range(AT_ONCE):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                LOG.warning("no connection can be accepted: %s", error)
                loop.remove_reader(listening.fileno())
                loop.call_later(PAUSE_S, self._resume, loop, listening, tls)
                return
            task = loop.create_task(self._welcome(loop, accepted, tls))
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    def _resume(self, loop: asyncio.AbstractEventLoop, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        if not self.closing:
            loop.add_reader(listening.fileno(), self._accept, loop, listening, tls)

    async def _welcome(
        self, loop: asyncio.AbstractEventLoop, accepted: socket.socket, tls: ssl.SSLContext | None
    ) -> None:
        # A caller may be gone already, or speak no TLS: nothing to answer, and nobody to tell.
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(lambda: Connection(self), accepted, ssl=tls)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all connections: one for each would cost every request."""
        now = time.perf_counter()
        for connection in list(self.connections):
            connection.out_of_time(now)
        shortest = min(self.limits.body_timeout_s, self.limits.idle_timeout_s)
        self._sweeper = loop.call_later(min(1.0, shortest / 4), self._sweep, loop)
