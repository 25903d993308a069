"""What a front and its workers say to each other, and how it is put into bytes.

Here: the kinds of frames with what they carry, ``Framed``, and the Unix socket where both meet. Belongs here: the form
of their talk. Does not: what either does about it (``serving.pool``, ``serving.behind``).

A frame is its payload's length, a number, its kind, and the payload in MessagePack. The number says which request an
answer belongs to, so one connection carries any number of them. What is sent in one turn of the event loop leaves in
one write. The socket lies in the server's folder and opens to its owner alone; the supervisor holds it, so that workers
find it whether the front lives or is being replaced.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.contracts import ServerStatus
from mlops_assets.serving.messages import Asked, Reply

SOCKET_FILE = "workers.sock"
BEHIND = "behind-front"
"""The word on a worker's command line for one that meets its front here."""
LONGEST_ADDRESS = 100
"""Bytes of a Unix socket's path; the system's limit is 108 with its end."""
BEAT_S = 0.1
"""A worker says this often that it is there."""
LONGEST_FRAME = 1 << 30
_HEAD = struct.Struct("<IQB")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    """Worker: who I am."""
    WELCOME = 2
    """Front: I have heard it."""
    BEAT = 3
    """Worker: I am there."""
    ASK = 4
    """Front: answer this."""
    ANSWER = 5
    """Worker: the answer to the request of that number."""
    TELL = 6
    """Front: tell everything about yourself."""
    REPORT = 7
    """Worker: everything about me."""
    NUDGE = 8
    """Front: look at what is desired."""
    LEAVING = 9
    """Worker: send nothing more; what I have is answered."""


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Who a worker is."""

    place: int
    """0 and up: a worker that replaces another one has its place."""
    pid: int


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """How a worker is."""

    knows: bool
    """What it should serve: before that it can only refuse."""
    busy_s: float
    """How long it has been at its batch."""


class Report(msgspec.Struct, frozen=True, array_like=True):
    """Everything a worker tells about itself."""

    statuses: tuple[ServerStatus, ...]
    notes: tuple[str, ...]
    """Problems of the worker as a whole; they stand in ``statuses`` too."""
    since: dict[str, float]
    """Model -> when what answers for it changed last, by the system's monotonic clock."""
    metrics: str
    """In Prometheus' text format."""
    started_at: str


encode = msgspec.msgpack.Encoder().encode
decode_asked = msgspec.msgpack.Decoder(Asked).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
decode_hello = msgspec.msgpack.Decoder(Hello).decode
decode_beat = msgspec.msgpack.Decoder(Beat).decode
decode_report = msgspec.msgpack.Decoder(Report).decode


class Framed(asyncio.Protocol):
    """One end of the connection between a front and a worker."""

    def __init__(self) -> None:
        """Not connected yet."""
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other end is there."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Bytes came: hand over every frame that is whole."""
        held = self._rest + data if self._rest else data
        view, at, end = memoryview(held), 0, len(held)
        while end - at >= _HEAD.size:
            length, number, kind = _HEAD.unpack_from(held, at)
            start = at + _HEAD.size
            if length > LONGEST_FRAME:
                self.abort()
                return
            if start + length > end:
                break
            at = start + length
            self.received(kind, number, view[start:at])
        self._rest = held[at:]

    def received(self, kind: int, number: int, payload: memoryview) -> None:
        """A frame came."""
        raise NotImplementedError

    def send(self, kind: Kind, number: int = 0, said: Any = None) -> None:
        """Send a frame, with all others of this turn of the loop. Nothing is sent to an end that is gone."""
        payload = b"" if said is None else encode(said)
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(_HEAD.pack(len(payload), number, kind) + payload)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self._transport.is_closing() and out:
            self._transport.write(b"".join(out))

    def end(self) -> None:
        """Send what is to be sent, and close."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def say_no_more(self) -> None:
        """Send what is to be sent, close this direction, and go on reading."""
        self._flush()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()


def listen_in(folder: Path) -> socket.socket:
    """The listening socket of a server's folder; one of before is replaced. The folder must be this server's own."""
    (folder / SOCKET_FILE).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _Address(folder) as address:
            listening.bind(address)
    finally:
        os.umask(before)
    listening.listen(128)
    return listening


def connect_in(folder: Path) -> socket.socket:
    """A connection with the front of a server's folder. Raises OSError."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _Address(folder) as address:
            connected.connect(address)
    except OSError:
        connected.close()
        raise
    connected.setblocking(False)
    return connected


class _Address:
    """The socket's address, by way of the folder's descriptor where its path is too long for one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> str:
        path = self._folder / SOCKET_FILE
        if len(os.fsencode(path)) <= LONGEST_ADDRESS:
            return str(path)
        self._descriptor = os.open(self._folder, os.O_RDONLY)
        return f"/proc/self/fd/{self._descriptor}/{SOCKET_FILE}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


HEADERS: frozenset[bytes] = frozenset((b"content-type", b"inference-header-content-length", b"x-request-timeout-ms"))
"""Those that a worker reads: tokens and the rest stay with the front."""


def forwarded(asked: Asked, seed: str, *, again: bool) -> Sequence[Any]:
    """A request as a worker gets it."""
    headers = [header for header in asked.headers if header[0] in HEADERS]
    return asked._replace(headers=headers, seed=seed, again=again)
