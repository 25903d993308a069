"""Commands about cards: ``card show``, ``card diff``, ``card export``.

Belongs here: printing a version's card, and laying it into files. Does not: what a card says (``ml``).
A card is always written anew from the registry's documents and the promotion history, so it is never stale.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON, MODEL
from mlops_assets.contracts import to_json
from mlops_assets.use_cases import use_case as find_use_case

TEMPLATES = {"model": "current_card.md", "annex-iv": "current_annex_iv.md"}
"""Template -> the file of an export. The version's own ``card.md`` and ``annex_iv.md`` are the registered texts, whose
digests the card of now states."""
TEMPLATE = click.option(
    "--template",
    default="model",
    show_default=True,
    type=click.Choice(list(TEMPLATES)),
    help="The model card, or the technical documentation of the EU AI Act's Annex IV.",
)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def card() -> None:
    """What a version is: its model card, and the technical documentation beside it."""


@card.command()
@click.argument("version", type=int)
@MODEL
@TEMPLATE
@click.option("--html", "html_file", type=FILE, help="Write one page that needs nothing beside it, pictures inside.")
def show(version: int, model: str, template: str, html_file: Path | None) -> None:
    """Print the card of a VERSION as Markdown, with its life up to now."""
    from mlops_assets.ml.card_pages import page

    text, documents = _written(version, model, template)
    if html_file is None:
        click.echo(text)
        return
    with _told_when_refused():
        html_file.write_text(page(text, documents))
    click.echo(f"{html_file}: {model} version {version}, {template}")


@card.command()
@click.argument("a", type=int)
@click.argument("b", type=int)
@MODEL
@JSON
def diff(a: int, b: int, model: str, as_json: bool) -> None:
    """What differs between versions A and B, fact by fact."""
    from mlops_assets.ml.card_diff import differing

    found = differing(_facts(a, model)[0], _facts(b, model)[0])
    if as_json:
        click.echo(to_json([{"fact": name, str(a): before, str(b): after} for name, before, after in found]))
        return
    width = max((len(name) for name, _, _ in found), default=0)
    for name, before, after in found:
        click.echo(f"{name:<{width}}  {before}  ->  {after}")


@card.command()
@click.argument("version", type=int)
@click.argument("folder", type=FOLDER)
@MODEL
def export(version: int, folder: Path, model: str) -> None:
    """Lay both cards of a VERSION into FOLDER, as of now, beside every document as it was registered.

    The digests under "Sources" are those of the files beside the card.
    """
    from mlops_assets.ml.card_pages import page

    files: dict[str, bytes] = {}
    for template, file in TEMPLATES.items():
        text, documents = _written(version, model, template)
        files |= {
            **documents,
            file: text.encode(),
            str(Path(file).with_suffix(".html")): page(text, documents).encode(),
        }
    with _told_when_refused():
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    click.echo(f"{folder}: {model} version {version}")


@contextmanager
def _told_when_refused() -> Iterator[None]:
    """A file that cannot be written is told in words."""
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error


def _facts(version: int, model: str) -> tuple[Any, dict[str, bytes]]:
    from mlops_assets.adapters.version_cards import version_facts

    here = deployment()
    return version_facts(here.registry, here.promotions, find_use_case(model), version)


def _written(version: int, model: str, template: str) -> tuple[str, dict[str, bytes]]:
    from mlops_assets.ml.annex_iv import write_technical_documentation
    from mlops_assets.ml.model_cards import write_card

    facts, documents = _facts(version, model)
    return (write_card(facts) if template == "model" else write_technical_documentation(facts)), documents
