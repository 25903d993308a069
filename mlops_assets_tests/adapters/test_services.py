"""The embedded services start once, answer, and end with their owner; nobody else's process is touched."""

import dataclasses
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.adapters import services
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.services import ServiceFailed, ensure_services, services_status, stop_services
from mlops_assets.adapters.settings import Settings


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def settings_in(folder: Path) -> Settings:
    registry, endpoint = free_ports(2)
    return Settings(
        state=folder / "state",
        registry_uri=f"http://127.0.0.1:{registry}",
        endpoint_url=f"http://127.0.0.1:{endpoint}",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = settings_in(tmp_path)
    yield settings
    stop_services(settings)


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


def answering(settings: Settings) -> list[bool]:
    return [service.answers for service in services_status(settings)]


@pytest.mark.integration
def test_two_callers_start_each_service_once_and_stop_ends_them(settings: Settings) -> None:
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: ensure_services(settings), range(2)))
    assert sorted(started, key=len) == [[], ["registry", "endpoint"]]
    pids = [service.pid for service in services_status(settings)]
    assert answering(settings) == [True, True]
    assert None not in pids
    assert ensure_services(settings) == []
    assert [service.pid for service in services_status(settings)] == pids
    assert MlflowRegistry(settings.registry_uri).versions("anything") == []
    assert stop_services(settings) == ["endpoint", "registry"]
    assert answering(settings) == [False, False]
    assert stop_services(settings) == []


@pytest.mark.integration
def test_services_end_when_their_last_owner_is_gone(settings: Settings) -> None:
    owners = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"]) for _ in range(2)]
    for owner in owners:
        ensure_services(settings, until_pid=owner.pid)
    owners[0].kill()
    owners[0].wait()
    time.sleep(2.5 * services.WATCH_SECONDS)
    assert answering(settings) == [True, True]
    owners[1].kill()
    owners[1].wait()
    assert eventually(lambda: answering(settings) == [False, False])
    assert eventually(lambda: not (settings.state / "services" / "watcher.json").exists())


@pytest.mark.integration
def test_a_registry_refuses_a_request_under_a_strangers_name(settings: Settings) -> None:
    import httpx

    ensure_services(settings)
    path = f"{settings.registry_uri}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(path).status_code == 200
    assert httpx.get(path, headers={"Host": "stranger.example"}).status_code == 403
    other = dataclasses.replace(settings, state=settings.state.with_name("other"))
    for refused in (ensure_services, services.refuse_anothers):
        with pytest.raises(ServiceFailed, match=f"{settings.state}.*mlops stop"):
            refused(other)
    services.refuse_anothers(dataclasses.replace(other, start_services=False))


@pytest.mark.integration
def test_a_service_that_cannot_start_shows_its_log(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(settings.registry_uri.rpartition(":")[2])))
        taken.listen()
        with pytest.raises(ServiceFailed, match=r"(?s)registry ended at its start.*(already|address) in use"):
            ensure_services(settings)


def test_services_of_others_are_left_to_others(settings: Settings) -> None:
    assert ensure_services(dataclasses.replace(settings, start_services=False)) == []
    assert not settings.state.exists()


def test_a_service_of_another_machine_is_never_started_here(settings: Settings) -> None:
    remote = dataclasses.replace(settings, registry_uri="http://registry.invalid:5757")
    with pytest.raises(ServiceFailed, match="not of this machine"):
        ensure_services(remote)


def test_nothing_runs_at_first(settings: Settings) -> None:
    told = services_status(settings)
    assert [(service.name, service.pid, service.answers) for service in told] == [
        ("registry", None, False),
        ("endpoint", None, False),
    ]
    assert stop_services(settings) == []


def test_a_record_of_a_process_that_is_not_ours_ends_nothing(settings: Settings) -> None:
    from mlops_assets.adapters.processes import record_of, write_record

    record = settings.state / "services" / "registry.json"
    write_record(record, record_of(os.getpid()))
    with pytest.raises(PermissionError, match="not ours"):
        stop_services(settings)
    record.unlink()


def test_every_service_listens_on_loopback_and_is_told_its_folders(settings: Settings) -> None:
    for service in services.embedded_services(settings):
        assert f"MLOPS_STATE={settings.state}" in service.command
        assert "0.0.0.0" not in " ".join(service.command)
        assert all(mark in " ".join(service.command) for mark in service.marks)
