"""The servers that are measured, each with an environment of its own: how it starts, is asked, and answers.

Here: ``peers`` and ``running``. Belongs here: what a server needs to serve the model as its manual says, with one
worker. Does not: load (``benchmarks.serving_load``), figures (``benchmarks.serving``).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import BenchmarkFailed
from benchmarks.serving_load import SERVER_CORE

HERE = Path(__file__).resolve().parent / "peers"
START_S = 90.0
Rows = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Peer:
    """One server."""

    name: str
    packages: tuple[str, ...]
    """Of its environment; none: this project's."""
    command: Callable[[Path, int], Sequence[str]]
    """From the folder of its environment's programs and a port to what starts it."""
    route: str
    body: Callable[[Rows], Mapping[str, Any]]
    scores: Callable[[Any], Sequence[float]]
    """From an answer to its scores."""
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], Sequence[str]] | None = None
    """A command to run once, before the first start."""


def _plain(rows: Rows) -> Mapping[str, Any]:
    return {"rows": rows}


def _split(names: Sequence[str]) -> Callable[[Rows], Mapping[str, Any]]:
    return lambda rows: {"dataframe_split": {"columns": names, "data": rows}}


def _tensor(rows: Rows) -> Mapping[str, Any]:
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "rows", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}]}


def peers(work: Path, model: Path, names: Sequence[str]) -> list[Peer]:
    """All of them, to serve the model's text file; ``work`` is for their files."""
    lightgbm = "lightgbm==4.7.0"
    env = {"MODEL": str(model), "PYTHONPATH": str(HERE)}
    mlserver = work / "mlserver-model"
    mlserver.mkdir(parents=True, exist_ok=True)
    told = {"name": "model", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": str(model)}}
    (mlserver / "model-settings.json").write_text(json.dumps(told))
    saved, rows = work / "mlflow-model", model.parents[1] / "rows.json"
    ray_ha = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
    ray = {**env, "RAY_USAGE_STATS_ENABLED": "0"}

    def ray_command(bin: Path, port: int) -> Sequence[str]:
        return [str(bin / "python"), str(HERE / "ray_app.py")]

    return [
        Peer(
            "mlflow models serve", ("mlflow==3.17.2", lightgbm, "pandas<3"),
            lambda bin, port: [
                str(bin / "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local",
                "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            ],
            "/invocations", _split(names), lambda told: told["predictions"],
            prepare=lambda bin: () if saved.exists() else
            (str(bin / "python"), str(HERE / "mlflow_model.py"), str(model), str(rows), str(saved)),
        ),
        Peer(
            "MLServer", ("mlserver==1.7.1", "mlserver-lightgbm==1.7.1", lightgbm),
            lambda bin, port: [str(bin / "mlserver"), "start", str(mlserver)],
            "/v2/models/model/infer", _tensor, lambda told: told["outputs"][0]["data"],
            {"MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_HOST": "127.0.0.1"},
        ),
        Peer(
            "BentoML", ("bentoml==1.4.39", lightgbm),
            lambda bin, port: [
                str(bin / "bentoml"), "serve", "bento_service:Model", "--host", "127.0.0.1", "--port", str(port)
            ],
            "/predict", _plain, lambda told: told, {**env, "BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            "LitServe", ("litserve==0.2.19", lightgbm),
            lambda bin, port: [str(bin / "python"), str(HERE / "lit_server.py")],
            "/predict", _plain, lambda told: told, env,
        ),
        Peer("Ray Serve", ("ray[serve]==2.60.0", lightgbm), ray_command, "/predict", _plain, lambda told: told, ray),
        Peer(
            "Ray Serve, HAProxy", ("ray[serve]==2.60.0", lightgbm), ray_command, "/predict", _plain,
            lambda told: told, {**ray, **ray_ha},
        ),
        Peer(
            "FastAPI", ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", lightgbm),
            lambda bin, port: [
                str(bin / "python"), "-m", "uvicorn", "fast_app:app", "--host", "127.0.0.1", "--port", str(port),
                "--log-level", "warning", "--no-access-log",
            ],
            "/predict", _plain, lambda told: told, env,
        ),
    ]  # fmt: skip


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """The programs of an environment with these packages, made when it is not there yet."""
    programs = folder / "bin"
    if not (folder / "ready").exists():
        print(f"installing {', '.join(packages)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(install, check=True)
        (folder / "ready").touch()
    return programs


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    start_s: float
    """From its start to its first answer."""
    pid: int

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process and its children."""
        process = psutil.Process(self.pid)
        return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


@contextmanager
def running(peer: Peer, envs: Path, work: Path, rows: Rows) -> Iterator[Running]:
    """The peer, on the server's processor. Raises BenchmarkFailed when it does not answer."""
    programs = environment(envs / "-".join(peer.packages).replace("/", "_"), peer.packages)
    port = free_port()
    ports = {"PORT": port, "MLSERVER_HTTP_PORT": port, "MLSERVER_GRPC_PORT": free_port()}
    ports["MLSERVER_METRICS_PORT"] = free_port()
    env = {**os.environ, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in ports.items()}, **peer.env}
    env["PATH"] = f"{programs}:{env['PATH']}"
    if peer.prepare and (command := peer.prepare(programs)):
        subprocess.run(command, check=True, env=env, cwd=work, capture_output=True)
    log = work / f"{peer.name}.log"
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *peer.command(programs, port)],
            env=env, cwd=work, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                ask(url, peer, rows[:1])
                break
            except (OSError, KeyError, ValueError):
                if time.monotonic() - began > START_S or process.poll() is not None:
                    raise BenchmarkFailed(f"{peer.name} does not answer:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.1)
        yield Running(url, time.monotonic() - began, process.pid)
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                wait_for(process)


def wait_for(process: "subprocess.Popen[bytes]", patience_s: float = 15.0) -> None:
    """Wait for its end, for a while."""
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        return


def ask(url: str, peer: Peer, rows: Rows) -> Sequence[float]:
    """The scores of rows."""
    request = urllib.request.Request(f"{url}{peer.route}", json.dumps(peer.body(rows)).encode())
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return peer.scores(json.load(answer))
