"""One Dagster for a state: who runs keeps others out, who was killed does not."""

import os
import subprocess
import sys

import psutil
import pytest

from mlops_assets.adapters import processes
from mlops_assets.adapters.dagster_process import DagsterRuns, claim_dagster, running_dagster
from mlops_assets.adapters.settings import Settings

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(state=tmp_path / "state")


@pytest.fixture
def start():
    started = []

    def popen(*words: str, **env: str) -> subprocess.Popen:
        started.append(subprocess.Popen([*SLEEP, *words], env={**os.environ, **env}))
        return started[-1]

    yield popen
    for process in started:
        process.kill()
        process.wait()


def remember(settings: Settings, process: subprocess.Popen) -> None:
    processes.write_record(settings.state / "services" / "dagster.json", processes.record_of(process.pid))


def test_whoever_claims_is_found(settings):
    assert running_dagster(settings) is None
    claim_dagster(settings)
    claim_dagster(settings)
    record = running_dagster(settings)
    assert record
    assert record.pid == os.getpid()


@pytest.mark.integration
def test_a_second_one_is_refused_until_the_first_was_killed(settings, start):
    first = start()
    remember(settings, first)
    with pytest.raises(DagsterRuns, match=rf"{settings.state}, as process {first.pid}.*MLOPS_STATE"):
        claim_dagster(settings)
    first.kill()
    first.wait()
    claim_dagster(settings)
    record = running_dagster(settings)
    assert record
    assert record.pid == os.getpid()


@pytest.mark.integration
def test_what_a_killed_dagster_left_running_is_ended_and_nothing_else(settings, start):
    orphan = start("--shutdown-pipe", "7", DAGSTER_HOME=str(settings.dagster))
    others = [start("--shutdown-pipe", "7", DAGSTER_HOME="/elsewhere"), start(DAGSTER_HOME=str(settings.dagster))]
    for process in (orphan, *others):
        # The kernel tells no command line while a process begins.
        while "-c" not in processes.command_line(psutil.Process(process.pid)):
            pass
    claim_dagster(settings)
    assert orphan.poll() is not None or not psutil.pid_exists(orphan.pid)
    assert [process.poll() for process in others] == [None, None]
