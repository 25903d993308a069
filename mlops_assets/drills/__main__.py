"""One drill, in the environment of its sandbox: ``python -m mlops_assets.drills NAME FOLDER --of WHAT``.

Here: playing it, looking, writing the post-mortem. Belongs here: what happens inside the sandbox's process. Does not:
making the sandbox and starting this process (``drills.practice``).
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.partitions import shift
from mlops_assets.contracts import to_json
from mlops_assets.demo.room import logging_to
from mlops_assets.drills.catalogue import DRILLS
from mlops_assets.drills.drill import Drill, Moment, judge
from mlops_assets.drills.post_mortem import facts_of, written
from mlops_assets.drills.records import moments_since
from mlops_assets.drills.refusals import DrillFailed
from mlops_assets.drills.sandbox import FACTS, POST_MORTEM, Sandbox
from mlops_assets.drills.scene import Scene
from mlops_assets.drills.system import System
from mlops_assets.drills.watch import Watch

FAILED, BROKEN_OFF = 1, 3
LAST_LOOK_S = 1.0
"""For the server's last word to be looked at."""


def play(drill: Drill, sandbox: Sandbox, made_from: str, say: Callable[[str], None]) -> bool:
    """Play a drill and write what it showed; True when that is what was promised. Raises DrillFailed."""
    began = time.time()
    with System(sandbox, say) as system:
        _refuse(drill, system)
        known = {"use_case": system.use_case.name, "domain": system.use_case.domain.name}
        landed = system.landed
        with Watch(system.settings, system.use_case, system.question()) as watch:
            scene = Scene(system=system, watch=watch, known=known)
            _play(drill, scene)
            time.sleep(LAST_LOOK_S)
        moments = _all(system, watch, began)
    if scene.injected is None:
        raise DrillFailed("nothing was injected")
    verdict = judge(drill, scene.injected, moments, scene.known, scene.observed)
    facts = facts_of(drill, verdict, landed, made_from, time.time() - began)
    text = written(drill, facts, verdict, moments, system.commands, scene.notes)
    (sandbox.folder / POST_MORTEM).write_text(text)
    (sandbox.folder / FACTS).write_text(to_json(facts))
    return verdict.passed


def _play(drill: Drill, scene: Scene) -> None:
    """To its end. What breaks it off after the injection is a finding: the post-mortem tells what was seen by then."""
    try:
        drill.play(scene)
    except Exception as error:
        if scene.injected is None:
            raise
        traceback.print_exc()
        scene.observe("the drill comes to its end", seen=False, where=f"{type(error).__name__}: {error}")


def _refuse(drill: Drill, system: System) -> None:
    system.champion()
    last = system.use_case.domain.last_day
    if drill.days and last is not None and shift(system.landed, drill.days) > last:
        raise DrillFailed(
            f"{drill.name} needs {drill.days} days after {system.landed}, and the calendar ends with {last}: --on base"
        )


def _all(system: System, watch: Watch, at: float) -> list[Moment]:
    return sorted([*moments_since(system, at), *watch.moments], key=lambda moment: moment.at)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0 as promised, 1 not, 3 when the drill itself broke off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(DRILLS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--of", default="a system", help="What the sandbox is a copy of.")
    given = parser.parse_args(arguments)
    sandbox = Sandbox(folder=given.folder, settings=Settings.from_environment())

    def say(text: str) -> None:
        print(f"    {text}", flush=True)

    with logging_to(given.folder / "drill.log"):
        try:
            return 0 if play(DRILLS[given.name], sandbox, given.of, say) else FAILED
        except Exception as error:
            say(f"broken off: {error if isinstance(error, DrillFailed) else repr(error)}")
            traceback.print_exc()
            return BROKEN_OFF


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
