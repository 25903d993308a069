"""Real processes of the server, and load on them.

Belongs here: parts that tests of processes need. Does not: assertions about the server.
"""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec

from mlops_assets.adapters.endpoint import EndpointDown, EndpointRefused, HttpEndpoint
from mlops_assets.serving.configuration import ServedModel, ServerConfig
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState, write_desired

MODEL = "arrival_delay"
FACTS = ServedModel(name=MODEL, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


class Server:
    """A server of processes on a folder of the test's own; its registry is an address where nobody answers."""

    def __init__(self, folder: Path) -> None:
        self.config = ServerConfig(
            folder=str(folder),
            online_store=str(folder / "online.db"),
            registry_uri=f"http://127.0.0.1:{free_port()}",
            models=(FACTS,),
            port=free_port(),
        )
        self.endpoint = HttpEndpoint(f"http://127.0.0.1:{self.config.port}")
        self.process: subprocess.Popen[bytes] | None = None

    def desire(self, **arms: tuple[int, str]) -> None:
        held = {arm: DesiredArm(version=version, digest=digest) for arm, (version, digest) in arms.items()}
        write_desired(self.config.desired, DesiredState(models=(DesiredModel(facts=FACTS, arms=held),)))

    def start(self) -> None:
        """The whole server: supervisor, worker, reconciler."""
        code = "import sys; from mlops_assets.serving import supervisor, configuration as c; from pathlib import Path; "
        code += "sys.exit(supervisor.supervise(c.read_config(Path(sys.argv[1]))))"
        self._spawn([sys.executable, "-c", code])

    def start_worker(self) -> None:
        """A worker alone, so that the test is the only one who writes the desired state."""
        code = "import sys, runpy; from mlops_assets.serving.supervisor import bind; "
        code += "held = bind('127.0.0.1', int(sys.argv[2])); sys.argv = ['worker', sys.argv[1], str(held.fileno())]; "
        code += "runpy.run_module('mlops_assets.serving.worker', run_name='__main__')"
        self._spawn([sys.executable, "-c", code], str(self.config.port))

    def _spawn(self, command: list[str], *more: str) -> None:
        file = Path(self.config.folder) / "test.json"
        file.write_bytes(msgspec.json.encode(self.config))
        self.process = subprocess.Popen([*command, str(file), *more])
        deadline = time.monotonic() + 20
        while not self.endpoint.ready():
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def wait_for_another_worker(self, than: int) -> None:
        deadline = time.monotonic() + 20
        while not self.endpoint.ready() or self.worker_pid() in (than, 0):
            assert time.monotonic() < deadline, "no other worker came"
            time.sleep(0.02)

    def worker_pid(self) -> int:
        """Of the worker that answers now; 0 when none does."""
        try:
            return self._ask_pid()
        except httpx.TransportError:
            return 0

    def _ask_pid(self) -> int:
        return httpx.get(f"http://127.0.0.1:{self.config.port}/metadata", trust_env=False).json()["server"]["pid"]

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class Load:
    """Threads that ask as fast as they are answered and remember what was acknowledged."""

    def __init__(self, url: str, flight, threads: int) -> None:
        self.url = url
        self.flight = flight
        self.acknowledged: list[dict] = []
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        endpoint, count = HttpEndpoint(self.url), 0
        while not self._stop.is_set():
            count += 1
            began = time.perf_counter()
            try:
                self.acknowledged += endpoint.predict(MODEL, [self.flight(count, request_id=f"{number}-{count}")])
            except (EndpointDown, EndpointRefused) as error:
                self.failures.append(str(error))
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
