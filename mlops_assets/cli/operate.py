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


def words(context: click.Context, option: click.Parameter, given: str | None) -> str | None:
    """A text for the record: some words, in one line. Anything else could stand there as a line of its own."""
    if given is None:
        return None
    if not given.strip() or not given.isprintable():
        raise click.BadParameter("must be some words in one line: it stands in the history for good.")
    return given.strip()


BY = click.option("--by", required=True, callback=words, help="Your name, for the record.")
REASON = click.option("--reason", required=True, callback=words, help="Why, for the record.")
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
    """Push VERSION past failed gates into its canary. Recorded; the canary analysis still judges it.

    Refused while no alarm is armed: nobody would notice that it is bad.
    """
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
    share = find_use_case(model).release.first_share if arm is Arm.CANARY else 0
    digest = here.registry.version(model, version).digest
    if unarmed := _unarmed(here, model, version, cause.day):
        _refuse_or_tell(arm, unarmed)
    line = here.releases.enter(model, version, digest, arm, cause=cause, kind="override", basis_points=share)
    if not line.event_id.startswith(cause.id):
        raise click.ClickException(f"version {version} is {arm} already, since {line.day}: {line.by}: {line.reason}")
    _nudge(here)
    return line


def _unarmed(here: "Deployment", model: str, version: int, day: str) -> tuple[str, ...]:
    from mlops_assets.assets.monitoring.alarms import unarmed

    return unarmed(here.registry, here.artifacts, find_use_case(model), version, day)


def _refuse_or_tell(arm: Arm, unarmed: tuple[str, ...]) -> None:
    """A canary waits for its alarms; what is forced to champion in an emergency does not, and a person is told."""
    told = f"no alarm is armed: {'; '.join(unarmed)}"
    if arm is Arm.CANARY:
        raise click.ClickException(
            f"refused to start a canary while {told}. Materialize the monitors of the day, then try again; "
            "`mlops promote` asks for no alarm"
        )
    click.echo(f"Note: {told}. Nobody will notice by themselves that it is bad.", err=True)


def _nudge(here: "Deployment") -> None:
    """What is recorded stays so without a server: it follows the registry when it is back."""
    from mlops_assets.adapters.endpoint import EndpointDown

    try:
        here.endpoint.nudge()
    except EndpointDown as error:
        click.echo(f"Recorded, but nobody answers with it yet: {error}", err=True)


def cause_of(what: str, here: "Deployment", model: str, by: str, reason: str, day: str | None) -> "Cause":
    """An operator's move, made now, on the day given or the last that landed; the history tells it.

    Raises click.BadParameter for a day that has not landed, or one before the newest move: the days since then would
    get another champion than they had.
    """
    from mlops_assets.adapters.releases import Cause

    domain = find_use_case(model).domain
    # Production may have no data of its own: there the newest version's knowledge is the latest day.
    landed = here.tables.days(f"{domain.name}/datasets/flights")
    known = landed or sorted(version.cutoff_day for version in here.registry.versions(model)) or [domain.first_day]
    moved = max((t.day for t in here.promotions.all(model) if t.from_arm or t.to_arm), default=domain.first_day)
    last = max(known[-1], moved)
    if day and day > last:
        raise click.BadParameter(f"{day} has not landed; the last day is {last}.", param_hint="--day")
    if day and day < moved:
        raise click.BadParameter(f"{day} lies before the newest move, on {moved}.", param_hint="--day")
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    day = day or last
    return Cause(id=f"operator/{what}/{now}", day=day, by=f"operator:{by}", reason=reason)


def _print(line: Transition) -> None:
    click.echo(f"{line.day}  version {line.version}  {line.kind}: {line.from_arm or '-'} -> {line.to_arm or '-'}")
