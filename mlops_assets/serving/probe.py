"""One bundle in a server of its own, before anybody depends on it: loaded, asked some rows, timed.

Here: the interface ``Probe``; the real one, which starts the worker process as it ships, with the deployment's
configuration but a folder and a port of its own and this bundle as the only one desired; its twin in this process.
Belongs here: what a server must show of a bundle before the registry knows it. Does not: judging the answers
(``ml.gates``), the offline scores they are compared with (``serving.offline``).

Why a process: a damaged model text takes LightGBM's process with it, and only the real one has the real start-up,
queue, disk sync and HTTP in its latency.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.adapters.endpoint import Endpoint, EndpointDown, EndpointRefused, HttpEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.online_reader import OnlineReader
from mlops_assets.adapters.registry import write_files
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.contracts import Arm, ServerAnswers, UseCase
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.configuration import ServerConfig, configure, served
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState, write_desired
from mlops_assets.serving.features import Transformation
from mlops_assets.serving.in_process import InProcessEndpoint
from mlops_assets.serving.supervisor import bind

PATIENCE_S = 60.0
"""For the worker to start and load: one second on a quiet machine."""
PATIENCE_PER_LOOK_S = 1.0
"""The socket is ours, so a request before the worker accepts waits in its queue: not for ever, it may have died."""
POLL_S = 0.02
ROUNDS = 3
"""Times that every row is asked: the first request warms up, the median is of the thirty."""
LONGEST_PROBLEM = 600

Files = Mapping[str, bytes]
Rows = Sequence[Mapping[str, Any]]


class BundleDown(RuntimeError):
    """The server did not come to answer with the bundle. Says why."""


class Probe(ABC):
    """A server that can be filled with one bundle."""

    def ask(self, use_case: UseCase, bundle: Files, digest: str, rows: Rows) -> ServerAnswers:
        """Serve ``bundle`` alone under ``digest`` and ask every row, one at a time, ``ROUNDS`` times.

        Never raises for what the bundle or the server does: that is told as ``problem``, without scores.
        """
        size, timings = sum(map(len, bundle.values())), []
        try:
            with self._serving(use_case, bundle, digest) as endpoint:
                told = endpoint.status(use_case.name).arm(Arm.CHAMPION)
                rounds = [[_timed(endpoint, use_case.name, row, timings) for row in rows] for _ in range(ROUNDS)]
        except (BundleDown, EndpointDown, EndpointRefused) as error:
            problem = str(error)[:LONGEST_PROBLEM]
            return ServerAnswers(digest=None, scores=(), latencies_ms=(), bundle_bytes=size, problem=problem)
        steady = all(scores == rounds[0] for scores in rounds)
        return ServerAnswers(
            digest=told.digest if told else None,
            scores=tuple(rounds[0]),
            latencies_ms=tuple(timings),
            bundle_bytes=size,
            problem=None if steady else "the same row got different scores",
        )

    @abstractmethod
    def _serving(self, use_case: UseCase, bundle: Files, digest: str) -> contextlib.AbstractContextManager[Endpoint]:
        """A server in which the bundle is champion. Raises BundleDown."""


def _timed(endpoint: Endpoint, model: str, row: Mapping[str, Any], timings: list[float]) -> float:
    began = time.perf_counter()
    (answer,) = endpoint.predict(model, [row])
    timings.append((time.perf_counter() - began) * 1000)
    return float(answer["score"])


class ProcessProbe(Probe):
    """The worker as it ships."""

    def __init__(self, settings: Settings) -> None:
        """Of that deployment: its online store and its limits."""
        self._settings = settings

    @contextlib.contextmanager
    def _serving(self, use_case: UseCase, bundle: Files, digest: str) -> Iterator[Endpoint]:
        with tempfile.TemporaryDirectory() as folder, bind("127.0.0.1", 0) as listening:
            port = listening.getsockname()[1]
            real = configure(self._settings, [use_case])
            # A server of its own for a moment, on loopback: nobody else knows of it, and its log goes with it.
            alone = {
                "traffic_log": "",
                "predict_token_digest": None,
                "admin_token_digest": None,
                "tls_certificate": None,
                "tls_key": None,
            }
            config = msgspec.structs.replace(real, folder=folder, host="127.0.0.1", port=port, **alone)
            write_files(config.bundles / digest, bundle)
            write_desired(config.desired, _desired(use_case, digest))
            url = f"http://127.0.0.1:{port}"
            with _worker(config, listening.fileno()) as (process, log):
                _wait(HttpEndpoint(url, PATIENCE_PER_LOOK_S), use_case.name, process, log)
                yield HttpEndpoint(url)


@contextlib.contextmanager
def _worker(config: ServerConfig, descriptor: int) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    file, log = config.home / "server.json", config.home / "worker.log"
    file.write_bytes(msgspec.json.encode(config))
    command = [sys.executable, "-m", "mlops_assets.serving.worker", str(file), str(descriptor)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, pass_fds=(descriptor,), stdout=out, stderr=out, start_new_session=True)
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(endpoint: HttpEndpoint, model: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if process.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            how = f"signal {-process.returncode}" if process.returncode < 0 else f"code {process.returncode}"
            raise BundleDown(f"the server ended while it loaded the bundle ({how}): {last[0]}")
        with contextlib.suppress(EndpointDown, EndpointRefused):
            status = endpoint.status(model)
            if status.arm(Arm.CHAMPION):
                return
            loading = [problem for problem in status.problems if "is not loaded" in problem]
            if loading:
                raise BundleDown("; ".join(loading))
        if time.monotonic() > deadline:
            raise BundleDown(f"the server did not load the bundle in {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)


def _desired(use_case: UseCase, digest: str) -> DesiredState:
    arms = {str(Arm.CHAMPION): DesiredArm(version=1, digest=digest)}
    return DesiredState(models=(DesiredModel(facts=served(use_case), arms=arms),))


class InProcessProbe(Probe):
    """The twin: the server's own data plane in this process, for tests and trials."""

    def __init__(self, online: Callable[[], OnlineReader], transformations: Mapping[str, Transformation]) -> None:
        """``online`` gives what the server reads."""
        self._online = online
        self._transformations = transformations

    @contextlib.contextmanager
    def _serving(self, use_case: UseCase, bundle: Files, digest: str) -> Iterator[Endpoint]:
        registry = MemoryRegistry()
        found = bundle_digest(bundle)
        if found != digest:
            # Before anything is loaded: what a damaged text takes with it here is this process.
            raise BundleDown(f"the files have digest {found}, wanted {digest}")
        registry.register(use_case.name, "probe", bundle, {}, found, {"cutoff_day": use_case.domain.first_day})
        registry.set_alias(use_case.name, Arm.CHAMPION, 1)
        with tempfile.TemporaryDirectory() as folder:
            parts = (Path(folder), MemoryTrafficLog(), self._online(), self._transformations)
            endpoint = InProcessEndpoint(registry, [served(use_case)], *parts)
            status = endpoint.status(use_case.name)
            if status.arm(Arm.CHAMPION) is None:
                raise BundleDown("; ".join(status.problems))
            yield endpoint
