"""The commands of the embedded services: the registry (an MLflow server) and the model server.

Here: what each is started with. Belongs here: command lines, and the environment that each is given. Does not:
starting and ending them (``adapters.services``).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.adapters.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to run."""

    name: str
    url: str
    health: str
    """Path that answers 200 as soon as the service does."""
    command: tuple[str, ...]
    marks: tuple[str, ...]
    """Words that its command line has and no stranger's does."""
    certificate: Path | None = None
    """Its own, when it speaks TLS."""


def embedded_services(settings: Settings) -> tuple[Service, ...]:
    """The services of a deployment, in the order in which they must start."""
    return (_registry(settings), _endpoint(settings))


def _registry(settings: Settings) -> Service:
    port = urlsplit(settings.registry_uri).port or 80
    database = f"sqlite:///{settings.mlflow}/mlflow.db"
    # Job execution would start eight more processes, whose queue unpickles what it reads.
    switches = ("MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false")
    secrets = ("MLOPS_PREDICT_TOKEN=", "MLOPS_ADMIN_TOKEN=", "MLOPS_TLS_KEY=", "MLOPS_TRAFFIC_LOG=")
    python = (
        *environment_of(settings),
        *secrets,
        *switches,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false",
        sys.executable,
    )
    stores = ("--backend-store-uri", database, "--serve-artifacts")
    stores += ("--artifacts-destination", str(settings.mlflow / "artifacts"))
    # Only these names in the Host header: a web page that points its own name at this machine is turned away.
    address = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    hosts = ("--allowed-hosts", ",".join(f"{name}:{port}" for name in LOOPBACK), "--x-frame-options", "DENY")
    return Service(
        name="registry",
        url=settings.registry_uri,
        health="/health",
        command=(*python, "-m", "mlflow", "server", *stores, *address, *hosts),
        marks=("mlflow", database),
    )


def _endpoint(settings: Settings) -> Service:
    return Service(
        name="endpoint",
        url=settings.endpoint_url,
        health="/live",
        command=(*environment_of(settings), sys.executable, "-m", "mlops_assets.serving"),
        marks=("mlops_assets.serving",),
        certificate=settings.tls_certificate,
    )


def environment_of(settings: Settings) -> tuple[str, ...]:
    """The settings for a child, in its own environment. What only verifies is not given the private key."""
    return (
        "env",
        "--unset=MLOPS_SIGNING_KEY",
        f"MLOPS_STATE={settings.state}",
        f"MLOPS_REGISTRY_URI={settings.registry_uri}",
        f"MLOPS_REGISTRY_ENVIRONMENT={settings.registry_environment}",
        f"MLOPS_ENDPOINT_URL={settings.endpoint_url}",
        f"MLOPS_SEGMENTS={','.join(map(':'.join, settings.segments))}",
        f"MLOPS_ONLINE_STORE={settings.online_store}",
        f"MLOPS_TRAFFIC_LOG_MEGABYTES={settings.traffic_log_megabytes}",
        f"MLOPS_TRAFFIC_LOG_WAIT={int(settings.traffic_log_wait)}",
        f"MLOPS_COMPILED_TREES={int(settings.compiled_trees)}",
        f"MLOPS_SERVER_WORKERS={settings.server_workers}",
        f"MLOPS_VERIFY_KEY={settings.verify_key or ''}",
        f"MLOPS_TLS_CERTIFICATE={settings.tls_certificate or ''}",
        f"MLOPS_TLS_KEY={settings.tls_key or ''}",
        "MLOPS_START_SERVICES=0",
    )
