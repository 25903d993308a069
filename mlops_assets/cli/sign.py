"""The command with which a named person signs a version: ``sign-off``.

Belongs here: a signature as a line of the promotion history. Does not: who is asked (``use_cases``), what waits for it
(``ml.releases``).
"""

from dataclasses import replace

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import MODEL
from mlops_assets.cli.operate import BY, DAY, REASON, cause_of, words
from mlops_assets.use_cases import use_case as find_use_case


@click.command("sign-off")
@click.argument("version", type=int)
@MODEL
@BY
@REASON
@DAY
@click.option("--role", callback=words, help="The role in which you sign, as the use case names it (team:operations).")
def sign_off(version: int, model: str, by: str, reason: str, day: str | None, role: str | None) -> None:
    """Sign VERSION: without the sign-offs that the use case asks for it never becomes champion by itself."""
    from mlops_assets.ml.sign_offs import SIGNED_AS, SIGNED_OFF, missing_sign_offs, signed_as

    here, required = deployment(moves=True), find_use_case(model).release.sign_off
    evidence = {SIGNED_AS: signed_as(required, by, role)}
    cause = replace(cause_of(f"sign-off/{version}", here, model, by, reason, day), evidence=evidence)
    digest = here.registry.version(model, version).digest
    line = here.releases.announce(model, version, digest, cause=cause, kind=SIGNED_OFF)
    missing = missing_sign_offs(required, here.promotions.all(model), version, digest)
    click.echo(f"{line.day}  version {version}  signed off by {by} as {evidence[SIGNED_AS]}  {digest}")
    done = "nobody is missing" if required else "the use case asks nobody to sign"
    click.echo(f"still missing: {', '.join(missing)}" if missing else done)
