"""A request and its answer without their transport.

Here: ``Asked``, ``Reply``, and what every application behind a transport can do. Belongs here: what a transport and an
application say to each other. Does not: a transport (``serving.http``), an application (``serving.app``).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    query: bytes = b""
    headers: Headers = ()
    body: bytes = b""
    peer: str = "unknown"
    """Who sent it: address and port."""
    arrived: float = 0.0
    """``time.perf_counter()`` when it was complete."""
    model: str = ""
    """Named in the path."""
    version: str = ""
    seed: str = ""
    """What rows without a request id get theirs from, so that a request that comes again finds its first answer. Given
    by this server's own front, never by a caller; none without a front."""
    again: bool = False
    """It was sent to a worker before, which may have answered it without anybody hearing."""

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name, in lower case."""
        return next((value for told, value in self.headers if told == name), None)


class Reply(NamedTuple):
    """An answer."""

    status: int
    kind: bytes
    """Content type."""
    body: bytes
    headers: Headers = ()


class Application(Protocol):
    """What answers. Called from the event loop's thread only, and never waits."""

    def refusal(self, asked: Asked) -> Reply | None:
        """Why a request is refused before its body is read; None when it is not."""
        ...

    def answer(self, asked: Asked, give: Callable[[Reply], None]) -> None:
        """Call ``give`` once with the answer, at once or later, from the loop's thread."""
        ...

    def broken(self, asked: Asked, status: int, field: str, message: str) -> Reply:
        """The answer to a request that the transport could not read."""
        ...
