"""The embedded services of one machine: the registry (an MLflow server) and the model server, started when missing.

Here: ``ensure_services``, ``stop_services``, ``services_status``, ``refuse_anothers``, and the watcher that ends them
with their owner. Belongs here: processes that the project starts for a laptop. Does not: their commands
(``adapters.embedded``), what they do; services of somebody else's (set MLOPS_START_SERVICES=0 and their addresses).

Everything lies under ``<state>/services``: one record and one log for each process, one file for each owner.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.adapters import processes
from mlops_assets.adapters.embedded import LOOPBACK, Service, embedded_services, environment_of
from mlops_assets.adapters.health import asked
from mlops_assets.adapters.locks import locked
from mlops_assets.adapters.settings import Settings

TIMEOUT_SECONDS = 180.0
"""An MLflow server answers 8 s after its start on two quiet cores, and later on busy ones."""
POLL_SECONDS = 0.1
WATCH_SECONDS = 1.0
LOG_TAIL_LINES = 15
KEPT = "kept"
"""Name of the owner that never goes: services that were started without one."""
OWNERS = (*processes.DAGSTER, "mlops")


class ServiceFailed(RuntimeError):
    """A service could not be started. Carries the end of its log."""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """How a service is."""

    name: str
    url: str
    pid: int | None
    """None when this module did not start it, or it is gone."""
    answers: bool
    log: Path


def ensure_services(
    settings: Settings, until_pid: int | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[str]:
    """Start the services that do not answer and wait until they do; the names of those that were started.

    ``until_pid`` is their owner: when all owners are gone, the services end by themselves. Without one they stay until
    ``stop_services``. Nothing happens when the settings say that services are somebody else's business. Raises
    ServiceFailed with the end of the log.
    """
    if not settings.start_services:
        return []
    folder = _folder(settings)
    with locked(folder / "lock"):
        _own(settings, until_pid)
        started = [service for service in embedded_services(settings) if _start(settings, service)]
        if until_pid is not None:
            _start_watcher(settings)
        deadline = time.monotonic() + timeout_seconds
        for service in embedded_services(settings):
            _wait(settings, service, deadline)
    return [service.name for service in started]


def stop_services(settings: Settings) -> list[str]:
    """End the services that this module started for these settings, and no others; their names."""
    folder = _folder(settings)
    with locked(folder / "lock"):
        return _stop(settings)


def services_status(settings: Settings) -> list[ServiceStatus]:
    """How each service is now."""
    return [
        ServiceStatus(
            name=service.name,
            url=service.url,
            pid=running.pid if (running := processes.running(_folder(settings) / f"{service.name}.json")) else None,
            answers=answers(service),
            log=_log(settings, service),
        )
        for service in embedded_services(settings)
    ]


def answers(service: Service) -> bool:
    """True when the service says that it is well."""
    import httpx

    try:
        return asked(f"{service.url.rstrip('/')}{service.health}", 2.0, service.certificate).is_success
    except httpx.HTTPError:
        return False


def owning_process() -> int:
    """Pid of the outermost ``dagster`` or ``mlops`` command that this process works for, or its own."""
    return processes.outermost(OWNERS)


def _start(settings: Settings, service: Service) -> bool:
    record = _folder(settings) / f"{service.name}.json"
    if processes.running(record):
        return False
    if answers(service):
        _refuse_anothers(settings, service)
        return False
    if urlsplit(service.url).hostname not in LOOPBACK:
        raise ServiceFailed(f"the {service.name} at {service.url} does not answer, and is not of this machine")
    processes.write_record(record, processes.spawn(service.command, _log(settings, service), _folder(settings)))
    return True


def _start_watcher(settings: Settings) -> None:
    folder = _folder(settings)
    ours = any(processes.running(folder / f"{service.name}.json") for service in embedded_services(settings))
    if ours and processes.running(folder / "watcher.json") is None:
        command = (*environment_of(settings), sys.executable, "-m", "mlops_assets.adapters.services", "--watch")
        processes.write_record(folder / "watcher.json", processes.spawn(command, folder / "watcher.log", folder))


def refuse_anothers(settings: Settings) -> None:
    """Raise ServiceFailed when a service at this deployment's addresses was started for another state folder.

    Services that are somebody else's business (MLOPS_START_SERVICES=0) may be shared, and are never refused.
    """
    for service in embedded_services(settings) if settings.start_services else ():
        _refuse_anothers(settings, service)


def _refuse_anothers(settings: Settings, service: Service) -> None:
    import psutil

    process = processes.listener(urlsplit(service.url).port or 80)
    state = None
    if process:
        with contextlib.suppress(psutil.Error):
            state = process.environ().get("MLOPS_STATE")
    if state and Path(state) != settings.state:
        raise ServiceFailed(
            f"at {service.url} answers the {service.name} of another folder, {state}: stop it there (`mlops stop`), "
            f"or set MLOPS_{'REGISTRY_URI' if service.name == 'registry' else 'ENDPOINT_URL'} to another port"
        )


def _wait(settings: Settings, service: Service, deadline: float) -> None:
    record = _folder(settings) / f"{service.name}.json"
    while not answers(service):
        if processes.running(record) is None:
            raise ServiceFailed(f"the {service.name} ended at its start:\n{_tail(_log(settings, service))}")
        if time.monotonic() > deadline:
            tail = _tail(_log(settings, service))
            raise ServiceFailed(f"the {service.name} at {service.url} does not answer in time:\n{tail}")
        time.sleep(POLL_SECONDS)


def _stop(settings: Settings) -> list[str]:
    folder = _folder(settings)
    stopped = []
    for service in reversed(embedded_services(settings)):
        record = processes.read_record(folder / f"{service.name}.json")
        if record and processes.end(record, service.marks):
            stopped.append(service.name)
        (folder / f"{service.name}.json").unlink(missing_ok=True)
    watcher = processes.read_record(folder / "watcher.json")
    if watcher and watcher.pid != os.getpid():
        processes.end(watcher, ("mlops_assets.adapters.services", "--watch"))
    for file in (folder / "watcher.json", *(folder / "owners").glob("*")):
        file.unlink(missing_ok=True)
    return stopped


def _own(settings: Settings, pid: int | None) -> None:
    owners = _folder(settings) / "owners"
    if pid is None:
        owners.mkdir(parents=True, exist_ok=True)
        (owners / KEPT).touch()
    else:
        processes.write_record(owners / f"{pid}.json", processes.record_of(pid))


def _owned(settings: Settings) -> bool:
    """True while an owner runs; those that are gone are forgotten, or every run would leave a file."""
    owners = _folder(settings) / "owners"
    gone = [file for file in owners.glob("*.json") if processes.running(file) is None]
    for file in gone:
        file.unlink(missing_ok=True)
    return (owners / KEPT).exists() or any(owners.glob("*.json"))


def watch(settings: Settings) -> None:
    """End the services once nobody owns them any more; returns when that is done."""
    while True:
        time.sleep(WATCH_SECONDS)
        if _owned(settings):
            continue
        with locked(_folder(settings) / "lock"):
            if not _owned(settings):
                _stop(settings)
                return


def _folder(settings: Settings) -> Path:
    return settings.state / "services"


def _log(settings: Settings, service: Service) -> Path:
    return _folder(settings) / f"{service.name}.log"


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]) if log.exists() else "(no log)"


def main(arguments: Sequence[str]) -> None:
    """``python -m mlops_assets.adapters.services --watch``: the watcher of these settings' services."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--watch", action="store_true", required=True)
    parser.parse_args(arguments)
    watch(Settings.from_environment())


if __name__ == "__main__":
    main(sys.argv[1:])
