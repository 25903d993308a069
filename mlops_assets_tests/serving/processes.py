"""Real processes of the server, and load on them.

Belongs here: parts that tests of processes need. Does not: assertions about the server.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from mlops_assets.adapters.endpoint import HttpEndpoint
from mlops_assets.serving.configuration import ServedModel, ServerConfig
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState, write_desired

MODEL = "arrival_delay"
FACTS = ServedModel(name=MODEL, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


class Server:
    """A server of processes on a folder of the test's own; its registry is an address where nobody answers."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.config = ServerConfig(
            folder=str(folder),
            online_store=str(folder / "online.db"),
            registry_uri=f"http://127.0.0.1:{free_port()}",
            port=free_port(),
            **{"models": (FACTS,), **changes},
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

    def metadata(self) -> dict:
        return httpx.get(f"{self.endpoint.url}/metadata", trust_env=False, timeout=10).json()

    def pids(self) -> dict[int, int]:
        """Place -> process id of the workers behind a front."""
        return {told["worker"]: told["pid"] for told in self.metadata()["server"]["workers"]}

    def wait_for_workers(self, *, but: int = 0) -> dict[int, int]:
        """Until all are there and ready, ``but`` not among them."""
        deadline = time.monotonic() + 20
        while len(pids := self.pids()) < self.config.workers or but in pids.values() or not self.endpoint.ready():
            assert time.monotonic() < deadline, f"the workers did not come: {pids}"
            time.sleep(0.02)
        return pids

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


@dataclass
class Heard:
    """What a storm was answered; filled when it is over."""

    acknowledged: list[tuple[str, float]] = field(default_factory=list)
    """Request id and score of each answer."""
    digests: set[str] = field(default_factory=set)
    lost: int = 0
    """Requests whose connection broke."""
    refused: list[tuple[int, str]] = field(default_factory=list)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    """Of each answer: ``time.monotonic()`` when it came, and how long it took."""

    def slowest(self, since: float, until: float) -> float:
        return max((took for came, took in self.seconds if since <= came - took and came <= until), default=0.0)


@contextlib.contextmanager
def storm(server: Server, row: dict, connections: int, ids: str = "own") -> Iterator[Heard]:
    """Load from a process of its own, so that what the test does is not taken for the server's slowness."""
    command = [sys.executable, "-m", "mlops_assets_tests.serving.storm", str(server.config.port), str(connections)]
    body = json.dumps({"model": MODEL, "rows": [row]}, separators=(",", ":"))
    with subprocess.Popen([*command, body, ids], stdin=-1, stdout=-1) as process:
        heard = Heard()
        assert process.stdout.readline() == b"ready\n"
        try:
            yield heard
        finally:
            told = json.loads(process.communicate()[0])
    heard.acknowledged, heard.digests, heard.lost = (
        [tuple(a) for a in told["acknowledged"]],
        set(told["digests"]),
        told["lost"],
    )
    heard.refused, heard.seconds = [tuple(r) for r in told["refused"]], [tuple(s) for s in told["seconds"]]
