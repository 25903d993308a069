"""Requests that come when they come, however the server does: what it answers beyond its capacity.

Run as ``python -m benchmarks.serving_overload HOST PORT ROUTE BODIES RATE SECONDS``. Here: an open loop. Does not
belong here: closed loops (``benchmarks.serving_load``), which wait for a slow server and so never overload it.

Arrivals are a Poisson process. Each takes a connection that is free, or a new one; its latency counts from the moment
it was due, so that a server that stalls is charged for all who came meanwhile. Sockets by hand, for the load must not
be what is overloaded: a measurement whose requests leave later than ``LATE_S`` by the load's own fault is refused.
"""

import gc
import json
import random
import select
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

MOST_CONNECTIONS = 1000
AT_ONCE = 32
"""Requests sent before answers are looked for again."""
LAST_S = 20.0
"""How long answers are waited for after the last request."""
LATE_S = 0.05
"""Of the hundredth that left latest. What is below counts against the server."""


class Load:
    """An open loop on one thread."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes]) -> None:
        """Not connected."""
        self._address, self._requests = (host, port), requests
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._free: list[socket.socket] = []
        self._due: dict[int, float] = {}
        """File number -> when the request that it waits for was due."""
        self._came: dict[int, bytes] = {}
        self.sent = self.refused = self.broken = 0
        self.accepted: list[float] = []
        """Seconds from due to answered."""
        self.late: list[float] = []
        """Seconds from due to sent."""

    def run(self, rate: float, seconds: float) -> dict[str, float]:
        """Ask ``rate`` times a second for ``seconds``."""
        chance = random.Random(1)
        began = due = time.perf_counter()
        while due - began < seconds:
            for _ in range(AT_ONCE):
                if due > time.perf_counter() or due - began >= seconds:
                    break
                self._ask(due)
                due += chance.expovariate(rate)
            self._hear(max(0.0, min(due - time.perf_counter(), 0.001)))
        end = time.perf_counter() + LAST_S
        while self._due and time.perf_counter() < end:
            self._hear(0.01)
        return self._told(seconds)

    def _ask(self, due: float) -> None:
        self.sent += 1
        connection = self._free.pop() if self._free else self._connected()
        if connection is None:
            self.broken += 1
            return
        number = connection.fileno()
        self._due[number] = due
        self.late.append(time.perf_counter() - due)
        try:
            connection.send(self._requests[self.sent % len(self._requests)])
        except OSError:
            self._lost(number)

    def _connected(self) -> socket.socket | None:
        if len(self._open) >= MOST_CONNECTIONS:
            return None
        made = socket.create_connection(self._address)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        self._poll.register(made.fileno(), select.EPOLLIN)
        self._open[made.fileno()] = made
        return made

    def _hear(self, wait_s: float) -> None:
        for number, _ in self._poll.poll(wait_s):
            try:
                data = self._open[number].recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                self._answered(number, self._came.pop(number, b"") + data)
            else:
                self._lost(number)

    def _answered(self, number: int, came: bytes) -> None:
        head, found, body = came.partition(b"\r\n\r\n")
        lowered = head.lower()
        if not found or len(body) < int(lowered.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self._came[number] = came
            return
        due = self._due.pop(number)
        if head[9:12] == b"200":
            self.accepted.append(time.perf_counter() - due)
        else:
            self.refused += 1
        if b"connection: close" in lowered:
            self._lost(number)
        else:
            self._free.append(self._open[number])

    def _lost(self, number: int) -> None:
        """A connection is gone, with the request it had."""
        self.broken += self._due.pop(number, None) is not None
        gone = self._open.pop(number)
        if gone in self._free:
            self._free.remove(gone)
        gone.close()

    def _told(self, seconds: float) -> dict[str, float]:
        ordered = sorted(self.accepted) or [float("nan")]
        return {
            "sent": self.sent / seconds,
            "accepted": len(self.accepted) / seconds,
            "refused": self.refused / seconds,
            "unanswered": (self.broken + len(self._due)) / seconds,
            "median_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            "late_ms": sorted(self.late)[int(len(self.late) * 0.99)] * 1e3,
        }


def main(host: str, port: str, route: str, bodies: str, rate: str, seconds: str) -> None:
    """Measure and print one JSON object; end with an error when the load itself could not keep up."""
    head = f"POST {route} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    requests = [f"{head}{len(line)}\r\n\r\n{line}".encode() for line in Path(bodies).read_text().splitlines()]
    gc.disable()
    told = Load(host, int(port), requests).run(float(rate), float(seconds))
    if told["late_ms"] > LATE_S * 1e3:
        raise SystemExit(f"the load came too late by its own fault: {told}")
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
