"""The one Dagster of a state folder: two daemons on one state would each start what a sensor asks for.

Here: ``claim_dagster``, ``running_dagster``. Belongs here: who runs Dagster on a state. Does not: starting it
(``cli.run``), the servers beside it (``services``).
"""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters import processes
from mlops_assets.adapters.locks import locked
from mlops_assets.adapters.settings import Settings

if TYPE_CHECKING:
    import psutil

DEV_CHILD = "--shutdown-pipe"
"""Word in the command line of what ``dagster dev`` starts: its web server and its daemon."""


class DagsterRuns(RuntimeError):
    """Another ``mlops up`` runs Dagster on this state."""


def claim_dagster(settings: Settings) -> None:
    """Record this process as the one that runs Dagster on the state; the record holds for what it executes instead.

    Raises DagsterRuns while another process does. One that ended or was killed does not count, and what it left
    running is ended.
    """
    with locked(_record(settings).with_suffix(".lock")):
        other = running_dagster(settings)
        if other and other.pid != os.getpid():
            raise DagsterRuns(
                f"Dagster runs already on {settings.state}, as process {other.pid}: end that `mlops up` with Ctrl-C or "
                f"`kill {other.pid}`, or set MLOPS_STATE to another folder"
            )
        _end_orphans(settings.dagster)
        processes.write_record(_record(settings), processes.record_of(os.getpid(), ("mlops", "up")))


def running_dagster(settings: Settings) -> processes.Record | None:
    """The process that ``mlops up`` became on this state, or None when there is none."""
    return processes.running(_record(settings))


def _record(settings: Settings) -> Path:
    return settings.state / "services" / "dagster.json"


def _end_orphans(home: Path) -> None:
    """End the daemon and the web server of a ``dagster dev`` that was killed: they go on without it for ever."""
    import psutil

    orphans = [process for process in psutil.process_iter() if _is_orphan(process, home)]
    for orphan in orphans:
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.terminate()
    for survivor in psutil.wait_procs(orphans, processes.GRACE_SECONDS)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()


def _is_orphan(process: "psutil.Process", home: Path) -> bool:
    import psutil

    if DEV_CHILD not in processes.command_line(process):
        return False
    try:
        parent = process.parent()
        ours = process.environ().get("DAGSTER_HOME") == str(home)
    except psutil.Error:
        return False
    return ours and (parent is None or processes.program_of(processes.command_line(parent)) not in processes.DAGSTER)
