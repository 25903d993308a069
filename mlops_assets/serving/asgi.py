"""An application behind somebody else's HTTP server, by ASGI.

Here: ``Asgi``. Belongs here: what ``serving.connection`` does where the connections are ours: limits of bodies, time.
Does not: answering (``serving.app``). Ray Serve has a server of its own; everywhere else ours is faster.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlops_assets.serving.connection import Limits
from mlops_assets.serving.messages import Application, Asked, Reply

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Asgi:
    """An ASGI application."""

    def __init__(self, application: Application, limits: Limits | None = None) -> None:
        """Answer by ``application``; of ``limits``, those of bodies hold."""
        self._application = application
        self._limits = limits or Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        peer = f"{client[0]}:{client[1]}" if client else "unknown"
        asked = Asked(scope["method"], scope["path"], scope.get("query_string", b""), scope["headers"], b"", peer)
        reply = self._application.refusal(asked) or await self._read(asked, receive)
        if isinstance(reply, Asked):
            reply = await self._answer(reply)
        if reply is None:
            return
        length = (b"content-length", str(len(reply.body)).encode())
        headers = [(b"content-type", reply.kind), length, *HEADERS, *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if asked.method == "HEAD" else reply.body})

    async def _answer(self, asked: Asked) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._application.answer(asked, lambda reply: None if future.done() else future.set_result(reply))
        return await future

    async def _read(self, asked: Asked, receive: Receive) -> Asked | Reply | None:
        """The request with its body, why it is refused, or None when the caller hung up."""
        limits, parts, size, more = self._limits, [], 0, True
        try:
            async with asyncio.timeout(limits.body_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > limits.max_body_bytes:
                        wanted = f"the body is larger than {limits.max_body_bytes} bytes: send fewer rows at once"
                        return self._application.broken(asked, 413, "body", wanted)
                    more = message.get("more_body", False)
        except TimeoutError:
            wanted = f"the body did not come whole within {limits.body_timeout_s:g} s: send it at once"
            return self._application.broken(asked, 408, "body", wanted)
        return asked._replace(body=b"".join(parts), arrived=time.perf_counter())


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
