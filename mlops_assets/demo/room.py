"""Room for a play: an empty state folder, and a terminal that only the play writes to.

Here: ``make_room``, ``logging_to``. Belongs here: what every play needs before it begins. Does not: what is played.
"""

import os
import shutil
import sys
import warnings
from pathlib import Path

from mlops_assets.adapters.services import stop_services
from mlops_assets.adapters.settings import Settings

PARTS = ("dagster", "tables", "mlflow", "serving")


def make_room(settings: Settings, mark: str) -> str | None:
    """Take away what an earlier play of the same mark left. Anybody else's state stays: then why nothing can begin."""
    state = settings.state
    if any((state / name).exists() for name in PARTS):
        if not (state / mark).exists():
            return f"{state} holds state that is somebody else's. Take it away with `make clean`, or set MLOPS_STATE."
        stop_services(settings)
        shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    (state / mark).write_text("`make clean` and the next play take this folder away.\n")
    return None


class logging_to:
    """Everything that libraries write to standard error goes to a file; the console stays the play's own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        self._saved = os.dup(2)
        with self._path.open("ab") as file:
            os.dup2(file.fileno(), 2)

    def __exit__(self, *error: object) -> None:
        sys.stderr.flush()
        os.dup2(self._saved, 2)
        os.close(self._saved)
