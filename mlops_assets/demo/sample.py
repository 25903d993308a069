"""The whole graph on a few days, in one process: what CI compares between two machines or thread counts.

Here: the order of the runs, and the digests that they leave. Belongs here: playing the sample. Does not: what it has
smaller (``use_cases.sample``), any part of its own: feed and release sensors, jobs, registry, model server and DVC are
those of every deployment, the real ones. The MLflow server costs eight seconds of it and holds the bytes that are
compared; with a registry in memory, what a deployment registers would be shown by nothing.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mlops_assets.adapters.deployment import Deployment, deployed
from mlops_assets.adapters.documents import training_set_of
from mlops_assets.adapters.services import ensure_services, stop_services
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.assets.address import DATASETS, FEATURES, MODELS, automation, key, table
from mlops_assets.assets.datasets import DAILY_DATASETS, STATIC_DATASETS
from mlops_assets.assets.partitions import shift
from mlops_assets.automation.jobs import TRAIN
from mlops_assets.contracts import Domain, UseCase
from mlops_assets.demo.daemon import Daemon
from mlops_assets.demo.room import logging_to, make_room
from mlops_assets.ml.digests import content_digest

MARK = "played-by-the-sample"


class SampleRefused(RuntimeError):
    """There is no room for the sample."""


class SampleEnded(RuntimeError):
    """A sensor asked for nothing where the sample cannot go on without."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the sample left: nothing in it depends on clock, machine or number of threads."""

    tables: Mapping[str, str]
    """Every table of datasets and features -> digest of its rows."""
    training_sets: Mapping[str, str]
    """Use case, version -> SHA-256 of the frozen file."""
    models: Mapping[str, str]
    """Use case, version -> digest of the bundle."""
    arms: Mapping[str, int]
    """Use case, arm -> version that holds it."""


def set_environment(threads: int) -> None:
    """The sample's settings, for this process and the servers that it starts; what the caller has set stays.

    Before any library that counts threads is loaded.
    """
    os.environ["MLOPS_SAMPLE"] = "1"
    for name, port in zip(("MLOPS_REGISTRY_URI", "MLOPS_ENDPOINT_URL"), free_ports(2), strict=True):
        os.environ.setdefault(name, f"http://127.0.0.1:{port}")
    os.environ.setdefault("MLOPS_SENSOR_SECONDS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on: a sample runs beside whatever else this machine serves."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def play(threads: int) -> Sample:
    """Run the sample on a fresh state of its own, with servers of its own.

    Raises SampleRefused, SampleEnded, RunFailed, SensorFailed.
    """
    set_environment(threads)
    settings = Settings.from_environment()
    if refusal := make_room(settings, MARK):
        raise SampleRefused(refusal)
    with logging_to(settings.state / "sample.log"):
        try:
            ensure_services(settings, until_pid=os.getpid())
            with Daemon(ROOT, settings.state) as daemon:
                for domain in dict.fromkeys(use_case.domain for use_case in settings.use_cases):
                    live_through([u for u in settings.use_cases if u.domain == domain], daemon, threads)
            return digests(settings.use_cases, deployed(settings))
        finally:
            stop_services(settings)


def live_through(use_cases: Sequence[UseCase], daemon: Daemon, threads: int) -> None:
    """Use cases of one domain: history, first models that become champions, live days, second models in shadow."""
    domain = use_cases[0].domain
    feed, releases = automation(domain, "feed"), [automation(use_case, "release") for use_case in use_cases]
    for wanted in ("the static tables", "history"):
        _tick(daemon, feed, wanted)
    for use_case, release in zip(use_cases, releases, strict=True):
        _train(use_case, daemon, shift(domain.live_from, -1), threads)
        _tick(daemon, release, f"the first champion of {use_case.name}")
    while daemon.tick(feed):
        for release in releases:
            daemon.tick(release)
    for use_case, release in zip(use_cases, releases, strict=True):
        _train(use_case, daemon, str(domain.last_day), threads)
        daemon.tick(release)


def _tick(daemon: Daemon, sensor: str, wanted: str) -> None:
    if not daemon.tick(sensor):
        raise SampleEnded(f"{sensor} does not ask for {wanted}: {daemon.last_skip(sensor)}")


def _train(use_case: UseCase, daemon: Daemon, cutoff_day: str, threads: int) -> None:
    model = key(use_case, MODELS, "model").to_python_identifier()
    config = {"config": {"threads": threads, "because": "the sample"}}
    daemon.run(automation(use_case, TRAIN), cutoff_day, {"ops": {model: config}})


def digests(use_cases: tuple[UseCase, ...], deployment: Deployment) -> Sample:
    """The digest of everything that must not depend on where it was made."""
    domains = dict.fromkeys(use_case.domain for use_case in use_cases)
    names = [name for domain in domains for name in tables_of(domain, deployment)]
    registry = deployment.registry
    versions = [version for use_case in use_cases for version in registry.versions(use_case.name)]
    frozen = {f"{v.name} {v.version}": training_set_of(registry, v.name, v.version) for v in versions}
    return Sample(
        tables={name: content_digest(deployment.tables.read(name)) for name in names},
        training_sets={name: manifest.digest for name, manifest in frozen.items() if manifest},
        models={f"{version.name} {version.version}": version.digest for version in versions},
        arms={f"{u.name} {arm}": n for u in use_cases for arm, n in registry.model(u.name).aliases.items()},
    )


def tables_of(domain: Domain, deployment: Deployment) -> list[str]:
    """Every table of datasets and features."""
    datasets = [table(domain, DATASETS, name) for name in (*STATIC_DATASETS, *DAILY_DATASETS, "quarantine")]
    return [*datasets, *(table(domain, FEATURES, view.name) for view in deployment.feature_store.spec.views)]
