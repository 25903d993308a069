"""One connection of HTTP/1.1: requests out of bytes, answers in their order, bodies and time within limits.

Here: ``Connection``. Belongs here: what is true of HTTP whatever is asked. Does not: accepting connections
(``serving.http``), what is asked (``serving.app``). Bytes are taken apart by httptools (llhttp, Node.js's parser).

Why not a framework, nor uvicorn: a task, a future and four dictionaries for each request cost more than the model
does. Here a request is one call and its answer one write; answers that a batch gives together are written together.
"""

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools

from mlops_assets.serving.messages import Asked, Reply

if TYPE_CHECKING:
    from mlops_assets.serving.http import HttpServer

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers."""
MAX_WAITING = 64
"""Requests that one connection may send ahead of their answers before it is read no further."""
LINGER_S = 1.0
"""How long a refused caller may go on sending a body that nobody reads."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FIXED = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_STATUS_LINES: Mapping[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


@dataclass(frozen=True)
class Limits:
    """What one server puts up with."""

    max_body_bytes: int = 1 << 20
    max_connections: int = 2000
    """Open at once; a caller beyond gets 503."""
    body_timeout_s: float = 10.0
    """From a request's first byte to its last."""
    idle_timeout_s: float = 75.0
    """Between two requests of a connection."""


class Connection(asyncio.Protocol):
    """One connection: requests in their order, answers in the same."""

    def __init__(self, server: "HttpServer") -> None:
        """Not connected yet."""
        self._server = server
        self._application = server.application
        self._limits = server.limits
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)
        self._peer = "unknown"
        self._waiting: deque[tuple[Asked, Reply | None, bool]] = deque()
        """Complete requests that are not answered; the first of them is being answered."""
        self._busy = False
        self._last = False
        """Nothing after the current request is read or answered."""
        self._full = self._paused = self._going = self._lingering = False
        self._since = time.perf_counter()
        """When the request that is being read began, or the last answer was given."""
        self._reading = False
        self._head_bytes = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._asked: Asked | None = None
        """The request whose body is being read."""
        self._refusal: Reply | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller came."""
        self._transport = transport  # type: ignore[assignment]
        if len(self._server.connections) >= self._limits.max_connections or self._server.closing:
            self._transport.write(TOO_MANY)
            self._transport.close()
            return
        self._server.connections.add(self)
        if told := transport.get_extra_info("peername"):
            self._peer = f"{told[0]}:{told[1]}"

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone; what is being answered is answered to nobody."""
        self._server.connections.discard(self)
        self._waiting.clear()
        self._last = True

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._last:
            return
        if self._asked is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last = True
            self._go_on()
        except httptools.HttpParserError:
            self._unreadable(400, "request", "this is not HTTP/1.1")
        else:
            if self._asked is None and self._reading and self._head_bytes > MAX_HEAD_BYTES:
                self._unreadable(431, "headers", f"line and headers are longer than {MAX_HEAD_BYTES} bytes")

    def eof_received(self) -> bool:
        """The caller sends nothing more; it may still wait for answers."""
        self._last = True
        return not self._idle

    def pause_writing(self) -> None:
        """The caller does not read its answers: then nothing more is read from it."""
        self._full = True
        self._pace()

    def resume_writing(self) -> None:
        """It reads again."""
        self._full = False
        self._go_on()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._since = time.perf_counter()
        self._reading = True
        self._url = b""
        self._headers = []
        self._body = []
        self._body_bytes = 0
        self._asked = None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: refuse now what needs no body to be refused."""
        self._head_bytes = 0
        path, _, query = self._url.partition(b"?")
        method = self._parser.get_method().decode("latin-1")
        asked = Asked(method, path.decode("latin-1"), query, self._headers, b"", self._peer)
        self._asked = asked
        expects = bodied = False
        for name, value in self._headers:
            if name == b"content-length":
                bodied = int(value) > 0
                if int(value) > self._limits.max_body_bytes:
                    self._too_large()
            elif name == b"transfer-encoding":
                bodied = True
            elif name == b"expect":
                expects = value.lower() == b"100-continue"
        self._refusal = None if self._last else self._application.refusal(asked)
        if self._refusal is not None and bodied:
            self._refused(self._refusal)
        elif expects and not self._last:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._last:
            return
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.max_body_bytes:
            self._too_large()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._reading = False
        asked, self._asked = self._asked, None
        if self._last or asked is None:
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        # A caller of HTTP/1.0 takes a kept connection for granted only when it is told; it is not.
        stays = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        whole = Asked(asked.method, asked.path, asked.query, asked.headers, body, asked.peer, time.perf_counter())
        self._waiting.append((whole, self._refusal, stays))
        self._go_on()

    # Answers.

    @property
    def _idle(self) -> bool:
        return not self._busy and not self._waiting

    def _refused(self, reply: Reply) -> None:
        """Refuse the request whose body is still to come; what follows cannot be told from it, so nothing does."""
        asked = self._asked
        assert asked is not None
        self._last, self._reading = True, False
        self._waiting.append((asked, reply, False))
        self._go_on()

    def _too_large(self) -> None:
        if not self._last and self._asked is not None:
            most = self._limits.max_body_bytes
            message = f"the body is larger than {most} bytes: send fewer rows at once"
            self._refused(self._application.broken(self._asked, 413, "body", message))

    def _unreadable(self, status: int, field: str, message: str) -> None:
        self._asked = self._asked or Asked("GET", "", peer=self._peer)
        self._refused(self._application.broken(self._asked, status, field, message))

    def _go_on(self) -> None:
        """Answer what waits, one after the other, unless one is being answered or the caller does not read."""
        if self._going:
            return
        self._going = True
        while self._waiting and not self._busy and not self._full and not self._transport.is_closing():
            asked, refused, stays = self._waiting.popleft()
            self._busy = True
            if refused is not None:
                self._give(asked, stays, refused)
            else:
                self._application.answer(asked, functools.partial(self._give, asked, stays))
        self._going = False
        self._pace()
        if self._last and self._idle and not self._lingering:
            self._transport.close()

    def _give(self, asked: Asked, stays: bool, reply: Reply) -> None:
        self._busy = False
        if self._transport.is_closing():
            return
        stays = stays and not self._server.closing
        self._transport.write(_encoded(asked.method, reply, stays))
        self._since = time.perf_counter()
        if not stays:
            self._last = True
            self._waiting.clear()
            self._close()
        elif self._waiting or self._last:
            self._go_on()

    def _close(self) -> None:
        """Close so that the caller can read the answer, though it may still be sending.

        A socket that is closed with unread bytes resets the connection, and the answer with it.
        """
        if self._reading or self._asked is not None:
            with contextlib.suppress(OSError, NotImplementedError, RuntimeError):
                if self._transport.can_write_eof():
                    self._transport.write_eof()
            self._lingering = True
            asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)
        else:
            self._transport.close()

    def _pace(self) -> None:
        """Read on, or not, by what waits."""
        if self._transport.is_closing():
            return
        pause = self._full or len(self._waiting) >= MAX_WAITING
        if pause != self._paused:
            self._paused = pause
            self._transport.pause_reading() if pause else self._transport.resume_reading()

    # Time.

    def out_of_time(self, now: float) -> None:
        """Refuse a request that does not come, leave a connection that says nothing."""
        if self._transport is None or self._busy or self._last:
            return
        if self._reading and now - self._since > self._limits.body_timeout_s:
            wanted = f"the request did not come whole within {self._limits.body_timeout_s:g} s: send it at once"
            self._unreadable(408, "body", wanted)
        elif not self._reading and now - self._since > self._limits.idle_timeout_s:
            self._transport.close()

    def finish(self, *, now: bool = False) -> None:
        """Close when nothing is asked any more, or ``now``."""
        if now:
            self._transport.abort()
        elif self._idle and not self._reading:
            self._transport.close()


def _encoded(method: str, reply: Reply, stays: bool) -> bytes:
    head = b"%bcontent-type: %b\r\ncontent-length: %d\r\n%b" % (
        _STATUS_LINES[reply.status], reply.kind, len(reply.body), FIXED
    )  # fmt: skip
    if reply.headers:
        head += b"".join([b"%b: %b\r\n" % header for header in reply.headers])
    end = b"\r\n" if stays else b"connection: close\r\n\r\n"
    return head + end if method == "HEAD" else head + end + reply.body
