"""The server on a Ray of this machine, or on one that is there.

Here: starting Ray and Ray Serve, deploying. Belongs here: Ray's processes and its own
settings. Does not: the application (``serving.on_ray``).

Ray reads the environment when it is imported, so the command becomes another process with the environment that is
wanted: ``python -m mlops_assets.serving.ray_cluster <scale as JSON> <address or ->``.
"""

import logging
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mlops_assets.adapters.settings import Settings
from mlops_assets.serving.configuration import ServerConfig, configure
from mlops_assets.serving.ray_scale import Scale, refused_on_ray
from mlops_assets.serving.supervisor import CANNOT_START
from mlops_assets.use_cases import USE_CASES

LOG = logging.getLogger(__name__)
HERE = "-"
"""In place of an address: a Ray of this machine, started and ended with this process."""
OBJECT_STORE_BYTES = 100 * 2**20
"""Requests and answers are small and do not pass through it; bundles do."""


def command(settings: Settings, scale: Scale, address: str, *, haproxy: bool = False) -> list[str]:
    """What to become: this module, in the environment that Ray is to find."""
    told = {
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1" if haproxy else "0",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1" if haproxy else "0",
        # Sooner than Ray's ten seconds: a step of load is over by then.
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    }
    if address == HERE:
        told["RAY_AUTH_TOKEN_PATH"] = str(token_file(settings.serving))
    variables = [f"{name}={value}" for name, value in told.items()]
    module = [sys.executable, "-m", "mlops_assets.serving.ray_cluster"]
    return ["env", *variables, *module, msgspec.json.encode(scale).decode(), address]


def token_file(folder: Path) -> Path:
    """The token that Ray's own processes show each other; nobody else may read it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "ray-token"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file


def deploy(config: ServerConfig, scale: Scale) -> None:
    """Put the application onto the Ray that this process is connected to, in place of the one there; wait for it."""
    from ray import serve  # pyright: ignore[reportMissingImports]

    from mlops_assets.serving.on_ray import application

    http = {"host": config.host, "port": config.port}
    if config.tls_certificate:
        http |= {"ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key}
    serve.start(proxy_location="HeadOnly", http_options=http)
    serve.run(application(config, scale), name="mlops")


def serve_on_ray(config: ServerConfig, scale: Scale, address: str) -> int:
    """The exit code. On a Ray of its own: run until SIGTERM or SIGINT. On one that is there: deploy and return."""
    if (why := refused_on_ray(config, scale, alone=address == HERE)) is not None:
        LOG.error("the server does not start: %s", why)
        return CANNOT_START
    import ray  # pyright: ignore[reportMissingImports]

    if address != HERE:
        ray.init(address=address)
        deploy(config, scale)
        LOG.info("deployed to the Ray at %s", address)
        return 0
    stop = threading.Event()
    here = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES, "_node_ip_address": "127.0.0.1"}
    # "local", or it would join whatever Ray was started last on this machine.
    ray.init("local", **here, num_cpus=scale.most_replicas + 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    deploy(config, scale)
    LOG.info("listening on %s://%s:%d", "https" if config.tls_certificate else "http", config.host, config.port)
    stop.wait()
    from ray import serve  # pyright: ignore[reportMissingImports]

    serve.shutdown()
    ray.shutdown()
    return 0


def main(arguments: Sequence[str]) -> int:
    """The scale as JSON, and the address of a Ray or ``-``."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s server %(levelname)s %(message)s")
    scale = msgspec.json.decode(arguments[0], type=Scale)
    return serve_on_ray(configure(Settings.from_environment(), USE_CASES), scale, arguments[1])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
