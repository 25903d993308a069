"""Listening as the configuration says, until this process is asked to end.

Here: ``serve_http``, and what a child process says to its supervisor while it runs. Belongs here: what the worker and
the front do alike. Does not: HTTP (``serving.http``), what is answered (``serving.app``).
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable

from mlops_assets.serving.configuration import ServerConfig
from mlops_assets.serving.connection import Limits
from mlops_assets.serving.http import HttpServer
from mlops_assets.serving.messages import Application

DRAIN_S = 5
ALIVE_S = 0.25


async def serve_http(
    app: Application,
    config: ServerConfig,
    listening: socket.socket,
    stop: asyncio.Event,
    alive: int | None = None,
    well: Callable[[], bool] = lambda: True,
) -> None:
    """Answer on a listening socket until ``stop`` is set, then finish what was asked. ``alive``: see ``tell_alive``."""
    limits = Limits(config.max_body_bytes, config.max_connections, config.body_timeout_s)
    server = HttpServer(app, limits)
    await server.start(listening, _tls(config))
    tell_alive(alive, well)
    await stop.wait()
    await server.stop(DRAIN_S)


def end_of_process() -> asyncio.Event:
    """Set at SIGTERM or SIGINT. For the event loop that runs."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def tell_alive(descriptor: int | None, well: Callable[[], bool]) -> None:
    """Write a byte to the supervisor's pipe now and again, as long as the event loop turns and the rest is ``well``."""
    if descriptor is None:
        return
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()

    def tell() -> None:
        if well():
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(descriptor, b".")
        loop.call_later(ALIVE_S, tell)

    tell()


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config.tls_certificate, config.tls_key)
    return context
