"""The commands that show incidents: ``incidents``, ``incidents show``.

Belongs here: printing them. Does not: when one opens and closes (``ml.incidents``), words (``ml.incident_reports``).
"""

import click

from mlops_assets.adapters.artifacts import ArtifactMissing
from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON, MODEL
from mlops_assets.contracts import to_json, to_plain
from mlops_assets.use_cases import use_case


@click.group(invoke_without_command=True)
@MODEL
@JSON
@click.pass_context
def incidents(context: click.Context, model: str, as_json: bool) -> None:
    """Incidents, open and closed: cause, and the times to detect, to act and to recover."""
    if context.invoked_subcommand:
        return
    from mlops_assets.assets.incidents import closed_days, incident_of
    from mlops_assets.ml.incident_reports import durations, summary

    artifacts, facts = deployment().artifacts, use_case(model)
    found = [incident_of(artifacts, facts, name) for name in closed_days(artifacts, facts)]
    if as_json:
        click.echo(to_json([{"incident": to_plain(one), "durations": to_plain(durations(one))} for one in found]))
        return
    for one in found:
        told = dict(summary(one))
        click.echo(
            f"{told.pop('incident'):<24} {told.pop('state'):<18} " + "; ".join(f"{k} {v}" for k, v in told.items())
        )
    if not found:
        click.echo("no incident")


@incidents.command()
@click.argument("name", metavar="INCIDENT")
@MODEL
@JSON
def show(name: str, model: str, as_json: bool) -> None:
    """The report of one INCIDENT (2013-04-25-retrain): timeline, evidence, versions, where to look."""
    from mlops_assets.assets.incidents import closed_days, incident_of, report_of

    artifacts, facts = deployment().artifacts, use_case(model)
    try:
        click.echo(to_json(incident_of(artifacts, facts, name)) if as_json else report_of(artifacts, facts, name))
    except ArtifactMissing:
        known = ", ".join(closed_days(artifacts, facts)) or "none"
        raise click.ClickException(f"there is no incident {name!r} of {model}; there are: {known}") from None
