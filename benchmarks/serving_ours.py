"""This project's server, as it is shipped, as one more candidate.

Here: ``ours``: registry, released version, server with its reconciler and its durable log. Does not belong here: load.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import BenchmarkFailed
from benchmarks.serving_load import SERVER_CORE
from benchmarks.serving_peers import Peer, Running, ask, free_port, wait_for
from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.embedded import Service, embedded_services
from mlops_assets.adapters.services import answers
from mlops_assets.adapters.settings import Settings
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.use_cases import ARRIVAL_DELAY

MODEL = ARRIVAL_DELAY.name
START_S = 60.0


@dataclass(frozen=True)
class Ours:
    """A registry with the model as champion, for servers to be started on."""

    settings: Settings

    def point(self, arm: Arm, bundle: Path | None) -> None:
        """Let an arm be held by a bundle, registered when it is not yet, or by nobody."""
        known = Deployment(self.settings).registry
        if bundle is None:
            known.clear_alias(MODEL, arm)
            return
        files = {file.name: file.read_bytes() for file in bundle.iterdir()}
        run, digest = known.open_run("bench"), bundle_digest(files)
        version = known.register(MODEL, run, files, {}, digest, {"cutoff_day": "2013-03-17"})
        known.set_alias(MODEL, arm, version.version)

    @contextmanager
    def shadowed(self, bundle: Path) -> Iterator[None]:
        """With a shadow, that the server has loaded."""
        self.point(Arm.SHADOW, bundle)
        files = {file.name: file.read_bytes() for file in bundle.iterdir()}
        Deployment(self.settings).endpoint.wait_for(MODEL, Arm.SHADOW, bundle_digest(files))
        try:
            yield
        finally:
            self.point(Arm.SHADOW, None)


def features(names: Sequence[str]) -> Peer:
    """Asked with features, as MLflow's clients ask."""
    return Peer(
        "ours", (), lambda bin, port: (), "/invocations",
        lambda rows: {"dataframe_split": {"columns": names, "data": rows}}, lambda told: told["predictions"],
    )  # fmt: skip


def by_entity() -> Peer:
    """Asked with decisions: the server fetches the features."""
    return Peer(
        "ours, features fetched by entity", (), lambda bin, port: (), "/predict",
        lambda rows: {"model": MODEL, "rows": rows}, lambda told: [row["score"] for row in told["predictions"]],
    )  # fmt: skip


@contextmanager
def registry(root: Path, bundle: Path) -> Iterator[Ours]:
    """A registry that holds the bundle as champion."""
    addresses = {"registry_uri": f"http://127.0.0.1:{free_port()}", "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    settings = replace(Settings(), state=root, **addresses)
    service, _ = embedded_services(settings)
    with started(service, (), root / "registry.log"):
        known = Ours(settings)
        known.point(Arm.CHAMPION, bundle)
        yield known


@contextmanager
def server(known: Ours, peer: Peer, rows: Sequence[Any], *, wait: bool = True) -> Iterator[Running]:
    """The server, on its processor, with an empty log."""
    for file in known.settings.serving.glob("traffic.db*"):
        file.unlink()
    _, service = embedded_services(replace(known.settings, traffic_log_wait=wait))
    began = time.monotonic()
    log = known.settings.state / "server.log"
    with started(service, ("taskset", "-c", SERVER_CORE), log) as pid:
        while True:
            try:
                ask(service.url, peer, rows[:1])
                break
            except (OSError, KeyError):
                if time.monotonic() - began > START_S:
                    raise BenchmarkFailed(f"the server does not answer:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.02)
        yield Running(service.url, time.monotonic() - began, pid)


@contextmanager
def started(service: Service, before: Sequence[str], log: Path) -> Iterator[int]:
    """A service of the deployment as a process; its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*before, *service.command], stdout=out, stderr=subprocess.STDOUT, start_new_session=True, env=env
        )
    try:
        deadline = time.monotonic() + START_S
        while not answers(service):
            if time.monotonic() > deadline or process.poll() is not None:
                raise BenchmarkFailed(f"{service.name} does not answer:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        wait_for(process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def worker(pid: int) -> psutil.Process:
    """The process that answers, of a server's."""
    children = psutil.Process(pid).children(recursive=True)
    return next(child for child in children if "mlops_assets.serving.worker" in child.cmdline())


def worker_start_s(pid: int, url: str) -> float:
    """From the end of a worker to the first word of the next one that is ready."""
    from urllib.request import urlopen

    worker(pid).kill()
    began = time.monotonic()
    while time.monotonic() - began < START_S:
        try:
            with urlopen(f"{url}/ready", timeout=10) as answer:
                if json.load(answer)["ready"]:
                    return time.monotonic() - began
        except OSError:
            time.sleep(0.01)
    raise BenchmarkFailed("no other worker came")
