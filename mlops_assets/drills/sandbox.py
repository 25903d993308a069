"""A place of its own for one drill: a copy of a state, addresses that nobody uses, and the environment that says so.

Here: ``Sandbox`` and making one. Belongs here: what keeps a drill apart from the system that it was copied from. Does
not: copying (``drills.state_copy``), what lives in it (``drills.system``).

A drill runs in a process of its own, whose environment names the sandbox and nothing of the original: no address that
people are told at, no production, no remote. So nothing that a drill breaks can reach anything else.
"""

import datetime as dt
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.adapters.settings import FORMS, Settings
from mlops_assets.demo.sample import free_ports

FOLDER = "drills"
"""Inside the state folder: what drills leave behind; never copied."""
NEVER_HOURS = 24 * 365 * 100
"""The days of a copy landed when they did, in the original: that none came since is no silence."""
POST_MORTEM, FACTS = "post-mortem.md", "facts.json"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A folder, and the settings of the deployment in it."""

    folder: Path
    settings: Settings

    def environment(self, **more: str) -> tuple[str, ...]:
        """The words in front of a command that make it the sandbox's own."""
        return ("env", *_unset(), *(f"{name}={value}" for name, value in {**_told(self.settings), **more}.items()))

    def command(self, module: str, *words: str, **more: str) -> tuple[str, ...]:
        """A module of the project as a command in the sandbox."""
        return (*self.environment(**more), sys.executable, "-m", module, *words)


def new_folder(drills: Path, name: str) -> Path:
    """A folder for one drill, named by the instant."""
    return drills / f"{name}-{dt.datetime.now(dt.UTC).strftime('%Y%m%d-%H%M%S')}"


def sandbox_in(folder: Path, original: Settings) -> Sandbox:
    """A sandbox for a copy of the original's state, with its facts and with addresses of its own."""
    registry, endpoint, ui = (f"http://127.0.0.1:{port}" for port in free_ports(3))
    own = replace(
        original,
        state=(folder / "state").absolute(),
        registry_uri=registry,
        endpoint_url=endpoint,
        ui_url=ui,
        tables_folder=None,
        online_store="",
        traffic_log="",
        data_remote=None,
        production_uri=None,
        openlineage="",
        alert_addresses=(),
        predict_token=None,
        admin_token=None,
        tls_certificate=None,
        tls_key=None,
        feed_until=None,
        start_services=True,
        sensor_seconds=1,
        landing_hours=NEVER_HOURS,
    )
    return Sandbox(folder=folder, settings=own)


def _unset() -> tuple[str, ...]:
    """Nothing of whoever starts a drill comes through."""
    names = (*(f"MLOPS_{name.upper()}" for name in FORMS), "MLOPS_TABLES", "DAGSTER_HOME")
    return tuple(f"--unset={name}" for name in names)


def _told(settings: Settings) -> dict[str, str]:
    """The environment that reads back as these settings."""
    told = {
        "STATE": settings.state,
        "REGISTRY_URI": settings.registry_uri,
        "ENDPOINT_URL": settings.endpoint_url,
        "UI_URL": settings.ui_url,
        "START_SERVICES": int(settings.start_services),
        "SENSOR_SECONDS": settings.sensor_seconds,
        "FEED_FROM": settings.feed_from,
        "LIVE_FROM": settings.live_from,
        "FEED_UNTIL": settings.feed_until,
        "RETENTION_HOURS": settings.retention_hours,
        "LANDING_HOURS": settings.landing_hours,
        "SAMPLE": int(settings.sample),
        "SEGMENTS": ",".join(map(":".join, settings.segments)),
        "REGISTRY_ENVIRONMENT": settings.registry_environment,
        "SIGNING_KEY": settings.signing_key,
        "VERIFY_KEY": settings.verify_key,
        "TRAFFIC_LOG_MEGABYTES": settings.traffic_log_megabytes,
        "TRAFFIC_LOG_WAIT": int(settings.traffic_log_wait),
        "SERVER_WORKERS": settings.server_workers,
        "COMPILED_TREES": int(settings.compiled_trees),
        "RUNBOOKS": settings.runbooks,
    }
    said = {f"MLOPS_{name}": str(value) for name, value in told.items() if value not in (None, "")}
    return {**said, "DAGSTER_DISABLE_TELEMETRY": "1", "FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore",
            "OMP_WAIT_POLICY": "passive", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}  # fmt: skip
