"""Commands about signatures: ``keys create``, ``keys sign``, ``verify``.

Belongs here: a person's handling of keys, and asking whether a version is what it says. Does not: how a signature is
made or checked (``adapters.signatures``, ``adapters.registry``).
"""

from pathlib import Path

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import MODEL


@click.group()
def keys() -> None:
    """The key pair that versions are signed with."""


@keys.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def create(folder: Path) -> None:
    """Make a key pair (P-256) in FOLDER. Keep the private file where only registration can read it."""
    from mlops_assets.adapters.signatures import create_keys

    private, public = create_keys(folder)
    click.echo(f"export MLOPS_SIGNING_KEY={private.resolve()}   # where versions are registered")
    click.echo(f"export MLOPS_VERIFY_KEY={public.resolve()}   # where versions are released and served")


@keys.command()
@click.argument("version", type=int)
@MODEL
def sign(version: int, model: str) -> None:
    """Sign a VERSION that was registered before there was a key. Its digests must hold."""
    registry = deployment(moves=True).registry
    registry.sign(model, version)
    click.echo(f"{model} version {version} is signed: {registry.version(model, version).digest}")


@click.command()
@click.argument("version", type=int)
@MODEL
def verify(version: int, model: str) -> None:
    """Read a VERSION back: every file against its digest and, with MLOPS_VERIFY_KEY, against its signature."""
    here = deployment()
    digest = here.registry.verify(model, version)
    signed = "signature holds" if here.settings.verify_key else "signature not asked for: set MLOPS_VERIFY_KEY"
    documents = ", ".join(sorted(here.registry.documents(model, version)))
    click.echo(f"{model} version {version}  {digest}\n  bundle and documents hold ({documents})\n  {signed}")
