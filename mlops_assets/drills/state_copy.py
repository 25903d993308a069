"""A consistent copy of a state folder, also of one in which a system works; the original is only read.

Here: ``copy_state``, and ``traces`` by which a touched original shows. Belongs here: in which order what is copied, and
how a database that somebody writes is read. Does not: which addresses the copy gets (``drills.sandbox``).

What is recorded last is copied first: Dagster's log, then the registry, then the files and rows that both speak of. So
the copy may hold a file more than its records know of, never a record of a file that it does not hold. SQLite's own
backup copies a database at one instant; of a Delta table the log comes before the data that it names.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from mlops_assets.adapters.settings import Settings
from mlops_assets.drills.refusals import NotCopied
from mlops_assets.ml.bundles import digest_of

SQLITE = b"SQLite format 3\x00"
MODE_AT, WRITE_AHEAD = 18, 2
"""Byte of the header that tells how a database is written."""
LOG = "_delta_log"
LEFT_OUT = ("-wal", "-shm", "-journal", ".lock", ".pid", ".sock", ".log", ".half")
"""Of a database these belong to its writers, of a server to its process: a copy has neither."""
OF_PROCESSES = {"dagster/logs", "dagster/storage", "serving/nudge", "serving/server.json"}
PARTS = ("dagster", "mlflow", "serving", "features", "landing", "artifacts", "studies", "dvc", "dvc-remote")
"""Folders of a state, in the order of copying; the tables come after them. What people were told stays behind: an alert
that is open in the original would not be told in the copy."""


def copy_state(settings: Settings, folder: Path) -> int:
    """Copy everything that the deployment of ``settings`` keeps into ``folder``; the bytes that were copied.

    Raises NotCopied for a deployment whose registry, online store or traffic log is not a part of its state folder.
    """
    refuse_elsewhere(settings)
    folder.mkdir(parents=True)
    copied = sum(_copy(settings.state / name, folder / name, settings.state) for name in PARTS)
    return copied + _copy(settings.tables, folder / "tables", settings.state)


def traces(folder: Path) -> dict[str, str]:
    """Every file with the digest of its bytes and the instant of its last change: equal, and nobody touched it.

    But for the shared memory of a write-ahead database, in which its readers mark their place.
    """
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.endswith("-shm"))
    return {str(f.relative_to(folder)): f"{digest_of(f.read_bytes())} {f.stat().st_mtime_ns}" for f in files}


def refuse_elsewhere(settings: Settings) -> None:
    """Raise NotCopied when a part of the deployment's state is not a file of this machine."""
    elsewhere = {
        "the online store (MLOPS_ONLINE_STORE)": bool(settings.online_store),
        "the traffic log (MLOPS_TRAFFIC_LOG)": bool(settings.traffic_log),
        "the registry (MLOPS_REGISTRY_URI)": not (settings.mlflow / "mlflow.db").exists(),
    }
    if named := [name for name, true in elsewhere.items() if true]:
        raise NotCopied(
            f"{' and '.join(named)} of {settings.state} is not in that folder, and a drill touches nothing that it "
            "has not copied: run it with --on base, which makes a small system of its own"
        )


def _copy(source: Path, target: Path, state: Path) -> int:
    """One folder, Delta's logs before their data."""
    if not source.exists():
        return 0
    files = sorted(_files(source, state), key=lambda file: LOG not in file.parts)
    return sum(_one(file, target / file.relative_to(source)) for file in files)


def _files(source: Path, state: Path) -> Iterator[Path]:
    for file in source.rglob("*"):
        inside = file.relative_to(state).as_posix() if file.is_relative_to(state) else file.name
        of_process = any(inside == part or inside.startswith(f"{part}/") for part in OF_PROCESSES)
        if file.is_file() and not file.is_symlink() and not of_process and not file.name.endswith(LEFT_OUT):
            yield file


def _one(source: Path, target: Path) -> int:
    """One file; 0 for one that went away since it was listed, as temporary ones do."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _way(source)(source, target)
    except FileNotFoundError:
        return 0
    return target.stat().st_size


def _way(source: Path) -> Callable[[Path, Path], object]:
    with source.open("rb") as file:
        return _database if file.read(len(SQLITE)) == SQLITE else shutil.copy2


def _database(source: Path, target: Path) -> None:
    """A database at one instant, whoever writes it meanwhile; its own file is opened for reading alone."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?{_opened(source)}", uri=True, timeout=30)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)


def _opened(source: Path) -> str:
    """How to open it without a trace. A write-ahead database whose writers are gone would get two files beside it."""
    with source.open("rb") as file:
        ahead = file.read(MODE_AT + 1)[MODE_AT] == WRITE_AHEAD
    return "mode=ro" if not ahead or source.with_name(f"{source.name}-wal").exists() else "immutable=1"
