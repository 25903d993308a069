"""The process that answers requests.

Here: putting the worker's parts together and running them. Belongs here: the start and the end of this
process. Does not: what the parts do. Run as ``python -m mlops_assets.serving.worker <config file> <socket> <alive>``:
the numbers of the listening socket that it inherits from the supervisor, and of what it says on that it lives; or as
``... <config file> behind-front <place>``, when a front listens for several workers.

It imports neither mlflow nor feast nor pandas nor the lightgbm package (a test holds it): those cost seconds and
hundreds of megabytes.
"""

import contextlib
import gc
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import uvloop

from mlops_assets.adapters.online_reader import open_online_reader
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.traffic_log import TrafficLogError, open_traffic_log
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.serving.affinity import order
from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.behind import Reporter, serve_front
from mlops_assets.serving.configuration import ServerConfig, read_config
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.demand import Demand
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.follower import Follower, follow_in_background
from mlops_assets.serving.frames import BEHIND
from mlops_assets.serving.guard import Guard
from mlops_assets.serving.listening import DRAIN_S, end_of_process, serve_http
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.parent import end_with_parent
from mlops_assets.serving.room import Room


def run(config: ServerConfig, serve: "Serve", place: int = 0) -> None:
    """Serve until SIGTERM or SIGINT, finish what is in flight, and return. ``place`` is this worker's among several."""
    address = config.traffic_address(Settings.from_environment())
    log = open_traffic_log(address, config.max_log_bytes, wait=config.traffic_log_wait)
    online = open_online_reader(config.online_store, config.feast_project)
    plane = DataPlane(log, online, TRANSFORMATIONS, config.max_rows)
    try:
        log.open()
    except TrafficLogError as error:
        # Every answer opens it anew: a database that is down for now is no reason to load the models again.
        plane.note("traffic log", str(error))
    batcher = Batcher(plane.predict, config.max_batch_rows, config.max_queued_rows, work=plane.work)
    room = Room(config.model_memory_bytes, _favourite(config.workers, place)) if config.model_memory_bytes else None
    how = {"threads": config.threads, "compiled": config.compiled_trees}
    follower = Follower(plane, config.desired, config.bundles, **how, room=room)
    demand = None
    if (residents := follower.residents) is not None:

        def want(model: str) -> None:
            residents.want(model)
            wake()

        demand = Demand(want)
        residents.settled = demand.settled
    wake, end = follow_in_background(follower, config.file_poll_s)
    _collect_less()
    uvloop.run(serve(Parts(config, plane, batcher, wake, demand)))
    end()
    batcher.stop()
    log.close()


def _collect_less() -> None:
    """What was imported is never garbage, and a request leaves no cycles: looking through all of it over and over made
    the slowest answers of 64 callers twice as slow.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


class Parts(NamedTuple):
    """What a worker answers with."""

    config: ServerConfig
    plane: DataPlane
    batcher: Batcher
    wake: Callable[[], None]
    """Has the desired state looked at, now."""
    demand: Demand | None
    """None: every model is in memory."""

    def endpoints(self, nudge: Callable[[], None]) -> Endpoints:
        """Every path."""
        return Endpoints(self.plane, self.batcher, nudge, _versions(), self.demand)


Serve = Callable[[Parts], Coroutine[None, None, None]]


def _favourite(workers: int, place: int) -> Callable[[str], bool]:
    """Of which models a worker is asked first."""
    places = tuple(range(workers))
    return lambda model: order(model.encode(), places)[0] == place


def listen(listening: socket.socket, alive: int | None) -> Serve:
    """Speak HTTP on a listening socket."""

    async def serve(parts: Parts) -> None:
        config, batcher = parts.config, parts.batcher

        def nudge() -> None:
            config.nudge.touch()
            parts.wake()

        guard = Guard(config.predict_token_digest, config.admin_token_digest)
        app = App(parts.endpoints(nudge), parts.plane.metrics, guard)
        await serve_http(app, config, listening, end_of_process(), alive, lambda: batcher.busy_s < config.stuck_batch_s)

    return serve


def stand_behind(place: int) -> Serve:
    """Answer what the front hands over. It has let the callers in, and counts what they ask."""

    async def serve(parts: Parts) -> None:
        app, reporter = App(parts.endpoints(parts.wake), Metrics()), Reporter(parts.plane, parts.batcher, parts.demand)
        await serve_front(app, reporter, parts.wake, parts.config.home, place, DRAIN_S)

    return serve


def _versions() -> dict[str, str]:
    """Of the packages whose versions callers may ask for; of one that is not installed, nothing."""
    found = {}
    for package in ("mlops_assets", "mlflow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def main(arguments: list[str]) -> int:
    """Run as a child of the supervisor: the configuration's file, and how it is asked."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    end_with_parent()
    file, how, *more = arguments
    if how == BEHIND:
        run(read_config(Path(file)), stand_behind(int(more[0])), int(more[0]))
    else:
        run(read_config(Path(file)), listen(socket.socket(fileno=int(how)), int(more[0]) if more else None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
