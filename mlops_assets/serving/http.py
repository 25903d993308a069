"""An HTTP server for an application.

Here: ``HttpServer``: accepting connections, watching their time, ending them. Belongs here: what concerns all
connections. Does not: one connection (``serving.connection``), what is asked (``serving.app``).
"""

import asyncio
import socket
import ssl
import time

from mlops_assets.serving.connection import Connection, Limits
from mlops_assets.serving.messages import Application


class HttpServer:
    """The connections of one listening socket. All of it belongs to the event loop's thread."""

    def __init__(self, application: Application, limits: Limits | None = None) -> None:
        """Answers by ``application``."""
        self.application = application
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.closing = False
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=listening, ssl=tls)
        self._sweep(loop)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing more, answer what was asked, let go of every connection; after ``grace_s`` by force."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.finish()
        deadline = time.monotonic() + grace_s
        while self.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.finish(now=True)
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all connections: one for each would cost every request."""
        now = time.perf_counter()
        for connection in list(self.connections):
            connection.out_of_time(now)
        shortest = min(self.limits.body_timeout_s, self.limits.idle_timeout_s)
        self._sweeper = loop.call_later(min(1.0, shortest / 4), self._sweep, loop)
