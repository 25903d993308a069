"""Requests that come when they come, however the server does: what it answers beyond its capacity.

Run as ``python -m benchmarks.serving_overload HOST PORT ROUTE BODIES RATE SECONDS``. Here: an open loop. Does not
belong here: closed loops (``benchmarks.serving_load``), which wait for a slow server and so never overload it.

Arrivals are a Poisson process. Each takes a connection that is free, or a new one; its latency counts from the moment
it was due, so that a server that stalls is charged for all who came meanwhile.
"""

import asyncio
import gc
import json
import random
import sys
import time
from pathlib import Path

import uvloop

MOST_CONNECTIONS = 1000
LAST_S = 20.0
"""How long answers are waited for after the last request."""


class Told:
    """What was answered so far."""

    def __init__(self) -> None:
        """Nothing."""
        self.accepted: list[float] = []
        """Seconds from due to answered."""
        self.refused = 0
        self.broken = 0
        self.waiting = 0


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, told: Told, free: "list[Caller]") -> None:
        """Not connected."""
        self.told, self.free = told, free
        self.due: float | None = None
        self.came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def ask(self, request: bytes, due: float) -> None:
        """Send one request."""
        self.due, self.came = due, b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        self.came += data
        head, found, body = self.came.partition(b"\r\n\r\n")
        if not found or self.due is None:
            return
        lowered = head.lower()
        length = int(lowered.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if head[9:12] == b"200":
            self.told.accepted.append(time.perf_counter() - self.due)
        else:
            self.told.refused += 1
        self.told.waiting -= 1
        self.due = None
        if b"connection: close" in lowered:
            self.transport.close()
        else:
            self.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone, with the request it had."""
        if self.due is not None:
            self.told.broken += 1
            self.told.waiting -= 1
            self.due = None
        if self in self.free:
            self.free.remove(self)


async def run(host: str, port: int, requests: list[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Ask ``rate`` times a second for ``seconds``."""
    loop, told, free, chance = asyncio.get_running_loop(), Told(), [], random.Random(1)
    connections = 0
    began = due = time.perf_counter()
    sent = 0
    while due - began < seconds:
        now = time.perf_counter()
        if due > now:
            await asyncio.sleep(due - now)
        while due <= time.perf_counter() and due - began < seconds:
            told.waiting += 1
            sent += 1
            request = requests[sent % len(requests)]
            if free:
                free.pop().ask(request, due)
            elif connections < MOST_CONNECTIONS:
                connections += 1
                _, caller = await loop.create_connection(lambda: Caller(told, free), host, port)
                caller.ask(request, due)
            else:
                told.waiting -= 1
                told.broken += 1
            due += chance.expovariate(rate)
        await asyncio.sleep(0)
    end = time.perf_counter() + LAST_S
    while told.waiting and time.perf_counter() < end:
        await asyncio.sleep(0.01)
    ordered = sorted(told.accepted) or [float("nan")]
    return {
        "sent": sent / seconds,
        "accepted": len(told.accepted) / seconds,
        "refused": told.refused / seconds,
        "unanswered": (told.broken + told.waiting) / seconds,
        "median_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
    }


def main(host: str, port: str, route: str, bodies: str, rate: str, seconds: str) -> None:
    """Measure and print one JSON object."""
    head = f"POST {route} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: "
    requests = [f"{head}{len(line)}\r\n\r\n{line}".encode() for line in Path(bodies).read_text().splitlines()]
    gc.disable()
    print(json.dumps(uvloop.run(run(host, int(port), requests, float(rate), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
