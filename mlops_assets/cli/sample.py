"""The command that runs the whole graph on a few days: ``sample``.

Belongs here: arguments, printing, the exit code. Does not: the runs and their digests (``demo.sample``).
"""

import time

import click

from mlops_assets.cli.look import JSON
from mlops_assets.contracts import to_json


@click.command()
@click.option("--threads", default=0, show_default=True, help="Threads of every training; 0 is all cores.")
@JSON
def sample(threads: int, as_json: bool) -> None:
    """Run the whole graph on a few days, in a state of its own, and print the digest of all it made.

    The digests depend on code and data only: two runs, with whatever number of threads, print the same JSON. The
    switch MLOPS_SAMPLE=1 gives the same small use cases to every other command: `MLOPS_SAMPLE=1 mlops up` shows this
    state.
    """
    from mlops_assets.demo.daemon import RunFailed, SensorFailed
    from mlops_assets.demo.sample import SampleEnded, SampleRefused, play

    began = time.monotonic()
    try:
        made = play(threads)
    except (SampleRefused, SampleEnded, RunFailed, SensorFailed) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(to_json(made))
        return
    for title, entries in vars(made).items():
        click.echo(title.replace("_", " "))
        for name, value in entries.items():
            click.echo(f"    {name:<36} {value}")
    click.echo(
        f"{time.monotonic() - began:.0f} s; its services have ended: `MLOPS_SAMPLE=1 mlops up` starts them again,"
    )
    click.echo("then `MLOPS_SAMPLE=1` before any other command asks about this state.")
