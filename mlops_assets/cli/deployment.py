"""The deployment that a command is about, and what a person is told when it says no.

Here: ``deployment``, ``Door``. Belongs here: what every command needs before and after its own work. Does not: a
command.
"""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlops_assets.adapters.deployment import Deployment


def deployment(*, moves: bool = False) -> "Deployment":
    """The environment's deployment, or the one that the caller of ``main`` hands in as click's object.

    ``moves``: the command is to move versions. Raises ServiceFailed then when registry or server are another folder's.
    """
    from mlops_assets.adapters.deployment import Deployment
    from mlops_assets.adapters.services import ServiceFailed, refuse_anothers

    here = click.get_current_context().obj or Deployment()
    try:
        refuse_anothers(here.settings)
    except ServiceFailed as error:
        # To look at another folder's registry can be meant, as from a clean clone; to move its versions cannot.
        if moves:
            raise
        click.echo(f"Note: {error}", err=True)
    return here


class Door(click.Group):
    """A group whose commands answer a refusal with its reason, not with a traceback; anything else is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if isinstance(error, _refusals()):
                raise click.ClickException(str(error)) from error
            raise


def _refusals() -> tuple[type[Exception], ...]:
    """What the adapters raise when a person has to do something."""
    from mlops_assets.adapters import (
        content_store,
        dagster_process,
        endpoint,
        promotions,
        registry,
        releases,
        reproduction,
        services,
        settings,
        signatures,
        transfers,
        version_cards,
    )
    from mlops_assets.drills import refusals
    from mlops_assets.ml.sign_offs import NotAskedToSign, NotSigned

    return (
        content_store.ContentDamaged,
        content_store.ContentMissing,
        dagster_process.DagsterRuns,
        endpoint.EndpointDown,
        endpoint.EndpointRefused,
        endpoint.EndpointTimeout,
        promotions.HistoryMoved,
        registry.RegistryCorrupt,
        registry.RegistryUnavailable,
        registry.VersionMissing,
        releases.ChampionChanged,
        releases.DigestMismatch,
        refusals.DrillFailed,
        refusals.NotCopied,
        releases.NothingToRollBackTo,
        reproduction.NotReproducible,
        services.ServiceFailed,
        settings.SettingsError,
        signatures.SignatureRefused,
        transfers.TransferRefused,
        FileExistsError,
        version_cards.CardMissing,
        NotAskedToSign,
        NotSigned,
    )
