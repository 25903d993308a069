"""The command that trains a registered version again and compares: ``reproduce``.

Belongs here: arguments, printing, the exit code. Does not: fetching and training (``adapters.reproduction``), the
report (``ml.reproduction``).
"""

import sys

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON, MODEL
from mlops_assets.contracts import to_json, to_plain


@click.command()
@click.argument("version", type=int)
@MODEL
@click.option("--from-tables", is_flag=True, help="Build the training set again from the pinned table versions.")
@click.option("--threads", default=0, show_default=True, help="Threads of the training; 0 is all cores.")
@JSON
def reproduce(version: int, model: str, from_tables: bool, threads: int, as_json: bool) -> None:
    """Train a registered VERSION again from its frozen training set, and compare every byte.

    Needs the registry (MLOPS_REGISTRY_URI) and the remote of the training sets (MLOPS_DATA_REMOTE; where the version
    says when not set); with --from-tables the Delta tables (MLOPS_STATE or MLOPS_TABLES) in place of the remote.
    Exit code 0 when training set and model are identical, else 1.
    """
    from mlops_assets.adapters.reproduction import from_deployed_tables, from_remote
    from mlops_assets.adapters.reproduction import reproduce as train_again
    from mlops_assets.ml.reproduction import reproduction_text

    here = deployment()
    rows = (from_deployed_tables if from_tables else from_remote)(here.settings)
    told = train_again(here.registry, here.feature_store, rows, model, version, threads)
    plain = {**to_plain(told), "identical": told.identical}
    click.echo(to_json(plain) if as_json else reproduction_text(told))
    sys.exit(0 if told.identical else 1)
