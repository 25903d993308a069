"""The command that looks after the daemon from outside: ``watch``.

Belongs here: one look, for cron or systemd. Does not: what is silence (``ml.silence``), where signs of life are found
(``automation.signs``).
"""

import time
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.deployment import deployment

if TYPE_CHECKING:
    import dagster as dg

    from mlops_assets.adapters.deployment import Deployment
    from mlops_assets.ml.silence import Signs

AGAIN_S = 2.0


@click.command()
@click.option(
    "--patience",
    default=15,
    type=click.IntRange(min=0),
    show_default=True,
    help="Seconds to look again before something counts as silent.",
)
def watch(patience: int) -> None:
    """Whether all that should speak does: daemon, sensors, partitions, servers. For cron or a timer of systemd.

    Puts what is silent on record, brings it to people, and fails then. No sensor can tell that the daemon is dead.
    """
    from mlops_assets.automation.silence import tell
    from mlops_assets.definitions import build_defs
    from mlops_assets.ml.silence import silences

    here = deployment()
    repository = build_defs(here.settings.use_cases, settings=here.settings).get_repository_def()
    with instance_of(here) as instance:
        began = time.time()
        signs = look(here, instance, repository, began, patience)
        while signs.now - began < patience and (silences(signs) or any(server.problem for server in signs.servers)):
            time.sleep(AGAIN_S)
            signs = look(here, instance, repository, began, patience)
    found = tell(here.alerts, signs)
    for silence in found:
        click.echo(f"{'critical' if silence.critical else 'warning':<9} {silence.title}: {silence.text}")
    here.notifier.deliver()
    if not found:
        click.echo("everything speaks that should")
    if any(silence.critical for silence in found):
        raise SystemExit(1)


def instance_of(here: "Deployment") -> "dg.DagsterInstance":
    """The Dagster instance of DAGSTER_HOME, or the one in the state folder."""
    import dagster as dg
    from dagster._core.errors import DagsterHomeNotSetError

    from mlops_assets.adapters.settings import ROOT
    from mlops_assets.demo.daemon import open_instance

    try:
        return dg.DagsterInstance.get()
    except DagsterHomeNotSetError:
        return open_instance(ROOT, here.settings.state)


def look(
    here: "Deployment",
    instance: "dg.DagsterInstance",
    repository: "dg.RepositoryDefinition",
    began: float,
    patience: int,
) -> "Signs":
    """Every sign of life, now. A server that is silent has been so since ``began``: the first look."""
    from mlops_assets.automation.signs import calendar_signs, heartbeat, sensor_signs, server_problems
    from mlops_assets.ml.silence import ServerSigns, Signs

    use_cases = here.settings.use_cases
    sensors = sensor_signs(instance, repository, use_cases)
    problems = server_problems(instance, here.registry, here.endpoint, use_cases)
    return Signs(
        now=time.time(),
        from_outside=True,
        beat_at=heartbeat(instance),
        server_patience_s=patience,
        sensors=sensors,
        calendars=calendar_signs(instance, repository, use_cases, here.settings, sensors),
        servers=[ServerSigns(name=name, problem=told, since=began) for name, told in problems.items()],
    )
