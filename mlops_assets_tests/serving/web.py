"""The application behind its own HTTP server, for the tests of its interfaces.

Belongs here: speaking HTTP to it. Does not: assertions.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvloop

from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.connection import Limits
from mlops_assets.serving.demand import Demand
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.guard import Guard
from mlops_assets.serving.http import HttpServer
from mlops_assets.serving.messages import Application

LIMITS = Limits(max_body_bytes=20_000)


@contextmanager
def listening(application: Application, limits: Limits = LIMITS) -> Iterator[tuple[str, int]]:
    """An HTTP server in a thread of its own; its address."""
    server, stop, started = HttpServer(application, limits), asyncio.Event(), threading.Event()
    held = socket.create_server(("127.0.0.1", 0))
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.start(held)
        started.set()
        await stop.wait()
        await server.stop(2)

    thread = threading.Thread(target=uvloop.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield held.getsockname()[:2]
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(10)


class Web:
    """Speaks HTTP to an application that answers by a rig's data plane. Serves while it is asked, and no longer."""

    def __init__(
        self,
        rig,
        batcher: Batcher | None = None,
        guard: Guard | None = None,
        limits: Limits = LIMITS,
        demand: Demand | None = None,
    ) -> None:
        self.nudges = 0
        self.batcher = batcher or Batcher(rig.plane.predict)
        self.limits = limits
        versions = {"mlops_assets": "1.2", "mlflow": "3.4"}
        self.app = App(Endpoints(rig.plane, self.batcher, self._nudged, versions, demand), rig.plane.metrics, guard)

    def _nudged(self) -> None:
        self.nudges += 1

    def __call__(self, method: str, path: str, body: object = None, **more: object) -> httpx.Response:
        if body is not None:
            more["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.together((method, path, more))[0]

    def together(self, *requests) -> list[httpx.Response]:
        async def send(address: tuple[str, int]) -> list[httpx.Response]:
            base = f"http://{address[0]}:{address[1]}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=20) as client:
                return await asyncio.gather(*(client.request(m, p, **more) for m, p, more in requests))

        with listening(self.app, self.limits) as address:
            return asyncio.run(send(address))


def request(*rows: dict) -> dict:
    return {"model": "arrival_delay", "rows": list(rows)}
