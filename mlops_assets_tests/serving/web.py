"""The application without a socket, for the tests of its interfaces.

Belongs here: speaking HTTP to it. Does not: assertions.
"""

import asyncio
import json

import httpx

from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.endpoints import Endpoints


class Web:
    """Speaks HTTP to the application inside this process."""

    def __init__(self, rig) -> None:
        self.nudges = 0
        self.batcher = Batcher(rig.plane.predict)
        versions = {"mlops_assets": "1.2", "mlflow": "3.4"}
        endpoints = Endpoints(rig.plane, self.batcher, self._nudged, versions)
        self.app = App(endpoints, rig.plane.metrics, max_body_bytes=20_000)

    def _nudged(self) -> None:
        self.nudges += 1

    def __call__(self, method: str, path: str, body: object = None, **more: object) -> httpx.Response:
        if body is not None:
            more["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.together((method, path, more))[0]

    def together(self, *requests) -> list[httpx.Response]:
        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await asyncio.gather(*(client.request(m, p, **more) for m, p, more in requests))

        return asyncio.run(send())


def request(*rows: dict) -> dict:
    return {"model": "arrival_delay", "rows": list(rows)}
