"""The HTTP face: paths, methods, bodies and statuses over the data plane, as a bare ASGI application.

Here: ``App``. Belongs here: HTTP. Does not: what a request means (``serving.validation``), how it is answered
(``serving.data_plane``). No framework: on this path one costs more than the model does.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.refusal import Refusal

LOG = logging.getLogger(__name__)
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Reply = tuple[int, bytes, bytes]
"""Status, content type, body."""

JSON, TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
FIXED_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_ENCODE = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The caller hung up before its request was complete."""


class App:
    """The ASGI application."""

    def __init__(
        self, plane: DataPlane, batcher: Batcher, nudge: Callable[[], None], max_body_bytes: int = 1 << 20
    ) -> None:
        """``nudge`` makes the server look for changes at once."""
        self._plane = plane
        self._batcher = batcher
        self._nudge = nudge
        self._max_body_bytes = max_body_bytes
        self._in_flight = 0
        self._routes: Mapping[str, tuple[str, Callable[[bytes, bytes], Awaitable[Reply]]]] = {
            "/predict": ("POST", self._predict),
            "/live": ("GET", self._live),
            "/ready": ("GET", self._ready),
            "/metadata": ("GET", self._metadata),
            "/metrics": ("GET", self._metrics),
            "/admin/nudge": ("POST", self._nudged),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        path = scope["path"]
        try:
            status, kind, body = await self._reply(scope, receive)
        except ClientGone:
            return
        self._plane.metrics.count("mlops_requests_total", path=path if path in self._routes else "other", status=status)
        if path == "/predict":
            self._plane.metrics.observe(time.perf_counter() - began)
        headers = self._headers(status, kind, body, path)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        try:
            method, handler = self._route(scope["path"])
            if scope["method"] not in ((method, "HEAD") if method == "GET" else (method,)):
                raise Refusal(405, "method", f"{scope['path']} takes {method}, not {scope['method']}")
            return await handler(await self._body(scope, receive), scope.get("query_string", b""))
        except Refusal as refusal:
            return refusal.status, JSON, _ENCODE(refusal.body())
        except ClientGone:
            raise
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            return 500, JSON, _ENCODE(Refusal(500, None, "the server failed; its log says why").body())

    def _route(self, path: str) -> tuple[str, Callable[[bytes, bytes], Awaitable[Reply]]]:
        if path not in self._routes:
            raise Refusal(404, "path", f"nothing is here; there are {', '.join(self._routes)}")
        return self._routes[path]

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, never more of it in memory than is allowed."""
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told) > self._max_body_bytes:
            raise self._too_large()
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal(413, "body", f"the body is larger than {self._max_body_bytes} bytes: send fewer rows at once")

    def _headers(self, status: int, kind: bytes, body: bytes, path: str) -> list[tuple[bytes, bytes]]:
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *FIXED_HEADERS]
        if status == 405:
            headers.append((b"allow", self._routes[path][0].encode()))
        if status in (429, 503):
            headers.append((b"retry-after", b"1"))
        return headers

    async def _predict(self, body: bytes, query: bytes) -> Reply:
        self._in_flight += 1
        try:
            request = self._plane.check(body, explain=_wants_reasons(query))
            predictions = await self._batcher.answer(request)
            return 200, JSON, _ENCODE({"model": request.state.facts.name, "predictions": predictions})
        finally:
            self._in_flight -= 1

    async def _live(self, body: bytes, query: bytes) -> Reply:
        return 200, JSON, b'{"live":true}'

    async def _ready(self, body: bytes, query: bytes) -> Reply:
        ready, problems = self._plane.ready()
        return 200 if ready else 503, JSON, _ENCODE({"ready": ready, "problems": problems})

    async def _metadata(self, body: bytes, query: bytes) -> Reply:
        return 200, JSON, json.dumps(msgspec.to_builtins(self._plane.metadata()), indent=1).encode()

    async def _metrics(self, body: bytes, query: bytes) -> Reply:
        gauges = {
            ("mlops_in_flight_requests", ()): float(self._in_flight),
            ("mlops_queued_rows", ()): float(self._batcher.queued_rows),
        }
        return 200, TEXT, self._plane.render_metrics(gauges).encode()

    async def _nudged(self, body: bytes, query: bytes) -> Reply:
        self._nudge()
        return 202, JSON, b'{"nudged":true}'


def _wants_reasons(query: bytes) -> bool:
    """Whether the address asks for reasons. Raises Refusal for any other parameter or value."""
    if not query:
        return False
    asked = {b"explain=true": True, b"explain=false": False}.get(query)
    if asked is None:
        raise Refusal(422, "query", "the one parameter of /predict is explain: send ?explain=true or nothing")
    return asked


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
