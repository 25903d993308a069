"""The command ``transfer``: a person hands a version over to production's registry.

Belongs here: arguments, the line in the history. Does not: what must hold before (``adapters.transfers``).
"""

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import MODEL
from mlops_assets.cli.operate import BY, DAY, REASON, cause_of
from mlops_assets.use_cases import use_case as find_use_case


@click.command()
@click.argument("version", type=int)
@click.option("--digest", help="The digest it must have; the registered one when not given.")
@MODEL
@BY
@REASON
@DAY
@click.option("--force", is_flag=True, help="Also a version that has not proven itself here; on record.")
def transfer(version: int, digest: str | None, model: str, by: str, reason: str, day: str | None, force: bool) -> None:
    """Hand VERSION over to production's registry: the exact bytes, documents and signature, by digest.

    Nothing answers there yet: production promotes it with its own `mlops promote`.
    """
    from dataclasses import replace

    from mlops_assets.adapters.transfers import TransferRefused
    from mlops_assets.adapters.transfers import transfer as hand_over
    from mlops_assets.ml.sign_offs import require_sign_offs
    from mlops_assets.ml.tenures import unproven

    here = deployment(moves=True)
    source, target = here.registry, here.production
    wanted = digest or source.version(model, version).digest
    lines = here.promotions.all(model)
    require_sign_offs(find_use_case(model).release.sign_off, lines, version, wanted)
    doubt = unproven(lines, version)
    if doubt and not force:
        raise TransferRefused(f"version {version} does not go to production: {doubt}; `--force` sends it, on record")
    arrived = hand_over(source, target, model, version, wanted)
    cause = cause_of("transfer", here, model, by, reason, day)
    facts = {"registry": target.address, "version": arrived.version, "digest": arrived.digest, "forced_past": doubt}
    cause = replace(cause, id=f"transfer/{target.address}/{arrived.version}", evidence=facts)
    here.releases.announce(model, version, wanted, cause=cause, kind="transferred")
    click.echo(f"version {version} is version {arrived.version} of {model} in {target.address}: {arrived.digest}")
