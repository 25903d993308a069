"""Many connections that ask as fast as they are answered: ``python -m ... <port> <connections> <body> <ids>``.

Belongs here: load that does not stall itself. Does not: starting it (``processes.storm``). It runs until its input
ends, and tells then in JSON what it was answered. A connection that breaks is counted, and opened again. ``ids``: each
caller has its ``own``, all have the same ones (``shared``), or ``none``. CARRIER in the body is one of three.
"""

import asyncio
import gc
import json
import sys
import time

import uvloop

HEAD = b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n%b"


class Told:
    def __init__(self) -> None:
        self.answers: list[tuple[float, float, bytes]] = []
        self.refused: list[tuple[int, bytes]] = []
        self.lost = 0
        self.asking = True


class Caller(asyncio.Protocol):
    def __init__(self, told: Told, number: int, body: bytes, ids: str) -> None:
        self.told, self.body = told, body.replace(b"CARRIER", (b"AA", b"B6", b"UA")[number % 3])
        self.prefix = {"own": b"%d-" % number, "shared": b"", "none": None}[ids]
        self.count = 0
        self.over = asyncio.Event()

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.waits = False
        self.ask()

    def ask(self) -> None:
        if not self.told.asking:
            self.transport.close()
            return
        self.count += 1
        named = b"" if self.prefix is None else b'"request_id":"%b%d",' % (self.prefix, self.count)
        body = self.body.replace(b'"rows":[{', b'"rows":[{' + named)
        self.came, self.waits, self.began = b"", True, time.monotonic()
        self.transport.write(HEAD % (len(body), body))

    def data_received(self, data: bytes) -> None:
        self.came += data
        head, found, body = self.came.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        now, status = time.monotonic(), int(head[9:12])
        self.waits = False
        if status == 200:
            self.told.answers.append((now, now - self.began, body))
        else:
            self.told.refused.append((status, body))
        self.ask()

    def connection_lost(self, exc) -> None:
        self.told.lost += self.waits
        self.over.set()


async def call(told: Told, port: int, caller: Caller) -> None:
    while told.asking:
        caller.over.clear()
        try:
            await asyncio.get_running_loop().create_connection(lambda: caller, "127.0.0.1", port)
            await caller.over.wait()
        except OSError:
            await asyncio.sleep(0.01)


async def main(port: int, connections: int, body: bytes, ids: str) -> Told:
    told = Told()
    calls = [asyncio.ensure_future(call(told, port, Caller(told, n, body, ids))) for n in range(connections)]
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    told.asking = False
    await asyncio.wait(calls, timeout=30)
    return told


if __name__ == "__main__":
    gc.disable()
    port, connections, body, ids = sys.argv[1:]
    told = uvloop.run(main(int(port), int(connections), body.encode(), ids))
    answers = [json.loads(body)["predictions"][0] for _, _, body in told.answers]
    json.dump(
        {
            "acknowledged": [(answer["request_id"], answer["score"]) for answer in answers],
            "digests": sorted({answer["digest"] for answer in answers if answer["digest"]}),
            "lost": told.lost,
            "refused": [(status, body.decode()) for status, body in told.refused],
            "seconds": [(came, took) for came, took, _ in told.answers],
        },
        sys.stdout,
    )
