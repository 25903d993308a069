"""The HTTP face: connections, bodies, statuses and headers, as a bare ASGI application.

Here: ``App``. Belongs here: HTTP. Does not: what answers on a path (``serving.endpoints``), what a request means
(``serving.data_plane``). No framework: on this path one costs more than the model does.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlops_assets.serving.endpoints import JSON, Asked, Endpoint, Endpoints, Reply
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.refusal import Refusal

LOG = logging.getLogger(__name__)
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

    def __init__(self, endpoints: Endpoints, metrics: Metrics, max_body_bytes: int = 1 << 20) -> None:
        """Answer by ``endpoints``, count in ``metrics``."""
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
            self._metrics.observe(time.perf_counter() - began)
        headers = [
            (b"content-type", reply.kind),
            (b"content-length", str(len(reply.body)).encode()),
            *FIXED_HEADERS,
            *reply.headers,
        ]
        if reply.status == 405 and endpoint is not None:
            headers.append((b"allow", endpoint.method.encode()))
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
            method = endpoint.method
            if scope["method"] not in ((method, "HEAD") if method == "GET" else (method,)):
                raise Refusal(405, "method", f"{scope['path']} takes {method}, not {scope['method']}")
            body = await self._body(scope, receive)
            return await endpoint.handle(Asked(body, scope.get("query_string", b""), scope["headers"], model, version))
        except Refusal as refusal:
            return _refused(endpoint, refusal)
        except ClientGone:
            raise
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            return _refused(endpoint, Refusal(500, None, "the server failed; its log says why"))

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


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
