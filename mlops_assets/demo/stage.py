"""The stage of the demo: services, daemon, progress bar, lines, report.

Here: ``perform``. Belongs here: what frames the story. Does not: the story (``demo.story``), the checks
(``demo.report``).
"""

import time
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from mlops_assets.adapters.deployment import Deployment, deployed
from mlops_assets.adapters.services import ensure_services
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.contracts import UseCase
from mlops_assets.demo.daemon import Daemon
from mlops_assets.demo.narrator import Narrator
from mlops_assets.demo.report import Observation, observe, version_lines
from mlops_assets.demo.room import logging_to, make_room
from mlops_assets.demo.story import Dates, Story, StoryEnded
from mlops_assets.use_cases import USE_CASES

MARK = "played-by-the-demo"


def perform(dates: Dates) -> int:
    """Play the demo on a fresh state; 0 only if everything it promises was observed."""
    dates.set_environment()
    settings, console = Settings.from_environment(), Console(highlight=False)
    if refusal := make_room(settings, MARK):
        console.print(refusal)
        return 2
    began = time.monotonic()
    with logging_to(settings.state / "demo.log"):
        console.print("starting the registry and the model server ...")
        ensure_services(settings)
        deployment, use_case = deployed(settings), USE_CASES[0]
        with Daemon(ROOT, settings.state) as daemon:
            _play(Story(use_case, dates, daemon, deployment), use_case, deployment, dates, console)
            found = observe(use_case, deployment, daemon.instance)
        _print_versions(console, use_case, deployment)
    return _print_report(console, found, time.monotonic() - began)


def _play(story: Story, use_case: UseCase, deployment: Deployment, dates: Dates, console: Console) -> None:
    narrator = Narrator(use_case, deployment.promotions, deployment.tables)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        days = (date.fromisoformat(dates.until) - date.fromisoformat(dates.live_from)).days + 1
        task = progress.add_task("history", total=days)
        try:
            for day in story.play():
                for line in narrator.news(day):
                    _print(progress.console, line)
                if day:
                    lived = (date.fromisoformat(day) - date.fromisoformat(dates.live_from)).days + 1
                    progress.update(task, description=day, completed=max(lived, 0))
        except StoryEnded as end:
            progress.console.print(str(end))


def _print_versions(console: Console, use_case: UseCase, deployment: Deployment) -> None:
    console.print(f"\nEvery version of {use_case.name}:")
    for number, digest, data, rows, auc, log_loss, came, went in version_lines(use_case, deployment):
        _print(console, f"version {number}  digest {digest}  AUC {auc}  log-loss {log_loss}  {rows} rows, {data}")
        _print(console, f"    came: {came}")
        _print(console, f"    then: {went}")
    console.print()


def _print(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False)


def _print_report(console: Console, found: list[Observation], seconds: float) -> int:
    for item in found:
        mark = "[green]seen    [/]" if item.seen else "[red]NOT SEEN[/]"
        console.print(f"{mark} {item.promise}  ({item.where})", soft_wrap=True)
    console.print(f"{seconds:.0f} s. The servers are still up: `make ui` shows this state, `make stop` ends them.")
    return 0 if all(item.seen for item in found) else 1
