"""Commands that only look: ``status``, ``lineage``.

Belongs here: printing facts. Does not: changing anything (``cli.operate``).
"""

from typing import TYPE_CHECKING, Any

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.contracts import to_json
from mlops_assets.use_cases import KNOWN, USE_CASES

if TYPE_CHECKING:
    from mlops_assets.adapters.deployment import Deployment

MODEL = click.option(
    "--model",
    default=USE_CASES[0].name,
    show_default=True,
    type=click.Choice([use_case.name for use_case in KNOWN]),
    help="Use case, or segment of one (MLOPS_SEGMENTS).",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@MODEL
def status(model: str) -> None:
    """What runs, and what answers."""
    from mlops_assets.adapters.dagster_process import running_dagster
    from mlops_assets.adapters.services import services_status

    here = deployment()
    for service in services_status(here.settings):
        click.echo(f"{service.name:<10} {service.url:<28} {'answers' if service.answers else 'silent'}")
    dagster = running_dagster(here.settings)
    told = f"runs as process {dagster.pid}" if dagster else "not started by `mlops up`"
    click.echo(f"{'dagster':<10} {here.settings.state!s:<28} {told}")
    if not all(service.answers for service in services_status(here.settings)):
        raise SystemExit(1)
    server = here.endpoint.status(model)
    for arm in server.arms:
        click.echo(f"{arm.arm:<10} version {arm.version}  {arm.basis_points / 100:.0f} %  {arm.digest}")
    if not server.arms:
        click.echo("no arm is held: callers get the use case's fallback, if it has one")
    for problem in server.problems:
        click.echo(f"problem    {problem}")


@click.command()
@click.argument("version", type=int)
@MODEL
@JSON
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print the drawing as Mermaid text.")
@click.option("--draw", "drawing", type=click.Path(dir_okay=False), help="SVG file to draw; else in the state folder.")
def lineage(version: int, model: str, as_json: bool, as_mermaid: bool, drawing: str | None) -> None:
    """Everything upstream of a registered VERSION: code, lock, features, tables and days, digests; and its answers.

    Prints it, and draws it as an SVG file that any browser opens.
    """
    from mlops_assets.adapters.documents import evaluation_of, manifest_of, training_set_of
    from mlops_assets.ml.lineage import lineage_of

    here = deployment()
    registry = here.registry
    facts = lineage_of(
        registry.version(model, version),
        manifest_of(registry, model, version),
        training_set_of(registry, model, version),
        evaluation_of(registry, model, version),
        here.promotions.all(model),
    )
    show_lineage(here, facts, as_json=as_json, as_mermaid=as_mermaid, drawing=drawing)


def show_lineage(
    here: "Deployment", facts: dict[str, Any], *, as_json: bool, as_mermaid: bool, drawing: str | None
) -> None:
    """Print the facts with what the version answered, and draw them."""
    from pathlib import Path

    from mlops_assets.cli.impact import answers_on_record
    from mlops_assets.ml.impact import answers_of
    from mlops_assets.ml.lineage import lineage_text
    from mlops_assets.ml.lineage_graph import lineage_picture, mermaid, svg

    answered = answers_on_record(here, facts["model"])
    facts = {**facts, "answers": answers_of(answered[answered["version"] == facts["version"]])}
    picture = lineage_picture(facts)
    if as_json or as_mermaid:
        click.echo(to_json(facts) if as_json else mermaid(picture))
    else:
        click.echo(lineage_text(facts))
    if drawing or not (as_json or as_mermaid):
        file = Path(drawing or here.settings.state / "lineage" / f"{facts['model']}-{facts['version']}.svg")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(svg(picture))
        click.echo(f"drawn: {file}", err=bool(as_json or as_mermaid))
