"""Keeping one Delta table small: files merged, files of old versions deleted, the log kept.

Here: ``compact``, ``vacuum``, ``is_whole`` and the log's settings. Belongs here: what happens to a table without
changing a row. Does not: which versions are needed (``adapters.pins``), writing rows (``adapters.delta``).

The log is never cut: it is what opens an old version. A commit of one day adds some 2 kB to it, and every hundredth
leaves a checkpoint by itself, so that opening takes 3 to 12 ms however long the log is. Delta's own default is to drop
entries after 30 days.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable

LOG = {"delta.logRetentionDuration": "interval 36500 days"}
"""Table properties that keep the log of every version."""


def keep_log(delta: "DeltaTable") -> None:
    """Give a table that was made without them the properties of ``LOG``."""
    if any(delta.metadata().configuration.get(name) != value for name, value in LOG.items()):
        delta.alter.set_table_properties(LOG)


def compact(delta: "DeltaTable") -> int:
    """Merge the small files of each day; returns how many went into larger ones.

    Raises CommitFailedError when a writer replaced one of them meanwhile.
    """
    return int(delta.optimize.compact()["numFilesRemoved"])


def vacuum(delta: "DeltaTable", keep: Collection[int], older_than_hours: int) -> int:
    """Delete the files that neither the current version nor those to keep need; returns how many there were.

    What became unneeded less than so many hours ago stays, also what a writer that died left behind (or one that is
    still at work: fewer hours than the longest run takes would delete under its hands).
    """
    opened = [version for version in sorted(keep) if version <= delta.version()]
    options = {"full": True, "enforce_retention_duration": False, "keep_versions": opened}
    doomed = delta.vacuum(older_than_hours, dry_run=True, **options)
    # Deleted files stay in the list for as long as the log tells of them: without a look, every night would commit.
    count = len(doomed) - len(_absent(delta, doomed))
    if count:
        delta.vacuum(older_than_hours, dry_run=False, **options)
    return count


def is_whole(delta: "DeltaTable") -> bool:
    """True when every file of this version is there."""
    import pyarrow as pa

    return not _absent(delta, pa.table(delta.get_add_actions(flatten=True))["path"].to_pylist())


def _absent(delta: "DeltaTable", paths: Sequence[str]) -> list[str]:
    from urllib.parse import unquote

    from pyarrow.fs import FileSystem, FileType

    files, root = FileSystem.from_uri(delta.table_uri)
    found = files.get_file_info([f"{root.rstrip('/')}/{unquote(path)}" for path in paths])
    return [path for path, info in zip(paths, found, strict=True) if info.type is FileType.NotFound]
