"""The command that explains a decision: ``why``.

Belongs here: printing it. Does not: the table (``ml.policy``), what would have changed it (``ml.what_if``).
"""

import datetime as dt

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON, MODEL
from mlops_assets.contracts import to_json, to_plain
from mlops_assets.use_cases import use_case


@click.command()
@click.argument("day", metavar="DAY", type=click.DateTime(["%Y-%m-%d"]))
@MODEL
@JSON
def why(day: dt.datetime, model: str, as_json: bool) -> None:
    """What was decided about a DAY (2013-04-25), why, and what alone would have changed it.

    The decision is made again from everything that it was made of.
    """
    from mlops_assets.assets.files import decision_of, inputs_of
    from mlops_assets.ml.what_if import alternatives
    from mlops_assets.ml.what_if import why as told

    named, artifacts = day.date().isoformat(), deployment().artifacts
    inputs, made = inputs_of(artifacts, use_case(model), named), decision_of(artifacts, use_case(model), named)
    if made is None:
        raise click.ClickException(
            f"nothing was decided about {named}: decisions are made of days that were lived, by the asset "
            f"{model}/monitoring/decision, whose page in Dagster shows which"
        )
    if inputs is None:
        raise click.ClickException(f"the decision of {named} ({made.action}) was made before its inputs were kept")
    again = inputs.decide()
    if as_json:
        facts = {"decision": made, "again": again, "alternatives": alternatives(inputs), "inputs": inputs}
        click.echo(to_json(to_plain(facts)))
        return
    click.echo(told(inputs))
    if again != made:
        click.echo(f"\nBy the code of that day it was: {made.action}, because {made.reason}.")
