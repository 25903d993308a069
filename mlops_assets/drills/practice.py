"""A drill from outside: the sandbox is made, the drill is played in a process of its own, its facts are read.

Here: ``practise``. Belongs here: what happens around the sandbox. Does not: what happens in it
(``drills.__main__``).
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.contracts import from_json
from mlops_assets.drills.drill import Drill
from mlops_assets.drills.post_mortem import Facts
from mlops_assets.drills.refusals import DrillFailed, NotCopied
from mlops_assets.drills.sandbox import FACTS, FOLDER, POST_MORTEM, new_folder, sandbox_in
from mlops_assets.drills.small_system import base_in
from mlops_assets.drills.state_copy import copy_state, traces

SECONDS, TOO_LONG = 1800, 124
"""A drill takes one to five minutes on two quiet cores."""
RUNNING, BASE = "running", "base"


@dataclass(frozen=True, kw_only=True)
class Practised:
    """One drill that was played."""

    drill: Drill
    folder: Path
    facts: Facts | None
    """None when it broke off."""
    code: int

    @property
    def passed(self) -> bool:
        """True when it came to its end and everything was seen."""
        return self.facts is not None and self.facts.passed

    @property
    def post_mortem(self) -> Path:
        """Where it is written."""
        return self.folder / POST_MORTEM


def practise(drill: Drill, settings: Settings, on: str) -> Practised:
    """Play a drill on a copy of the running system or of the base. Raises DrillFailed, NotCopied.

    Nobody works on the base: there it is proven each time that the original was not touched.
    """
    drills = settings.state / FOLDER
    original = base_in(drills) if on == BASE else settings
    if on == RUNNING and not has_lived(settings):
        raise NotCopied(f"{settings.state} holds no system that has lived: --on base makes a small one to copy")
    folder, before = new_folder(drills, drill.name), traces(original.state) if on == BASE else {}
    copy_state(original, folder / "state")
    sandbox = sandbox_in(folder, original)
    sandbox = replace(sandbox, settings=replace(sandbox.settings, **drill.settings))
    told = "the small system that `--on base` makes" if on == BASE else f"the system in {settings.state}"
    command = sandbox.command("mlops_assets.drills", drill.name, str(folder.absolute()), "--of", told)
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        # What it started ends by itself: its owner is gone.
        code = TOO_LONG
    if on == BASE and traces(original.state) != before:
        raise DrillFailed(f"{drill.name} touched what it was copied from, {original.state}: this must not be")
    facts = folder / FACTS
    found = from_json(Facts, facts.read_bytes()) if facts.exists() else None
    return Practised(drill=drill, folder=folder, facts=found, code=code)


def has_lived(settings: Settings) -> bool:
    """True when there is something to copy."""
    return (settings.dagster / "history").exists() and (settings.mlflow / "mlflow.db").exists()
