"""Commands that only look: ``status``, ``history``, ``lineage``.

Belongs here: printing facts. Does not: changing anything (``cli.operate``).
"""

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.contracts import to_json, to_plain
from mlops_assets.use_cases import USE_CASES

MODEL = click.option(
    "--model",
    default=USE_CASES[0].name,
    show_default=True,
    type=click.Choice([use_case.name for use_case in USE_CASES]),
    help="Use case.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@MODEL
def status(model: str) -> None:
    """What runs, and what answers."""
    from mlops_assets.adapters.services import services_status

    here = deployment()
    for service in services_status(here.settings):
        click.echo(f"{service.name:<10} {service.url:<28} {'answers' if service.answers else 'silent'}")
    if not all(service.answers for service in services_status(here.settings)):
        raise SystemExit(1)
    server = here.endpoint.status(model)
    for arm in server.arms:
        click.echo(f"{arm.arm:<10} version {arm.version}  {arm.basis_points / 100:.0f} %  {arm.digest}")
    for problem in server.problems:
        click.echo(f"problem    {problem}")


@click.command()
@MODEL
@JSON
def history(model: str, as_json: bool) -> None:
    """The promotion history: who made which version what, when, on what evidence."""

    lines = deployment().promotions.all(model)
    if as_json:
        click.echo(to_json([to_plain(line) for line in lines]))
        return
    for line in lines:
        move = f"{line.from_arm or '-'} -> {line.to_arm or '-'}"
        click.echo(f"{line.day}  v{line.version:<3} {line.kind:<12} {move:<22} {line.by}: {line.reason}")


@click.command()
@click.argument("version", type=int)
@MODEL
@JSON
def lineage(version: int, model: str, as_json: bool) -> None:
    """Everything upstream of a registered VERSION: code, lock, features, tables and days, digests."""
    from mlops_assets.adapters.documents import evaluation_of, manifest_of, training_set_of
    from mlops_assets.ml.lineage import lineage_of, lineage_text

    here = deployment()
    registry = here.registry
    facts = lineage_of(
        registry.version(model, version),
        manifest_of(registry, model, version),
        training_set_of(registry, model, version),
        evaluation_of(registry, model, version),
        here.promotions.all(model),
    )
    click.echo(to_json(facts) if as_json else lineage_text(facts))
