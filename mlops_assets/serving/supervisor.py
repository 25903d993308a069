"""Keeps the workers, their front and the reconciler alive, and holds the listening socket for them.

Here: ``serve``, the server as a whole. Belongs here: which processes there are. Does not: what the children do, keeping
one of them alive (``serving.children``).

The socket belongs to the supervisor, so while a dead worker is being replaced, callers wait in the queue of the socket
instead of being turned away. One server per folder: a lock on the pid file says so.

One worker speaks HTTP itself. Several stand behind a front, and a child that listens says now and again that it lives:
one that stops saying so is killed and replaced. The workers behind a front are watched by it.
"""

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from mlops_assets.adapters.settings import Settings
from mlops_assets.contracts import UseCase
from mlops_assets.serving.children import CHECK_S, Child
from mlops_assets.serving.configuration import ServerConfig, configure, refused
from mlops_assets.serving.desired import replace_file
from mlops_assets.serving.frames import BEHIND, listen_in

LOG = logging.getLogger(__name__)
BIND_PATIENCE_S = 1.5
"""The children of a killed supervisor notice within half a second and let the socket go."""
CANNOT_START = 2


def serve(settings: Settings, use_cases: Sequence[UseCase]) -> int:
    """Run the model server in the foreground until SIGTERM or SIGINT. Returns the exit code.

    2 when the settings allow no server, the address is taken, or another server runs on the same folder.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s server %(levelname)s %(message)s")
    try:
        config = configure(settings, use_cases)
    except ValueError as error:
        LOG.error("the server does not start: %s", error)
        return CANNOT_START
    return supervise(config)


def supervise(config: ServerConfig) -> int:
    """The same, of a configuration. Must run in the main thread."""
    if (why := refused(config)) is not None:
        LOG.error("the server does not start: %s", why)
        return CANNOT_START
    config.home.mkdir(parents=True, exist_ok=True)
    with (config.home / "server.pid").open("a+") as pid_file:
        if not _take(pid_file):
            LOG.error("another model server runs on %s: `mlops stop` ends it, or set MLOPS_STATE", config.home)
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
    meeting = listen_in(config.home) if config.workers > 1 else None
    listeners, others = _children(config, str(file), listening, meeting)
    children = [*listeners, *others]
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    LOG.info("listening on %s://%s:%d", "https" if config.tls_certificate else "http", config.host, config.port)
    try:
        while not stop.wait(CHECK_S):
            for child in children:
                child.keep()
    finally:
        # What a front was asked is answered by its workers: they end after it.
        for together in (listeners, others):
            for child in together:
                child.end()
            for child in together:
                child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
        if meeting is not None:
            meeting.close()


def _children(
    config: ServerConfig, file: str, listening: socket.socket, meeting: socket.socket | None
) -> tuple[list[Child], list[Child]]:
    """Who listens to callers, and who does not."""
    sockets = [listening] if meeting is None else [listening, meeting]
    numbers = [held.fileno() for held in sockets]
    who = "worker" if meeting is None else "front"
    listener = Child(f"mlops_assets.serving.{who}", [file, *map(str, numbers)], numbers, tells=True)
    others = [Child("mlops_assets.serving.reconciler", [file])]
    if meeting is not None:
        others += [Child("mlops_assets.serving.worker", [file, BEHIND, str(k)]) for k in range(config.workers)]
    return [listener], others


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
