"""Commands of an operator: ``promote``, ``override``, ``rollback``. They work when Dagster is down.

Belongs here: a person's recorded intervention. Does not: how an arm moves (``adapters.releases``).
"""

import datetime as dt
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import MODEL
from mlops_assets.contracts import Arm, Transition
from mlops_assets.use_cases import use_case as find_use_case

if TYPE_CHECKING:
    from mlops_assets.adapters.deployment import Deployment
    from mlops_assets.adapters.releases import Cause

BY = click.option("--by", required=True, help="Your name, for the record.")
REASON = click.option("--reason", required=True, help="Why, for the record.")
DAY = click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    callback=lambda context, option, day: day and day.date().isoformat(),
    help="Day on the use case's calendar; the last landed day when not given.",
)


@click.command()
@click.argument("version", type=int)
@MODEL
@BY
@REASON
@DAY
def promote(version: int, model: str, by: str, reason: str, day: str | None) -> None:
    """Force VERSION to champion at once, past every gate and canary. Recorded as an override."""
    _print(_enter(model, version, Arm.CHAMPION, by, reason, day))


@click.command()
@click.argument("version", type=int)
@MODEL
@BY
@REASON
@DAY
def override(version: int, model: str, by: str, reason: str, day: str | None) -> None:
    """Push VERSION past failed gates into its canary. Recorded; the canary analysis still judges it."""
    _print(_enter(model, version, Arm.CANARY, by, reason, day))


@click.command()
@MODEL
@BY
@REASON
@DAY
@click.option("--to", "to_version", type=int, help="Version to go back to; the previous champion when not given.")
def rollback(model: str, by: str, reason: str, day: str | None, to_version: int | None) -> None:
    """Roll the champion back, and wait until the server answers with the old digest."""
    here = deployment(moves=True)
    cause = cause_of("rollback", here, model, by, reason, day)
    line = here.releases.roll_back(model, cause=cause, to_version=to_version)
    here.endpoint.nudge()
    here.endpoint.wait_for(model, Arm.CHAMPION, line.digest, timeout=60)
    _print(line)


def _enter(model: str, version: int, arm: Arm, by: str, reason: str, day: str | None) -> Transition:
    here = deployment(moves=True)
    cause = cause_of(f"override/{version}/{arm}", here, model, by, reason, day)
    share = find_use_case(model).release.canary_basis_points if arm is Arm.CANARY else 0
    digest = here.registry.version(model, version).digest
    line = here.releases.enter(model, version, digest, arm, cause=cause, kind="override", basis_points=share)
    here.endpoint.nudge()
    return line


def cause_of(what: str, here: "Deployment", model: str, by: str, reason: str, day: str | None) -> "Cause":
    """An operator's move, made now, on the day given or the last that landed; the history tells it."""
    from mlops_assets.adapters.releases import Cause

    domain = find_use_case(model).domain
    landed = here.tables.days(f"{domain.name}/datasets/flights")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    if day and not domain.first_day <= day <= (domain.last_day or day):
        raise click.BadParameter(f"{day} is outside the calendar, {domain.first_day} to {domain.last_day}.")
    day = day or (landed[-1] if landed else domain.first_day)
    return Cause(id=f"operator/{what}/{now}", day=day, by=f"operator:{by}", reason=reason)


def _print(line: Transition) -> None:
    click.echo(f"{line.day}  version {line.version}  {line.kind}: {line.from_arm or '-'} -> {line.to_arm or '-'}")
