"""``dagster dev`` as a process of its own, on a folder and on ports of its own, and every process that comes of it.

Here: starting, ending and finding those processes. Belongs here: the surroundings of a live test. Does not: what
happens in them (``story``), questions to the web server (``web_ui``).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets_tests.live.web_ui import WebUi

START_SECONDS = 180
END_SECONDS = 45
LOG_TAIL_LINES = 60


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@dataclass
class Place:
    """A state folder with addresses that nobody else uses, and the environment that says so."""

    folder: Path
    feed_from: str
    live_from: str
    alert_address: str = ""
    _ports: list[int] = field(default_factory=lambda: free_ports(3))

    def __post_init__(self) -> None:
        """Write the dagster.yaml of the repository, with its storage moved into this folder."""
        self.home.mkdir(parents=True)
        shipped = (ROOT / "dagster.yaml").read_text()
        assert "state/dagster" in shipped
        (self.home / "dagster.yaml").write_text(shipped.replace("state/dagster", str(self.state / "dagster")))

    @property
    def home(self) -> Path:
        return self.folder / "dagster_home"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "dagster_dev.log"

    @property
    def settings(self) -> Settings:
        registry, endpoint, ui = (f"http://127.0.0.1:{port}" for port in self._ports)
        return Settings(state=self.state, registry_uri=registry, endpoint_url=endpoint, ui_url=ui)

    def environment(self, feed_until: str = "") -> dict[str, str]:
        """Of this place alone: no setting of whoever runs the test comes through."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "DAGSTER_"))}
        settings = self.settings
        return {
            **outside,
            "MLOPS_STATE": str(settings.state),
            "MLOPS_REGISTRY_URI": settings.registry_uri,
            "MLOPS_ENDPOINT_URL": settings.endpoint_url,
            "MLOPS_UI_URL": settings.ui_url,
            "MLOPS_FEED_FROM": self.feed_from,
            "MLOPS_LIVE_FROM": self.live_from,
            "MLOPS_ALERT_ADDRESSES": self.alert_address,
            **({"MLOPS_FEED_UNTIL": feed_until} if feed_until else {}),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "FEAST_USAGE": "False",
            "PYTHONWARNINGS": "ignore",
        }

    def mlops(self, *words: str) -> str:
        """What the command ``mlops`` prints. Raises AssertionError with its complaint when it fails."""
        command = [str(Path(sys.executable).with_name("mlops")), *words]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-2000:]}"
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """Every process that was told this place's state folder: ours, and nobody else's."""
        return [process for process in psutil.process_iter() if _state_of(process) == str(self.state)]


def _state_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("MLOPS_STATE") if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


class DagsterDev:
    """One ``dagster dev``: started by ``start``, ended as Ctrl-C ends it by ``stop``."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.ui = WebUi(place.settings.ui_url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, feed_until: str) -> float:
        """Start it alone, and wait until its web server answers; the seconds that took."""
        # A shell's background job ignores SIGINT and its children inherit that: nobody could end them with Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        port = self.place.settings.ui_url.rpartition(":")[2]
        words = ["dev", "--workspace", "workspace.yaml", "--host", "127.0.0.1", "--port", port]
        began = time.monotonic()
        with self.place.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dagster", *words],
                cwd=ROOT,
                env=self.place.environment(feed_until),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self.ui.answers():
            assert self._process.poll() is None, f"dagster dev ended at its start\n{self.log_tail()}"
            assert time.monotonic() - began < START_SECONDS, f"dagster dev does not answer\n{self.log_tail()}"
            time.sleep(0.2)
        return time.monotonic() - began

    def stop(self) -> float:
        """Send SIGINT to ``dagster dev`` alone; the seconds until it, its runs and its services were all gone."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(signal.SIGINT)
        while (left := self.place.processes()) and time.monotonic() - began < END_SECONDS:
            self._process.poll()
            time.sleep(0.2)
        assert not left, "still running: " + "; ".join(" ".join(process.cmdline())[:200] for process in left)
        return time.monotonic() - began

    def kill(self) -> None:
        """Whatever happened before: end every process of this place by its pid."""
        for process in self.place.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if self._process is not None:
            self._process.wait(10)

    def log_tail(self) -> str:
        lines = self.place.log.read_text(errors="replace").splitlines() if self.place.log.exists() else []
        return "\n".join(line[:300] for line in lines if " - DEBUG - " not in line)[-LOG_TAIL_LINES * 200 :]
