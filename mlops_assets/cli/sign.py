"""The command with which a named person signs a version: ``sign-off``.

Belongs here: a signature as a line of the promotion history. Does not: who is asked (``use_cases``), what waits for it
(``ml.releases``).
"""

import click

from mlops_assets.cli.look import MODEL
from mlops_assets.cli.operate import BY, DAY, REASON
from mlops_assets.use_cases import use_case as find_use_case


@click.command("sign-off")
@click.argument("version", type=int)
@MODEL
@BY
@REASON
@DAY
@click.option("--role", help="The role in which you sign, as the use case names it (team:operations).")
def sign_off(version: int, model: str, by: str, reason: str, day: str | None, role: str | None) -> None:
    """Sign VERSION: without the sign-offs that the use case asks for it never becomes champion by itself."""
    from mlops_assets.adapters.deployment import Deployment
    from mlops_assets.adapters.registry import VersionMissing
    from mlops_assets.ml.sign_offs import NotAskedToSign, missing_sign_offs

    deployment, required = Deployment(), find_use_case(model).release.sign_off
    try:
        line = signed(deployment, model, version, by, reason, day, role)
    except (NotAskedToSign, VersionMissing) as error:
        raise click.ClickException(str(error)) from error
    missing = missing_sign_offs(required, deployment.promotions.all(model), version, line.digest)
    waiting = f"still missing: {', '.join(missing)}" if missing else "nobody is missing; the next verdict moves it on"
    click.echo(f"{line.day}  version {version}  signed off by {by} as {line.evidence['signed_as']}  {line.digest}")
    click.echo(waiting)


def signed(deployment, model: str, version: int, by: str, reason: str, day: str | None, role: str | None):
    """The line of the history that this signature is."""
    from dataclasses import replace

    from mlops_assets.cli import operate
    from mlops_assets.ml.sign_offs import SIGNED_AS, SIGNED_OFF, signed_as

    entry = signed_as(find_use_case(model).release.sign_off, by, role)
    cause_of = getattr(operate, "cause_of", None) or operate._cause
    cause = replace(cause_of(f"sign-off/{version}", deployment, model, by, reason, day), evidence={SIGNED_AS: entry})
    digest = deployment.registry.version(model, version).digest
    return deployment.releases.announce(model, version, digest, cause=cause, kind=SIGNED_OFF)
