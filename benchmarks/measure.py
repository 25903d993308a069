"""Measuring one command as a whole process: wall time, processor time, peak memory.

Here: ``measured``, ``rounds``, ``peak_mb_of``. Belongs here: anything about taking a figure. Does not: comparing
figures (``benchmarks.report``).
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One process that ran to its end, or to the time limit."""

    seconds: float
    """Wall time, from start to exit."""
    cpu_seconds: float
    """User and system time, with that of children it waited for."""
    peak_mb: float
    """Largest resident set, in MB of 2**20 bytes, as last seen 20 ms before its end or later."""
    finished: bool = True
    """False when the time limit ended it."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """The last line it printed, if that is a JSON object: figures it took of itself."""


class BenchmarkFailed(RuntimeError):
    """A measured process failed; the message holds the end of what it printed."""


def measured(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, limit_s: float | None = None
) -> Measured:
    """Run ``python -m module arguments`` and measure it. Raises BenchmarkFailed when it exits with an error."""
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-m", module, *arguments]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        finished, peak_mb = _wait(process, limit_s)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read().decode(errors="replace")
    if finished and process.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command)} exited with {process.returncode}:\n{printed[-3000:]}")
    return Measured(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=peak_mb,
        finished=finished,
        told=_last_object(printed),
    )


def _wait(process: "subprocess.Popen[bytes]", limit_s: float | None) -> tuple[bool, float]:
    """Wait without reaping, so that ``wait4`` can tell the usage; (False when the limit ended it, its peak in MB)."""
    end, peak_mb = None if limit_s is None else time.monotonic() + limit_s, 0.0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        peak_mb = max(peak_mb, peak_mb_of(str(process.pid)))
        if end is not None and time.monotonic() > end:
            process.kill()
            return False, peak_mb
        time.sleep(0.02)
    return True, peak_mb


def peak_mb_of(pid: str = "self") -> float:
    """The kernel's high-water mark of a process, in MB; ``ru_maxrss`` would count what the forking parent held too."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _last_object(printed: str) -> Mapping[str, Any]:
    lines = printed.strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except json.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def rounds(candidates: Mapping[str, Callable[[], float]], times: int) -> Mapping[str, Sequence[float]]:
    """Take every candidate's figure ``times`` times, in turns, so that noise of the machine meets all of them alike."""
    figures: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(times):
        for name, take in candidates.items():
            figures[name].append(take())
    return figures


def median(figures: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(figures))
