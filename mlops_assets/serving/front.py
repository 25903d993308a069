"""The process that speaks HTTP for several workers.

Here: ``FrontEndpoints``, and putting the front's parts together. Belongs here: what the server answers as one, though
several answer. Does not: who gets which request (``serving.pool``), what is told when workers differ
(``serving.union``). Run as ``python -m mlops_assets.serving.front <config file> <socket> <workers' socket> <alive>``:
the numbers of the listening sockets that it inherits from the supervisor, and of what it says on that it lives.

Why a process in front, and not one socket for all workers: a connection that a worker has accepted dies with it, and
its callers' requests too. Here callers keep their connection, whatever becomes of a worker. It also refuses what needs
no model to be refused: strangers, bodies that are too large, paths that are not there.
"""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from mlops_assets.serving.affinity import SLACK
from mlops_assets.serving.app import App, Later
from mlops_assets.serving.arms import now
from mlops_assets.serving.configuration import ServerConfig, read_config
from mlops_assets.serving.frames import BEAT_S
from mlops_assets.serving.gathering import Told
from mlops_assets.serving.guard import Guard
from mlops_assets.serving.listening import end_of_process, serve_http
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.parent import end_with_parent
from mlops_assets.serving.pool import Link, Pool
from mlops_assets.serving.routes import JSON, PLAIN, TEXT, Routes, live
from mlops_assets.serving.union import Counts, Union


class FrontEndpoints:
    """Every path of the server, answered by its workers, or for all of them."""

    def __init__(self, pool: Pool, metrics: Metrics, workers: int, nudge: Callable[[], None]) -> None:
        """``metrics`` are the front's own; ``nudge`` makes the server look for changes at once."""
        self._pool = pool
        self._metrics = metrics
        self._workers = workers
        self._nudge = nudge
        self._counts = Counts()
        self._started_at = now()
        worker = dict.fromkeys(
            ("predict", "invocations", "v2_infer", "openapi", "version", "v2_server", "v2_model", "v2_ready"),
            self._forward,
        )
        here = {"live": live, "ready": self._ready, "ping": self._ping, "nudge": self._nudged}
        routes = Routes(worker | here | {"metadata": self._metadata, "metrics": self._told_metrics})
        self.at, self.paths = routes.at, routes.paths

    def _forward(self, asked: Asked) -> Later:
        return Later(lambda give: self._pool.ask(asked, give))

    def _together(self, form: Callable[[Told], Reply]) -> Later:
        return Later(lambda give: self._pool.gather(lambda told: give(form(told))))

    def _ready(self, asked: Asked) -> Later:
        def form(told: Told) -> Reply:
            ready, problems = Union(told, self._workers).ready()
            return Reply(200 if ready else 503, JSON, msgspec.json.encode({"ready": ready, "problems": problems}))

        return self._together(form)

    def _ping(self, asked: Asked) -> Later:
        return self._together(lambda told: Reply(200 if Union(told, self._workers).ready()[0] else 404, PLAIN, b"\n"))

    def _metadata(self, asked: Asked) -> Later:
        def form(told: Told) -> Reply:
            union = Union(told, self._workers)
            workers = [
                {"worker": place, "pid": pid, "started_at": report and report.started_at}
                for place, (pid, report) in sorted(told.items())
            ]
            server = {"pid": os.getpid(), "started_at": self._started_at, "workers": workers}
            body = {"server": server, "models": union.statuses, "problems": union.problems}
            return Reply(200, JSON, json.dumps(msgspec.to_builtins(body), indent=1).encode())

        return self._together(form)

    def _told_metrics(self, asked: Asked) -> Later:
        def form(told: Told) -> Reply:
            own = self._metrics.render({("mlops_workers", ()): float(len(told))})
            return Reply(200, TEXT, self._counts.together(told, own).encode())

        return self._together(form)

    def _nudged(self, asked: Asked) -> Reply:
        self._nudge()
        self._pool.nudge()
        return Reply(202, JSON, b'{"nudged":true}')


async def _serve(config: ServerConfig, listening: socket.socket, meeting: socket.socket, alive: int | None) -> None:
    """Until SIGTERM or SIGINT."""
    loop, metrics = asyncio.get_running_loop(), Metrics()
    slack = SLACK if config.model_memory_bytes else 0
    pool = Pool(metrics, config.answer_timeout_s, config.stuck_batch_s, slack)
    guard = Guard(config.predict_token_digest, config.admin_token_digest)
    app = App(FrontEndpoints(pool, metrics, config.workers, config.nudge.touch), metrics, guard)
    workers = await loop.create_unix_server(lambda: Link(pool), sock=meeting)

    def turn() -> None:
        pool.turn()
        loop.call_later(BEAT_S, turn)

    turn()
    await serve_http(app, config, listening, end_of_process(), alive)
    workers.close()
    for link in list(pool.links.values()):
        link.leaving = True
        link.end()


def main(arguments: list[str]) -> int:
    """Run as a child of the supervisor."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s front %(levelname)s %(message)s")
    end_with_parent()
    config = read_config(Path(arguments[0]))
    listening, meeting = (socket.socket(fileno=int(number)) for number in arguments[1:3])
    alive = int(arguments[3]) if len(arguments) > 3 else None
    uvloop.run(_serve(config, listening, meeting, alive))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
