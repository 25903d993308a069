"""The small system that drills start from where there is no running one: weeks of history, a champion, live days.

Here: its dates, and how it comes to be. Belongs here: what every drill may rely on. Does not: the copy that a drill
gets of it (``drills.sandbox``).
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mlops_assets.adapters.provenance import read_provenance
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.assets.address import RELEASES, automation, key
from mlops_assets.automation.walk import exists
from mlops_assets.demo.room import logging_to
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.sandbox import Sandbox, sandbox_in
from mlops_assets.drills.system import System

FEED_FROM, LIVE_FROM, UNTIL = "2013-02-15", "2013-04-01", "2013-04-03"
"""Six weeks and a half of history: gates hold with it, and it lands and trains in half a minute. Three quiet days."""
SECONDS = 1800
"""It takes 140 s of processor time."""
DONE = "complete"
STEPS = 12
"""Requests of the feed until the last live day; more would mean that it waits for something that never comes."""


def base_in(drills: Path) -> Settings:
    """The settings of the base below a folder of drills; it is built when it is not there, or was by other code.

    Raises DrillFailed.
    """
    folder = drills / "base"
    place = sandbox_in(folder, replace(Settings(), feed_from=FEED_FROM, live_from=LIVE_FROM))
    done, code = folder / DONE, read_provenance().code_commit
    if not done.exists() or done.read_text() != code:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = place.command("mlops_assets.drills.small_system", str(folder), MLOPS_FEED_UNTIL=UNTIL)
        if subprocess.run(command, cwd=ROOT, timeout=SECONDS, check=False).returncode:
            raise DrillFailed(f"the base was not built: see {folder / 'base.log'}")
        done.write_text(code)
    return place.settings


def build(sandbox: Sandbox, say: Callable[[str], None]) -> None:
    """Land, train, release and live, by the shipped sensors. Raises DrillFailed."""
    with System(sandbox, say) as system:
        feed = automation(system.use_case.domain, "feed")
        for _ in range(STEPS):
            if not system.daemon.tick(feed):
                break
            system.settle()
        if not exists(system.instance, key(system.use_case, RELEASES, "champion")) or system.landed != UNTIL:
            raise DrillFailed(f"the base ended at {system.landed}: {system.daemon.last_skip(feed)}")


def main(arguments: Sequence[str]) -> None:
    """``python -m mlops_assets.drills.small_system FOLDER``, in the environment of its sandbox."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    with logging_to(folder / "base.log"):
        build(Sandbox(folder=folder, settings=Settings.from_environment()), lambda text: print(text, flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
