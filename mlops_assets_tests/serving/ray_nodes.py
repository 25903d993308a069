"""A Ray of several raylets on this machine, what is deployed on it, and callers that may ask a second time.

Belongs here: processes and load. Does not: assertions about the server.
"""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import psutil
import pytest

from mlops_assets.adapters.endpoint import EndpointDown, EndpointRefused, HttpEndpoint
from mlops_assets.adapters.settings import ROOT
from mlops_assets.serving.configuration import ServerConfig
from mlops_assets_tests.redis_server import free_port
from mlops_assets_tests.serving.processes import MODEL

BIN = ROOT / ".venv-ray" / "bin"
REQUIRED = "MLOPS_TESTS_REQUIRE_RAY"
"""CI sets it: there, a missing environment is a failure and no reason to skip."""
SMALL = ("--object-store-memory", str(80 * 2**20), "--disable-usage-stats", "--block")
LOOK = """
import json, sys, time, ray
from ray import serve
# By the head's address: a driver that hangs on a raylet that is killed sees nothing more.
ray.init(address=sys.argv[1], log_to_driver=False, _node_ip_address="127.0.0.1")
while True:
    app = serve.status().applications.get("mlops")
    known = app.deployments.items() if app else ()
    found = {n: {str(getattr(s, "value", s)): c for s, c in d.replica_states.items()} for n, d in known}
    print(json.dumps(found), flush=True)
    time.sleep(0.25)
"""


DEPLOY = """
import sys, json, ray
from pathlib import Path
from mlops_assets.serving.configuration import read_config
from mlops_assets.serving.ray_cluster import deploy
from mlops_assets.serving.ray_scale import scale_of
ray.init(address=sys.argv[1], log_to_driver=False)
deploy(read_config(Path(sys.argv[2])), scale_of(json.loads(sys.argv[3])))
"""


def installed() -> None:
    """Skip the test without Ray's environment, or fail it where it is required."""
    if not (BIN / "ray").exists():
        told = "Ray's environment is not here: make setup-ray"
        if os.environ.get(REQUIRED):
            pytest.fail(told)
        pytest.skip(told)


def plain_environment(folder: Path) -> dict[str, str]:
    """Nothing of ours, and this checkout's code."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


class RayNodes:
    """A head that computes nothing, and workers."""

    def __init__(self, folder: Path, told: Mapping[str, str]) -> None:
        """``told`` is what the processes find in their environment, as the raylets of a deployment would."""
        self.address = f"127.0.0.1:{free_port()}"
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text("0123456789abcdef" * 4)
        self._folder = folder
        self.told = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
        }
        self.told |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
        pushed = (
            "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S",
            "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S",
        )
        self.told |= dict.fromkeys(pushed, "1") | dict(told)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._nodes = 0
        self.seen: dict[str, dict[str, int]] = {}
        self.most_running = 0

    def start(self, workers: int) -> None:
        """The head, the workers, and somebody who looks at the replicas."""
        port = self.address.rpartition(":")[2]
        self._ray("--head", "--port", port, "--num-cpus", "0", "--include-dashboard", "false")
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        """One more raylet."""
        self._ray("--address", self.address, "--num-cpus", "2")

    def _ray(self, *words: str) -> None:
        """One after the other: two that start together may choose the same ports."""
        # An address for each: who joins from this machine joins by it, and must not hang on a raylet that is killed.
        self._nodes += 1
        log = self._folder / f"ray-{self._nodes}.log"
        command = [BIN / "ray", "start", "--node-ip-address", f"127.0.0.{self._nodes}", *words, *SMALL]
        with log.open("wb") as out:
            made = subprocess.Popen(command, env=self.told, cwd="/", stdout=out, stderr=out)
        self._processes.append(made)
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            assert made.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)

    def deploy(self, *words: str, **scale: object) -> None:
        """``mlops serve --on ray`` on it."""
        fields = [word for name, value in scale.items() for word in ("--scale", f"{name}={value}")]
        command = [BIN / "mlops", "serve", "--on", "ray", "--ray-address", self.address, *fields, *words]
        done = subprocess.run(command, env=self.told, cwd="/", capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    def look(self) -> None:
        """From now on ``seen`` tells the replicas of each deployment."""
        python = [BIN / "python", "-c", LOOK, self.address]
        watcher = subprocess.Popen(
            python, env=self.told, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._processes.append(watcher)

        def read() -> None:
            for line in watcher.stdout or ():
                self.seen = json.loads(line)
                self.most_running = max(self.most_running, self.running)

        threading.Thread(target=read, daemon=True).start()

    @property
    def running(self) -> int:
        """Replicas that run now."""
        return self.seen.get("model-server", {}).get("RUNNING", 0)

    def wait_for(self, what: Callable[[], bool], seconds: float, told: str) -> float:
        """Seconds until it held."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, f"{told}: {self.seen}"
            time.sleep(0.05)
        return time.monotonic() - began

    def kill_worker(self) -> list[str]:
        """SIGKILL for the raylet of the last worker, and for whatever it started; what these processes were."""
        starter = psutil.Process(self._processes[2].pid)
        mine = starter.children(recursive=True)
        names = [" ".join(process.cmdline()) for process in mine]
        for process in (starter, *mine):
            process.kill()
        return names

    def deploy_models(self, config: ServerConfig, **scale: object) -> None:
        """The application of a configuration of the test's own."""
        file = self._folder / "config.json"
        file.write_bytes(msgspec.json.encode(config))
        command = [BIN / "python", "-c", DEPLOY, self.address, str(file), json.dumps(scale)]
        done = subprocess.run(command, env=self.told, cwd="/", capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    def connects_with(self, token: str) -> bool:
        """Whether Ray lets in who shows that token."""
        file = self._folder / "another-token"
        file.write_text(token)
        code = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False); print(len(ray.nodes()))"
        told = {**self.told, "RAY_AUTH_TOKEN_PATH": str(file)}
        command = [BIN / "python", "-c", code, self.address]
        return subprocess.run(command, env=told, cwd="/", capture_output=True, timeout=90, check=False).returncode == 0

    def stop(self) -> None:
        """End the processes that were started here, and theirs."""
        alive = [psutil.Process(process.pid) for process in self._processes if process.poll() is None]
        for process in [below for each in alive for below in each.children(recursive=True)] + alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self._processes:
            started.wait(10)


class Callers:
    """Threads that ask as fast as they are answered; who is not answered may ask once more."""

    def __init__(self, url: str, flight: Callable[..., dict], threads: int, pause_s: float = 0.0) -> None:
        self.acknowledged: list[dict] = []
        self.failures: list[str] = []
        self.again: list[str] = []
        self.slowest_s = 0.0
        self._url, self._flight, self._pause_s = url, flight, pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        endpoint, count, mine = HttpEndpoint(self._url), 0, f"{time.monotonic_ns()}-{number}"
        while not self._stop.is_set():
            count += 1
            row = self._flight(count, request_id=f"{mine}-{count}")
            began = time.perf_counter()
            for attempt in (1, 2):
                try:
                    self.acknowledged += endpoint.predict(MODEL, [row])
                    break
                except (EndpointDown, EndpointRefused) as error:
                    (self.again if attempt == 1 else self.failures).append(f"{type(error).__name__}: {error}")
                    time.sleep(0.5)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
            time.sleep(self._pause_s)
