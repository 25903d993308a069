"""A Redis server of one's own: Debian's redis-server on a free port of this machine, with nothing on disk.

Belongs here: starting and ending it (also as fixtures, which conftest.py gives to all tests), and what happens where it
is not installed. Does not: assertions.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = "MLOPS_TESTS_REQUIRE_REDIS"
"""CI sets it: there, a missing server is a failure and no reason to skip."""


def installed() -> str:
    """The program. Skips the test without it, or fails it where it is required."""
    program = shutil.which("redis-server")
    if program is None:
        told = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get(REQUIRED):
            pytest.fail(told)
        pytest.skip(told)
    return program


@contextlib.contextmanager
def running(folder: Path, port: int | None = None) -> Iterator[str]:
    """A server, with its address; ``port`` starts one where another was."""
    chosen = port or free_port()
    switches = (
        "--bind",
        "127.0.0.1",
        "--port",
        str(chosen),
        "--save",
        "",
        "--appendonly",
        "no",
        "--databases",
        "64",
        "--dir",
        str(folder),
    )
    process = subprocess.Popen([installed(), *switches], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        _wait(chosen, process)
        yield f"redis://127.0.0.1:{chosen}/0"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as talk:
            talk.sendall(b"PING\r\n")
            if talk.recv(16).startswith(b"+PONG"):
                return
        assert process.poll() is None, "redis-server ended at its start"
        time.sleep(0.05)
    raise AssertionError("redis-server does not answer")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that lives as long as the tests do."""
    with running(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def redis_address(redis_server: str) -> str:
    """Address of an empty database."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushdb()
    return redis_server
