"""Commands that start and stop processes: ``up``, ``serve``, ``stop``.

Belongs here: processes for one machine. Does not: what they serve.
"""

import os
import sys
from pathlib import Path

import click


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of Dagster's web UI.")
def up(port: int) -> None:
    """Start everything: the registry, the model server, Dagster's UI and daemon. Ctrl-C ends all of it."""
    from mlops_assets.adapters.services import ensure_services, services_status
    from mlops_assets.adapters.settings import ROOT, Settings

    settings = Settings.from_environment()
    ensure_services(settings, until_pid=os.getpid())
    for service in services_status(settings):
        click.echo(f"{service.name:<10} {service.url}")
    click.echo(f"{'dagster':<10} http://127.0.0.1:{port}")
    # In place of this process: Ctrl-C and `kill` reach Dagster itself, and the services' owner keeps its pid.
    home = _dagster_home(settings.state, ROOT / "dagster.yaml")
    ui_url = f"http://127.0.0.1:{port}" if settings.ui_url == Settings.ui_url else settings.ui_url
    # Threads that spin while they wait make a training ten times slower beside one busy process on two cores.
    told = (
        f"DAGSTER_HOME={home}",
        f"MLOPS_STATE={settings.state}",
        f"MLOPS_UI_URL={ui_url}",
        "OMP_WAIT_POLICY=passive",
    )
    arguments = ("dev", "--workspace", str(ROOT / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port))
    os.chdir(home)
    os.execvp("env", ["env", *told, sys.executable, "-m", "dagster", *arguments])


def _dagster_home(state: Path, shipped: Path) -> Path:
    """The home of this state's Dagster instance: the shipped configuration, with its storage in this state folder."""
    home = state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_text(shipped.read_text().replace("state/dagster", str(home)))
    return home


@click.command()
def serve() -> None:
    """Run the model server in the foreground: it follows the registry's aliases."""
    from mlops_assets.adapters.settings import Settings
    from mlops_assets.serving.supervisor import serve as run_server
    from mlops_assets.use_cases import USE_CASES

    raise SystemExit(run_server(Settings.from_environment(), USE_CASES))


@click.command()
def stop() -> None:
    """End the registry and the model server that were started in the background."""
    from mlops_assets.adapters.services import stop_services
    from mlops_assets.adapters.settings import Settings

    stopped = stop_services(Settings.from_environment())
    click.echo(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
