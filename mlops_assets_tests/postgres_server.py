"""A Postgres server of one's own: Debian's postgresql on a free port of this machine, in a folder that goes with it.

Belongs here: starting, ending and killing it (also as fixtures, which conftest.py gives to all tests), and what happens
where it is not installed. Does not: assertions.

Postgres refuses to be root, so there it becomes nobody.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from mlops_assets_tests.redis_server import free_port

REQUIRED = "MLOPS_TESTS_REQUIRE_POSTGRES"
"""CI sets it: there, a missing server is a failure and no reason to skip."""
NOBODY = 65534


def installed(program: str) -> str:
    """One of its programs. Skips the test without it, or fails it where it is required."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    found = str(debian[-1]) if debian else shutil.which(program)
    if found is None:
        told = f"{program} is not installed: apt-get install postgresql"
        if os.environ.get(REQUIRED):
            pytest.fail(told)
        pytest.skip(told)
    return found


class PostgresServer:
    """One server; ``start`` and ``stop`` may alternate, its data stays until the folder goes."""

    def __init__(self, folder: Path) -> None:
        """Make an empty cluster in a folder that nobody may enter."""
        self.port = free_port()
        self.address = f"postgresql://tester:not-a-secret@127.0.0.1:{self.port}/postgres"
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.getuid() == 0 else {}
        word = folder / "word"
        word.write_text("not-a-secret")
        if self._user:
            os.chown(folder, NOBODY, NOBODY)
            os.chown(word, NOBODY, NOBODY)
        switches = ("-D", str(self._data), "-U", "tester", "--pwfile", str(word), "--auth", "scram-sha-256")
        command = [installed("initdb"), *switches, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **self._user)

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = ("-D", str(self._data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1")
        switches = (*where, "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB", "-c", "max_connections=40")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([installed("postgres"), *switches], cwd="/", **quiet, **self._user)
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.address, connect_timeout=2):
                return
            assert self._process.poll() is None, "postgres ended at its start"
            time.sleep(0.05)
        raise AssertionError("postgres does not answer")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks connections and writes everything down, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def empty(self) -> None:
        """Drop what the log made."""
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS mlops_traffic, mlops_traffic_columns")
            connection.execute("DROP SEQUENCE IF EXISTS mlops_traffic_batches")


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """A server of its own. Its folder lies in /tmp, for nobody may not enter the folders of root's tests."""
    installed("postgres")
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that lives as long as the tests do."""
    with running() as server:
        yield server


@pytest.fixture
def postgres_address(postgres_server: PostgresServer) -> str:
    """Address of a database without a log."""
    postgres_server.empty()
    return postgres_server.address
