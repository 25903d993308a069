"""The command that practises incidents: ``drill``.

Belongs here: arguments, printing, the exit code. Does not: the incidents and what is promised of them (``drills``).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops_assets.cli.deployment import deployment

if TYPE_CHECKING:
    from mlops_assets.adapters.settings import Settings
    from mlops_assets.drills.practice import Practised

RUNNING, BASE = "running", "base"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listing", is_flag=True, help="What there is to practise.")
@click.option("--all", "every", is_flag=True, help="One after the other.")
@click.option(
    "--on",
    type=click.Choice((RUNNING, BASE)),
    help="Copy the system in the state folder, or a small one made for drills; the first where there is one.",
)
@click.option("--write", "page", type=click.Path(dir_okay=False, path_type=Path), help="Page to write the table to.")
def drill(names: tuple[str, ...], listing: bool, every: bool, on: str | None, page: Path | None) -> None:
    """Inject an incident into a sandboxed copy of the running system, and see what the system makes of it.

    The original is only read. The post-mortem is written beside the copy, below drills/ in the state folder. Exit
    code 0: everything that must be seen was seen.
    """
    from mlops_assets.drills.catalogue import DRILLS
    from mlops_assets.drills.practice import has_lived

    if listing:
        for known in DRILLS.values():
            click.echo(f"{known.name:<20} {known.injects}")
        return
    wanted = tuple(DRILLS) if every else names
    unknown = [name for name in wanted if name not in DRILLS]
    if unknown or not wanted:
        said = f"there is no drill {unknown[0]!r}" if unknown else "say which drill"
        raise click.UsageError(f"{said}: {', '.join(DRILLS)}, or --all")
    settings = deployment().settings
    done = _practised(wanted, settings, on or (RUNNING if has_lived(settings) else BASE))
    if page:
        from mlops_assets.drills.page import written

        page.write_text(written(done))
        click.echo(f"written: {page}")
    if not all(one.passed for one in done):
        raise SystemExit(1)


def _practised(names: Sequence[str], settings: "Settings", on: str) -> list["Practised"]:
    from mlops_assets.drills.catalogue import DRILLS
    from mlops_assets.drills.practice import practise

    done = []
    for name in names:
        click.echo(f"{name}: {DRILLS[name].injects}")
        done.append(practise(DRILLS[name], settings, on))
        _print(done[-1])
    return done


def _print(one: "Practised") -> None:
    facts = one.facts
    if facts is None:
        click.echo(f"    BROKE OFF; its log: {one.folder / 'drill.log'}")
        return
    times = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in facts.seconds.items())
    click.echo(f"    {'as promised' if facts.passed else 'NOT AS PROMISED'}: {times}")
    for text in facts.missing:
        click.echo(f"    {text}")
    click.echo(f"    {one.post_mortem}")
