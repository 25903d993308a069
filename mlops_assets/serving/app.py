"""The HTTP face: connections, bodies, statuses and headers, as a bare ASGI application.

Here: ``App``. Belongs here: HTTP. Does not: what answers on a path (``serving.endpoints``), what a request means
(``serving.data_plane``). No framework: on this path one costs more than the model does.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlops_assets.serving.endpoints import JSON, Asked, Endpoint, Endpoints, Reply
from mlops_assets.serving.guard import Guard, Needs
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.refusal import Refusal

LOG = logging.getLogger(__name__)
AUDIT = logging.getLogger("mlops_assets.audit")
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

FIXED_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class ClientGone(Exception):
    """The caller hung up before its request was complete."""


class App:
    """The ASGI application."""

    def __init__(
        self,
        endpoints: Endpoints,
        metrics: Metrics,
        max_body_bytes: int = 1 << 20,
        guard: Guard | None = None,
        body_timeout_s: float = 10.0,
    ) -> None:
        """Answer by ``endpoints``, count in ``metrics``, let in whom ``guard`` does (None: everybody)."""
        self._guard = guard or Guard(local=False)
        self._body_timeout_s = body_timeout_s
        self._endpoints = endpoints
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        endpoint, model, version = self._endpoints.at(scope["path"])
        try:
            reply = await self._reply(endpoint, model, version, scope, receive)
        except ClientGone:
            return
        path = endpoint.path if endpoint else "other"
        self._metrics.count("mlops_requests_total", path=path, status=reply.status)
        if endpoint is not None and endpoint.predicts:
            self._metrics.observe_each("mlops_request_seconds", (("path", path),), [time.perf_counter() - began])
        headers = [
            (b"content-type", reply.kind),
            (b"content-length", str(len(reply.body)).encode()),
            *FIXED_HEADERS,
            *reply.headers,
        ]
        if reply.status == 405 and endpoint is not None:
            headers.append((b"allow", endpoint.method.encode()))
        if reply.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if endpoint is not None and endpoint.needs is Needs.ADMIN:
            AUDIT.info("%s %s from %s: %d", scope["method"], scope["path"], _caller(scope), reply.status)
        if reply.status in (429, 503):
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _reply(
        self, endpoint: Endpoint | None, model: str, version: str, scope: Scope, receive: Receive
    ) -> Reply:
        try:
            if endpoint is None:
                raise Refusal(404, "path", f"nothing is here; there are {', '.join(self._endpoints.paths)}")
            self._guard.require(endpoint.needs, scope["headers"])
            method = endpoint.method
            if scope["method"] not in ((method, "HEAD") if method == "GET" else (method,)):
                raise Refusal(405, "method", f"{scope['path']} takes {method}, not {scope['method']}")
            body = await self._in_time(scope, receive)
            return await endpoint.handle(Asked(body, scope.get("query_string", b""), scope["headers"], model, version))
        except Refusal as refusal:
            return _refused(endpoint, refusal)
        except ClientGone:
            raise
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            return _refused(endpoint, Refusal(500, None, "the server failed; its log says why"))

    async def _in_time(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._body_timeout_s):
                return await self._body(scope, receive)
        except TimeoutError:
            message = f"the body did not come whole within {self._body_timeout_s:g} s: send it at once"
            raise Refusal(408, "body", message) from None

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


def _refused(endpoint: Endpoint | None, refusal: Refusal) -> Reply:
    body = endpoint.refused(refusal) if endpoint else refusal.encoded()
    return Reply(refusal.status, JSON, body)


def _caller(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else "unknown"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
