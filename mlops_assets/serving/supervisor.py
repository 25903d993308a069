"""Keeps the worker and the reconciler alive, and holds the listening socket for them.

Here: ``serve``, the server as a whole. Belongs here: processes and signals. Does not: what the children do.

The socket belongs to the supervisor, so while a dead worker is being replaced, callers wait in the queue of the socket
instead of being turned away. One server per folder: a lock on the pid file says so.
"""

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from mlops_assets.adapters.settings import Settings
from mlops_assets.contracts import UseCase
from mlops_assets.serving.configuration import ServerConfig, configure, refused
from mlops_assets.serving.desired import replace_file

LOG = logging.getLogger(__name__)
CHECK_S = 0.05
LONGEST_WAIT_S = 5.0
"""Before a child that keeps dying is started again; starts at nothing and doubles from 0.1 s."""
STEADY_S = 10.0
"""A child that lived this long is forgiven its earlier deaths."""
GRACE_S = 10.0
BIND_PATIENCE_S = 1.5
"""The children of a killed supervisor notice within half a second and let the socket go."""
CANNOT_START = 2


def serve(settings: Settings, use_cases: Sequence[UseCase]) -> int:
    """Run the model server in the foreground until SIGTERM or SIGINT. Returns the exit code.

    2 when the address is taken or another server runs on the same folder.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s server %(levelname)s %(message)s")
    return supervise(configure(settings, use_cases))


def supervise(config: ServerConfig) -> int:
    """The same, of a configuration. Must run in the main thread."""
    if (why := refused(config)) is not None:
        LOG.error("the server does not start: %s", why)
        return CANNOT_START
    config.home.mkdir(parents=True, exist_ok=True)
    with (config.home / "server.pid").open("a+") as pid_file:
        if not _take(pid_file):
            LOG.error("another model server runs on %s", config.home)
            return CANNOT_START
        try:
            listening = bind(config.host, config.port)
        except OSError as error:
            LOG.error("cannot listen on %s:%d: %s", config.host, config.port, error)
            return CANNOT_START
        with listening:
            _run(config, listening)
        pid_file.truncate(0)
    return 0


def _take(pid_file: IO[str]) -> bool:
    try:
        fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    pid_file.truncate(0)
    pid_file.write(f"{os.getpid()}\n")
    pid_file.flush()
    return True


def bind(host: str, port: int, patience_s: float = BIND_PATIENCE_S) -> socket.socket:
    """A listening socket. Raises OSError when the address stays taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + patience_s
    while True:
        try:
            listening.bind((host, port))
            listening.listen(1024)
            return listening
        except OSError:
            if time.monotonic() >= deadline:
                listening.close()
                raise
            time.sleep(CHECK_S)


def _run(config: ServerConfig, listening: socket.socket) -> None:
    file = config.home / "server.json"
    replace_file(file, msgspec.json.format(msgspec.json.encode(config)))
    descriptor = listening.fileno()
    children = [
        Child("mlops_assets.serving.worker", [str(file), str(descriptor)], (descriptor,)),
        Child("mlops_assets.serving.reconciler", [str(file)]),
    ]
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    LOG.info("listening on %s://%s:%d", "https" if config.tls_certificate else "http", config.host, config.port)
    try:
        while not stop.wait(CHECK_S):
            for child in children:
                child.keep()
    finally:
        for child in children:
            child.end()
        for child in children:
            child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


class Child:
    """A process that is started again when it dies, sooner at first and later when it keeps dying."""

    def __init__(self, module: str, arguments: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        """Name the child; ``keep`` starts it."""
        self._command = [sys.executable, "-m", module, *arguments]
        self._name = module.rpartition(".")[2]
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._wait_s = 0.0
        self._due = 0.0

    def keep(self) -> None:
        """Start the process when there is none and its time has come."""
        if self._process is not None and self._process.poll() is not None:
            self._bury(self._process.returncode)
        if self._process is None and time.monotonic() >= self._due:
            self._process = subprocess.Popen(self._command, pass_fds=self._descriptors, start_new_session=True)
            self._started_at = time.monotonic()
            LOG.info("%s started, pid %d", self._name, self._process.pid)

    def _bury(self, code: int) -> None:
        lived_s = time.monotonic() - self._started_at
        self._process = None
        self._due = time.monotonic() + (0.0 if lived_s >= STEADY_S else self._wait_s)
        self._wait_s = 0.1 if lived_s >= STEADY_S else min(max(0.1, 2 * self._wait_s), LONGEST_WAIT_S)
        LOG.warning("%s ended with code %d after %.1f s: starting it again", self._name, code, lived_s)

    def end(self) -> None:
        """Ask the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until it has ended; kill it when it does not."""
        if self._process is None:
            return
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def server_pid(folder: Path) -> int | None:
    """The pid of the server that runs on a folder, or None when none does."""
    try:
        with (folder / "server.pid").open("r+") as pid_file:
            try:
                fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid_file.seek(0)
                return int(pid_file.read().strip() or 0) or None
    except FileNotFoundError:
        return None
    return None
