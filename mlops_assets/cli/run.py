"""Commands that start and stop processes: ``up``, ``serve``, ``stop``.

Belongs here: processes for one machine. Does not: what they serve.
"""

import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from mlops_assets.adapters.settings import Settings


@click.command()
@click.option("--host", help="Host that Dagster's web UI listens on, when it is not the one of MLOPS_UI_URL.")
@click.option("--port", type=int, help="Port of Dagster's web UI, when it is not the one of MLOPS_UI_URL.")
def up(host: str | None, port: int | None) -> None:
    """Start everything: the registry, the model server, Dagster's UI and daemon. Ctrl-C ends all of it."""
    from mlops_assets.adapters.dagster_process import claim_dagster
    from mlops_assets.adapters.services import ensure_services, services_status
    from mlops_assets.adapters.settings import ROOT, Settings

    _heed_signals()
    settings = Settings.from_environment()
    host, port, ui_url = web_server(settings, host, port)
    claim_dagster(settings)
    ensure_services(settings, until_pid=os.getpid())
    for service in services_status(settings):
        click.echo(f"{service.name:<10} {service.url}")
    click.echo(f"{'dagster':<10} {ui_url}")
    # In place of this process: Ctrl-C and `kill` reach Dagster itself, and the services' owner keeps its pid.
    home = _dagster_home(settings.dagster, ROOT / "dagster.yaml")
    # Threads that spin while they wait make a training ten times slower beside one busy process on two cores.
    told = (
        f"DAGSTER_HOME={home}",
        f"MLOPS_STATE={settings.state}",
        f"MLOPS_UI_URL={ui_url}",
        "OMP_WAIT_POLICY=passive",
    )
    arguments = ("dev", "--workspace", str(ROOT / "workspace.yaml"), "--host", host, "--port", str(port))
    os.chdir(home)
    os.execvp("env", ["env", *told, sys.executable, "-m", "dagster", *arguments])


def _heed_signals() -> None:
    """End on SIGINT and SIGTERM: who starts a job in a script's background has it ignore them, and all it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def web_server(settings: "Settings", host: str | None = None, port: int | None = None) -> tuple[str, int, str]:
    """Host and port for Dagster's web server to listen on, and the address for links to it.

    The options win over MLOPS_UI_URL. Options beside an address that is not of this machine, or https, mean a proxy in
    front: links keep its address.
    """
    from mlops_assets.adapters.embedded import LOOPBACK

    told, default = urlsplit(settings.ui_url), urlsplit(type(settings).ui_url)
    # Dagster's web server speaks no TLS: whoever says https has something in front of it.
    listening = default if told.scheme == "https" else told
    where = (host or listening.hostname or "127.0.0.1", port or listening.port or 80)
    linked = told.scheme == "http" and told.hostname in LOOPBACK and (host or port)
    return (*where, f"http://{where[0]}:{where[1]}" if linked else settings.ui_url)


def _dagster_home(home: Path, shipped: Path) -> Path:
    """The home of this state's Dagster instance: the shipped configuration, with its storage in this state folder."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(shipped.read_text().replace("state/dagster", str(home)))
    return home


@click.command()
@click.option("--on", "where", type=click.Choice(["processes", "ray"]), default="processes", help="What it runs on.")
@click.option("--ray-address", default="-", help="Of a Ray that is there; without it one of this machine, for itself.")
@click.option("--scale", multiple=True, metavar="NAME=VALUE", help="On Ray: a field of serving.ray_scale.Scale.")
@click.option("--haproxy", is_flag=True, help="On Ray: requests go through HAProxy straight to the replicas.")
def serve(where: str, ray_address: str, scale: tuple[str, ...], haproxy: bool) -> None:
    """Run the model server in the foreground: it follows the registry's aliases."""
    from mlops_assets.adapters.settings import Settings
    from mlops_assets.serving.supervisor import serve as run_server
    from mlops_assets.use_cases import USE_CASES

    settings = Settings.from_environment()
    if where == "ray":
        become_ray(settings, ray_address, scale, haproxy=haproxy)
    if scale or haproxy or ray_address != "-":
        raise click.UsageError("--ray-address, --scale and --haproxy go with --on ray")
    raise SystemExit(run_server(settings, USE_CASES))


def become_ray(settings: "Settings", address: str, told: Sequence[str], *, haproxy: bool) -> None:
    """Go on as the server on Ray."""
    from mlops_assets.serving.ray_cluster import command
    from mlops_assets.serving.ray_scale import scale_of

    if importlib.util.find_spec("ray") is None:
        raise click.ClickException(
            "Ray is not in this environment: `make setup-ray`, then .venv-ray/bin/mlops serve --on ray"
        )
    if haproxy and address != "-":
        raise click.UsageError(
            "--haproxy is for a Ray that is started here; another one wants RAY_SERVE_ENABLE_HA_PROXY=1 where it starts"
        )
    try:
        scale = scale_of(dict(word.split("=", 1) for word in told))
    except ValueError as error:
        raise click.UsageError(f"--scale: {error}") from error
    os.execvp("env", command(settings, scale, address, haproxy=haproxy))


@click.command()
def stop() -> None:
    """End the registry and the model server that were started in the background."""
    from mlops_assets.adapters.services import stop_services
    from mlops_assets.adapters.settings import Settings

    stopped = stop_services(Settings.from_environment())
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
