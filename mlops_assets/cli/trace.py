"""Commands that answer where from and what became of it: ``history``.

Belongs here: questions to the record. Does not: what runs now (``cli.look``), changing anything (``cli.operate``).
"""

from collections.abc import Mapping, Sequence

import click

from mlops_assets.cli.deployment import deployment
from mlops_assets.cli.look import JSON, MODEL
from mlops_assets.contracts import Transition, to_json, to_plain


@click.command()
@MODEL
@click.option("--champions", is_flag=True, help="Who was champion from when to when, and on what evidence.")
@click.option(
    "--at", "moment", help="Who was champion at the end of a day (2013-05-02), or at an instant (...T12:00Z)."
)
@JSON
def history(model: str, champions: bool, moment: str | None, as_json: bool) -> None:
    """The promotion history: who or what made which version what, when, on what evidence.

    A day is one of the use case's calendar; an instant is on the wall's clock.
    """
    from mlops_assets.ml.tenures import as_of, tenures

    lines = deployment().promotions.all(model)
    if not lines:
        click.echo(f"nothing has happened to {model} in this state yet", err=True)
    if moment is not None:
        try:
            then = [stay.from_at for stay in tenures(as_of(lines, moment))[-1:] if stay.until_at is None]
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--at") from error
        # As all lines tell it: what ended it may have come later.
        stays = [stay for stay in tenures(lines) if stay.from_at in then]
        if not stays:
            raise click.ClickException(f"{model} had no champion at {moment}")
    elif champions:
        stays = tenures(lines)
    else:
        _print_lines(lines, as_json)
        return
    click.echo(to_json(to_plain(stays)) if as_json else "\n".join(map(_stay_text, stays)))


def _print_lines(lines: Sequence[Transition], as_json: bool) -> None:
    if as_json:
        click.echo(to_json([to_plain(line) for line in lines]))
        return
    for line in lines:
        move = f"{line.from_arm or '-'} -> {line.to_arm or '-'}"
        told = " ".join(f"{line.by}: {line.reason}".split())
        click.echo(f"{line.day}  v{line.version:<3} {line.kind:<12} {move:<22} {told}")


def _stay_text(stay) -> str:
    end = f"{stay.until_day} ({stay.ended_as} by {stay.ended_by})" if stay.until_day else "now"
    facts = [f"{name}={_short(value)}" for name, value in sorted(stay.evidence.items())]
    return "\n".join(
        [
            f"version {stay.version}  {stay.from_day} to {end}",
            f"  digest    {stay.digest}",
            f"  {stay.kind:<9} by {stay.by} at {stay.from_at}: {stay.reason}",
            f"  evidence  {'  '.join(facts) or 'none'}",
        ]
    )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, Mapping):
        # A judgement of a monitor, which a rollback stands on.
        named = f"{value['monitor']} {value['verdict']}" if {"monitor", "verdict"} <= value.keys() else None
        return named or ", ".join(f"{name} {_short(inside)}" for name, inside in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_short, value)) or "none"
    return str(value)
