"""``make bench-features``: what the feature store costs beside its peers, for training sets and for one answer.

Here: which figures are taken and what they are compared with. Does not belong here: the ways of reading
(``benchmarks.features_offline``, ``benchmarks.features_online``), the tables (``benchmarks.features_tables``).
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.features_tables import CORRECTED, PLAIN, make_year
from benchmarks.measure import Measured, measured, median
from benchmarks.report import Row, against, write

TITLE = "The feature store beside Feast's own stores and bare DuckDB"
TEXT = """
**Training sets**: {rows:,} decisions of 2013 joined, point in time, with the 36 features of the four views
(934,191 snapshots; a Delta file for each view and day). Each retrieval is a process of its own, {rounds} times in
turns, the median counts; time runs from the call to the Arrow table in hand, memory is the peak of the process with
all that it imported. All ways were found to give the same values, row for row, by one SHA-256.

- **ours**: Feast's `get_historical_features` on our offline store, on the Delta tables; a value that was created after
  the decision is not seen. **training_frame** is what a training set is made with: the same as a pandas frame, with the
  on-demand features.
- **bare DuckDB SQL**: ASOF joins with the time to live, on the same Delta files, which deltalake names; and on the
  Parquet copies. It knows nothing of created times.
- **Feast's DuckDB store** and **Feast's dask store** on Parquet copies, one file for each view.
- **corrected**: the same with one more row, known twenty minutes later, for 1 % of the snapshots; Feast's DuckDB store
  with its `filter_by_created_timestamp`.

**One answer**: one row of all four views from the online store, {online_rows:,} different rows, the ways in turns in
one process; values were found equal. Decoded keys are kept until the file changes unless the row says otherwise.
"""
BARE, DUCKDB, DASK = "bare DuckDB SQL", "Feast's DuckDB store", "Feast's dask store"
NAMES = {
    "ours": "ours", "training_frame": "training_frame", "bare_delta": BARE, "feast_duckdb": DUCKDB,
    "bare_parquet": f"{BARE}, Parquet copies",
}  # fmt: skip


def main(rounds: int, dask_limit_s: float) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="bench-features-") as folder:
        root = Path(folder)
        rows = make_year(root)
        figures = [*offline(root, rounds), *corrected(root), *dask(root, dask_limit_s), *online(root)]
    write("features", TITLE, figures, TEXT.format(rows=rows, rounds=rounds, online_rows=2000))


def retrieve(root: Path, way: str, variant: str = PLAIN, limit_s: float | None = None) -> Measured:
    """One retrieval."""
    return measured("benchmarks.features_offline", way, str(root), variant, limit_s=limit_s)


def offline(root: Path, rounds: int) -> list[Row]:
    """A year's training set, every way in turns."""
    taken: dict[str, list[Measured]] = {way: [] for way in NAMES}
    for _ in range(rounds):
        for way, figures in taken.items():
            figures.append(retrieve(root, way))
    _same([one for figures in taken.values() for one in figures])
    times = {way: Row(name=NAMES[way], value=_median(taken[way], "seconds"), unit="s") for way in NAMES}
    ours, bare = times["ours"], times["bare_delta"]
    return [
        _compared(ours, bare, at_most=1.5),
        _compared(times["training_frame"], bare),
        bare,
        times["bare_parquet"],
        _compared(times["feast_duckdb"], ours, at_least=15),
        *(Row(name=f"{NAMES[way]}, memory", value=_median(taken[way], "peak_mb"), unit="MB") for way in NAMES),
    ]


def corrected(root: Path) -> list[Row]:
    """The same on tables with corrections."""
    taken = {way: retrieve(root, way, CORRECTED) for way in ("ours", "feast_duckdb")}
    _same(list(taken.values()))
    ours, feasts = (Row(name=f"{NAMES[w]}, corrected", value=m.told["seconds"], unit="s") for w, m in taken.items())
    return [ours, _compared(feasts, ours, at_least=15)]


def dask(root: Path, limit_s: float) -> list[Row]:
    """Feast's default store, as long as we wait for it."""
    one = retrieve(root, "feast_dask", limit_s=limit_s)
    seconds = one.told["seconds"] if one.finished else None
    note = "" if one.finished else f"did not finish in {limit_s:,.0f} s"
    memory = Row(name=f"{DASK}, memory", value=one.peak_mb, unit="MB", note="until it was ended" if note else "")
    return [Row(name=DASK, value=seconds, unit="s", note=note), memory]


def online(root: Path) -> list[Row]:
    """One row of all views."""
    arguments = (str(root / PLAIN / "tables"), str(root / "decisions.parquet"))
    found = measured("benchmarks.features_online", str(root / "sqlite"), *arguments).told
    rows = _latencies("SQLite", found, goal=True)
    if shutil.which("redis-server") is None:
        return [*rows, Row(name="Redis", value=None, unit="ms", note="redis-server is not installed")]
    with redis_server(root) as address:
        found = measured("benchmarks.features_online", str(root / "redis"), *arguments, address).told
    return [*rows, *_latencies("Redis", found)]


def _latencies(store: str, found: Mapping[str, Any], *, goal: bool = False) -> list[Row]:
    rows = []
    for way, told in found.items():
        wanted = "at most 1 ms" if goal and way.startswith("ours") else None
        note = f"99th percentile {told['p99_ms']:.3g} ms"
        met = told["median_ms"] <= 1 if wanted else None
        name = f"{store}: {way}, median"
        rows.append(Row(name=name, value=told["median_ms"], unit="ms", goal=wanted, met=met, note=note))
    return rows


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    switches = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder))
    process = subprocess.Popen(["redis-server", *switches], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _median(taken: Sequence[Measured], figure: str) -> float:
    return median([one.told[figure] for one in taken])


def _same(taken: Sequence[Measured]) -> None:
    digests = {one.told["digest"] for one in taken}
    if len(digests) > 1:
        raise AssertionError(f"the ways found different values: {digests}")


def _compared(row: Row, other: Row, *, at_most: float | None = None, at_least: float | None = None) -> Row:
    ratio = against(row, other)
    goal = f"at most {at_most:g}" if at_most else f"at least {at_least:g}" if at_least else None
    met = None if goal is None or ratio is None else ratio <= at_most if at_most else ratio >= (at_least or 0)
    return Row(name=row.name, value=row.value, unit=row.unit, ratio=ratio, against=other.name, goal=goal, met=met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dask-limit", type=float, default=300.0, help="seconds")
    chosen = parser.parse_args()
    main(chosen.rounds, chosen.dask_limit)
