"""The application behind another server: the same statuses, limits of bodies and time."""

import asyncio

import httpx
import pytest

from mlops_assets.serving.asgi import Asgi
from mlops_assets.serving.connection import Limits
from mlops_assets_tests.serving.web import Web, request


@pytest.fixture
def asgi(web):
    def ask(method: str, path: str, **more: object) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(Asgi(web.app, Limits(max_body_bytes=5000, body_timeout_s=0.1)))
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())

    return ask


def test_what_is_asked_is_answered_as_by_our_own_server(asgi, web: Web, served, flight):
    body = request(flight(1, request_id="one"))
    assert asgi("POST", "/predict", json=body).json() == web("POST", "/predict", body).json()
    assert asgi("HEAD", "/live").text == ""
    assert asgi("GET", "/nowhere").status_code == 404
    assert asgi("GET", "/predict").headers["allow"] == "POST"


def test_a_body_has_its_limits(asgi, served):
    assert asgi("POST", "/predict", content=b"x" * 5001).status_code == 413

    async def slow():
        yield b"{"
        await asyncio.sleep(2)
        yield b"}"

    assert asgi("POST", "/predict", content=slow()).status_code == 408
