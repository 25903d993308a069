"""The process that answers requests.

Here: putting the worker's parts together and running them under uvicorn. Belongs here: the start and the end of this
process. Does not: what the parts do. Run as ``python -m mlops_assets.serving.worker <config file> <socket>``, where
``socket`` is the number of the listening socket that it inherits from the supervisor.

It imports neither mlflow nor feast nor pandas nor the lightgbm package (a test holds it): those cost seconds and
hundreds of megabytes.
"""

import contextlib
import logging
import socket
import sys
from importlib import metadata
from pathlib import Path

import uvicorn

from mlops_assets.adapters.online_reader import open_online_reader
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.traffic_log import TrafficLogError, open_traffic_log
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.configuration import ServerConfig, read_config
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.follower import Follower, follow_in_background
from mlops_assets.serving.guard import Guard
from mlops_assets.serving.parent import end_with_parent

DRAIN_S = 5


def run(config: ServerConfig, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, finish what is in flight, and return."""
    log = open_traffic_log(config.traffic_address(Settings.from_environment()), config.max_log_bytes)
    online = open_online_reader(config.online_store, config.feast_project)
    plane = DataPlane(log, online, TRANSFORMATIONS, config.max_rows)
    try:
        log.open()
    except TrafficLogError as error:
        # Every answer opens it anew: a database that is down for now is no reason to load the models again.
        plane.note("traffic log", str(error))
    batcher = Batcher(plane.predict, config.max_batch_rows, config.max_queued_rows)
    follower = Follower(plane, config.desired, config.bundles, threads=config.threads)
    wake, end = follow_in_background(follower, config.file_poll_s)

    def nudge() -> None:
        config.nudge.touch()
        wake()

    guard = Guard(config.predict_token_digest, config.admin_token_digest)
    endpoints = Endpoints(plane, batcher, nudge, _versions())
    app = App(endpoints, plane.metrics, config.max_body_bytes, guard, config.body_timeout_s)
    uvicorn.Server(_uvicorn(app, config)).run(sockets=[listening])
    end()
    batcher.stop()
    log.close()


def _versions() -> dict[str, str]:
    """Of the packages whose versions callers may ask for; of one that is not installed, nothing."""
    found = {}
    for package in ("mlops_assets", "mlflow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _uvicorn(app: App, config: ServerConfig) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_S,
        limit_concurrency=config.max_connections,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
    )


def main(arguments: list[str]) -> int:
    """Run as a child of the supervisor: the configuration's file and the inherited socket."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s")
    end_with_parent()
    run(read_config(Path(arguments[0])), socket.socket(fileno=int(arguments[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
