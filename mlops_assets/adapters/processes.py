"""Processes that outlive their starter, remembered in files and never mistaken for others.

Here: start, find again and end a detached process. Belongs here: anything about processes as such.
Does not: which processes the project needs (``services``).

A pid alone is no name: numbers are used again. A record holds the instant of the start too, and the command line is
compared before anything is ended.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import psutil

GRACE_SECONDS = 12.0
"""For a process to end itself and its children: the model server gives its own ten seconds."""
ORPHAN_SECONDS = 2.0
"""For what its leader left behind, before it is killed."""
POLL_SECONDS = 0.05
DAGSTER = ("dagster", "dg")
"""Programs that run Dagster."""


class Record(msgspec.Struct, frozen=True):
    """One process, as a file remembers it."""

    pid: int
    started_at: float
    """Epoch seconds, from the operating system."""
    command: tuple[str, ...] = ()
    """How it was started, for the reader of the file."""


def spawn(command: Sequence[str], log: Path, folder: Path) -> Record:
    """Start a process of its own session in ``folder``, writing to the end of ``log``. POSIX only."""
    log.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, start_new_session=True
        )
    return record_of(process.pid, tuple(command))


def record_of(pid: int, command: tuple[str, ...] = ()) -> Record:
    """The record of a running process. Raises ProcessLookupError when there is none."""
    import psutil

    try:
        return Record(pid, psutil.Process(pid).create_time(), command)
    except psutil.Error as error:
        raise ProcessLookupError(f"no process {pid}: {error}") from error


def find(record: Record) -> "psutil.Process | None":
    """The running process of a record, or None when it is gone, also when its pid went to another."""
    import psutil

    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.started_at) < 0.1
        return process if same and _runs(process) else None
    except psutil.Error:
        return None


def end(record: Record, marks: Sequence[str]) -> bool:
    """End a recorded process and all that it started, gently at first; False when it was gone already.

    Raises PermissionError when the process that has this pid does not bear all ``marks`` in its command line: then it
    is not ours, and nothing is touched.
    """
    import psutil

    process = find(record)
    if process is None:
        return False
    line = " ".join(_told_line(process))
    if not _runs(process):
        return False
    if not all(mark in line for mark in marks):
        raise PermissionError(f"process {record.pid} is not ours and was left alone: {line}")
    family = process.children(recursive=True)
    _signal_group(record.pid, signal.SIGTERM)
    for orphan in (*_survivors([process], GRACE_SECONDS), *family):
        with contextlib.suppress(psutil.NoSuchProcess):
            orphan.terminate()
    for survivor in _survivors([process, *family], ORPHAN_SECONDS):
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    # A killed process is there until the kernel has taken it down.
    _survivors([process, *family], ORPHAN_SECONDS)
    return True


def _survivors(processes: Sequence["psutil.Process"], seconds: float) -> list["psutil.Process"]:
    """Those that still run after so many seconds. One that ended counts as gone though its parent has not looked."""
    deadline = time.monotonic() + seconds
    while (left := [p for p in processes if _runs(p)]) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def _runs(process: "psutil.Process") -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def read_record(path: Path) -> Record | None:
    """A record from its file, or None when there is no whole one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def running(path: Path) -> Record | None:
    """The record in a file while its process runs, or None."""
    record = read_record(path)
    return record if record and find(record) else None


def write_record(path: Path, record: Record) -> None:
    """Remember a process in a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(msgspec.json.encode(record))
    half.replace(path)


def listener(port: int) -> "psutil.Process | None":
    """The process that listens on a loopback port, as far as this user may see it."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return None
    listening = (c for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port)
    pid = next((c.pid for c in listening if c.pid), None)
    return psutil.Process(pid) if pid else None


def outermost(programs: Sequence[str]) -> int:
    """Pid of the outermost ancestor that runs one of these programs (``dagster``), else our own pid."""
    import psutil

    me = psutil.Process()
    for ancestor in reversed(me.parents()):
        if program_of(command_line(ancestor)) in programs:
            return ancestor.pid
    return me.pid


def program_of(command: Sequence[str]) -> str:
    """The program that a command line runs, seen through its interpreter.

    >>> program_of(["/usr/bin/python3", "/env/bin/dagster", "dev"]), program_of(["python", "-m", "dagster", "dev"])
    ('dagster', 'dagster')
    """
    words = [Path(word).name for word in command[:3]]
    if words and words[0].startswith("python"):
        words = words[2:] if words[1:2] == ["-m"] else words[1:]
    return words[0] if words else ""


def _told_line(process: "psutil.Process") -> list[str]:
    """Its command line. The kernel tells none for a moment while a process begins or ends."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while not (line := command_line(process)) and _runs(process) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return line


def command_line(process: "psutil.Process") -> list[str]:
    """The words of a process's command line; none when it is gone or not ours to look at."""
    import psutil

    try:
        return process.cmdline()
    except psutil.Error:
        return []
