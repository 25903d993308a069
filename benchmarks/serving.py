"""``make bench-serving``: the model server beside its peers.

Here: which figures are taken and what they are compared with. Does not belong here: the servers
(``benchmarks.serving_peers``, ``benchmarks.serving_ours``), load (``benchmarks.serving_load``), the model and its rows
(``benchmarks.serving_data``).
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from benchmarks import serving_ours
from benchmarks.measure import BenchmarkFailed, median
from benchmarks.report import Row, against, write
from benchmarks.serving_load import LOAD_CORE, SERVER_CORE, load, write_bodies
from benchmarks.serving_peers import Peer, Running, ask, peers, running

TITLE = "The model server beside its peers"
TEXT = """
One LightGBM model of {trees} trees and 63 leaves on {width} features of real flights, {rows:,} different rows, one
worker, the server on one processor and the load (wrk, keep-alive) on the other. {rounds} rounds, the servers in turns,
{seconds:g} s for each figure, the median counts. Every server's scores of 100 rows were compared with the booster's
first: the column *difference* is the largest one. Peers run in environments of their own, with their defaults and one
worker; they are asked with encoded numbers.

**ours** is what `mlops serve` starts, with everything on: validation, categories sent as text, canary routing,
metrics, the reconciler beside the worker, and the durable log: an answer leaves after its record is on disk. Its row
of features is asked by MLflow's own protocol. **By entity**: the caller sends the flight, the server fetches the
features of all four views from the SQLite online store. **Asynchronous log**: `MLOPS_TRAFFIC_LOG_WAIT=0`.

**Of capacity**: an open loop (Poisson arrivals, `benchmarks.serving_overload`) at shares of the rate that the server
reached with 64 connections; a request's time counts from the moment it was due. *Refused* are answered 429 or 503;
*unanswered* are those for which none of the load's 1,000 connections was free, or that got no answer.
**With a shadow**: the same server with a second version in shadow.

**In process** is `lightgbm.Booster.predict` with one thread on the same rows, without any server.
"""
CONNECTIONS = (1, 16, 64)
BIG = (100, 1000)
BIG_CONNECTIONS = 4
FACTORS = (0.5, 0.8, 1.0, 1.5, 2.0)
SHADOWED = "ours, with a shadow"
ASYNCHRONOUS = "ours, asynchronous log"
MLFLOW, MLSERVER, OURS, IN_PROCESS = "mlflow models serve", "MLServer", "ours", "in process"
Figures = dict[tuple[str, str], list[float]]


def main(state: Path, rounds: int, seconds: float, only: Sequence[str]) -> None:
    """Measure and write."""
    subprocess.run([sys.executable, "-m", "benchmarks.serving_data", str(state)], check=True, capture_output=True)
    told = json.loads((state / "bench" / "rows.json").read_bytes())
    bundle, work = state / "bench" / "bundle", state / "work"
    names = list(told["features"][0])
    encoded, plain = told["matrix"], [list(row.values()) for row in told["features"]]
    booster = lightgbm.Booster(model_file=str(bundle / "model.txt"))
    trees = json.loads((bundle / "signature.json").read_bytes())["trees"]
    wanted = np.asarray(booster.predict(np.array(encoded[:100]), num_iteration=trees, num_threads=1))
    figures: Figures = defaultdict(list)
    missing: dict[str, str] = {}
    with serving_ours.registry(state, bundle) as known:
        for _ in range(rounds):
            for size, rate in in_process(bundle, state).items():
                figures[IN_PROCESS, f"{size} rows"].append(rate)
            for peer in [p for p in peers(work, bundle / "model.txt", names) if p.name not in missing]:
                if only and peer.name not in only:
                    continue
                try:
                    measure(peer, running(peer, state / "envs", work, encoded), encoded, wanted, work, seconds, figures)
                except BenchmarkFailed as error:
                    missing[peer.name] = f"not measured in every round: {str(error).splitlines()[0]}"
                    print(f"{peer.name}: {error}", flush=True)
            ours, entity = serving_ours.features(names), serving_ours.by_entity()
            measure(ours, serving_ours.server(known, ours, plain), plain, wanted, work, seconds, figures)
            behind = replace(ours, name=ASYNCHRONOUS)
            held = serving_ours.server(known, behind, plain, wait=False)
            measure(behind, held, plain, wanted, work, seconds, figures)
            measure(
                entity, serving_ours.server(known, entity, told["decisions"]), told["decisions"], None, work, seconds,
                figures,
            )  # fmt: skip
            with serving_ours.server(known, ours, plain) as server, known.shadowed(state / "bench" / "shadow"):
                shadow(ours, server, work, seconds, figures)
            with serving_ours.server(known, ours, plain) as server:
                figures[OURS, "worker's memory"].append(serving_ours.worker(server.pid).memory_info().rss / 2**20)
                figures[OURS, "worker's start"].append(serving_ours.worker_start_s(server.pid, server.url))
    text = TEXT.format(trees=trees, width=len(names), rows=len(encoded), rounds=rounds, seconds=seconds)
    write("serving", TITLE, rows_of(figures, missing), text, {"figures": [[*key, all] for key, all in figures.items()]})


def measure(
    peer: Peer, server: AbstractContextManager[Running], rows: Sequence[Any], wanted: np.ndarray | None, work: Path,
    seconds: float, figures: Figures,
) -> None:  # fmt: skip
    """One round of one server."""
    with server as held:
        if wanted is not None:
            scores = np.array(ask(held.url, peer, rows[: len(wanted)]))
            figures[peer.name, "difference"].append(float(np.abs(scores - wanted).max()))
        bodies = write_bodies(work / f"{peer.name}.jsonl", [peer.body([row]) for row in rows])
        load(held.url, peer.route, bodies, 4, 1)
        for connections in CONNECTIONS:
            taken = load(held.url, peer.route, bodies, connections, seconds)
            figures[peer.name, f"{connections}"].append(taken.rate)
            figures[peer.name, f"{connections} median"].append(taken.median_ms)
            figures[peer.name, f"{connections} p99"].append(taken.p99_ms)
        for size in BIG:
            parts = [peer.body(rows[first : first + size]) for first in range(0, len(rows), size)]
            bodies = write_bodies(work / f"{peer.name}-{size}.jsonl", parts)
            taken = load(held.url, peer.route, bodies, BIG_CONNECTIONS, seconds)
            figures[peer.name, f"{size} rows"].append(taken.rate * size)
        if peer.name in (MLFLOW, MLSERVER, OURS):
            singles, capacity = work / f"{peer.name}.jsonl", figures[peer.name, "64"][-1]
            for factor in FACTORS:
                taken = overload(held.url, peer.route, singles, factor * capacity, seconds)
                for name, value in taken.items():
                    figures[peer.name, f"{factor:g} of capacity: {name}"].append(value)
        figures[peer.name, "start"].append(held.start_s)
        figures[peer.name, "memory"].append(held.memory_mb)
    print(peer.name, {name: round(all[-1], 2) for (who, name), all in figures.items() if who == peer.name}, flush=True)


def shadow(peer: Peer, server: Running, work: Path, seconds: float, figures: Figures) -> None:
    """What a shadow costs the answers: nothing beyond capacity, where it waits, and below it."""
    bodies = work / f"{peer.name}.jsonl"
    taken = load(server.url, peer.route, bodies, 16, seconds)
    figures[SHADOWED, "16"].append(taken.rate)
    told = overload(server.url, peer.route, bodies, 0.5 * figures[OURS, "64"][-1], seconds)
    figures[SHADOWED, "0.5 of capacity: median_ms"].append(told["median_ms"])
    figures[SHADOWED, "0.5 of capacity: p99_ms"].append(told["p99_ms"])


def overload(url: str, route: str, bodies: Path, rate: float, seconds: float) -> dict[str, float]:
    """An open loop on the load's processor."""
    host, _, port = url.removeprefix("http://").partition(":")
    wanted = [sys.executable, "-m", "benchmarks.serving_overload", host, port, route, str(bodies), str(rate)]
    done = subprocess.run(["taskset", "-c", LOAD_CORE, *wanted, str(seconds)], capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchmarkFailed(done.stderr[-2000:])
    return json.loads(done.stdout)


IN_PROCESS_CODE = """
import json, sys, time
import lightgbm, numpy as np
booster = lightgbm.Booster(model_file=sys.argv[1] + "/bundle/model.txt")
trees = json.load(open(sys.argv[1] + "/bundle/signature.json"))["trees"]
matrix, told = np.array(json.load(open(sys.argv[1] + "/rows.json"))["matrix"]), {}
for size in (1, 100, 1000):
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < 1.5:
        first = done % (len(matrix) - size + 1)
        booster.predict(matrix[first:first + size], num_iteration=trees, num_threads=1)
        done += size
    told[size] = done / (time.perf_counter() - began)
print(json.dumps(told))
"""


def in_process(bundle: Path, state: Path) -> dict[str, float]:
    """Rows a second of LightGBM alone, by rows a call."""
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-c", IN_PROCESS_CODE, str(state / "bench")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


GOALS = (
    (OURS, "16", MLFLOW, "16", 38.0), (OURS, "16", MLSERVER, "16", 6.0), (OURS, "64", MLFLOW, "64", 50.0),
    (ASYNCHRONOUS, "16", MLFLOW, "16", 45.0), (ASYNCHRONOUS, "64", MLFLOW, "64", 60.0),
    ("ours, features fetched by entity", "16", MLFLOW, "16", 10.0),
    (OURS, "100 rows", IN_PROCESS, "100 rows", 0.8), (OURS, "1000 rows", IN_PROCESS, "1000 rows", 0.8),
)  # fmt: skip


def rows_of(figures: Figures, missing: dict[str, str]) -> list[Row]:
    """The table: the goals first."""

    def row(who: str, what: str, unit: str) -> Row:
        taken = figures.get((who, what))
        said = f"{what} connections" if what.isdigit() else what
        return Row(name=f"{who}: {said}", value=median(taken) if taken else None, unit=unit, note="" if taken else
                   missing.get(who, "not measured")[:200])  # fmt: skip

    rows = []
    for who, what, other, its, goal in GOALS:
        unit = "rows/s" if "rows" in what else "requests/s"
        mine, peers_row = row(who, what, unit), row(other, its, unit)
        ratio = against(mine, peers_row)
        met = None if ratio is None else ratio >= goal
        rows.append(with_goal(mine, ratio, peers_row.name, f"at least {goal:g}", met))
    mine, theirs = row(OURS, "1 median", "ms"), row(MLFLOW, "1 median", "ms")
    ratio = against(mine, theirs)
    rows.append(with_goal(mine, ratio, theirs.name, "at most 1/9", None if ratio is None else ratio <= 1 / 9))
    for what, unit, most in (("worker's start", "s", 2.0), ("worker's memory", "MB", 150.0)):
        mine = row(OURS, what, unit)
        met = None if mine.value is None else mine.value <= most
        rows.append(with_goal(mine, None, None, f"at most {most:g}", met))
    low, high = row(OURS, "0.8 of capacity: p99_ms", "ms"), row(OURS, "2 of capacity: p99_ms", "ms")
    ratio = against(high, low)
    rows.append(with_goal(high, ratio, low.name, "at most 5", None if ratio is None else ratio <= 5))
    for what, unit in (("16", "requests/s"), ("0.5 of capacity: median_ms", "ms"), ("0.5 of capacity: p99_ms", "ms")):
        mine, alone = row(SHADOWED, what, unit), row(OURS, what, unit)
        rows.append(with_goal(mine, against(mine, alone), alone.name, None, None))
    known = dict.fromkeys(who for who, _ in figures)
    for who in known:
        units = {str(c): "requests/s" for c in CONNECTIONS} | {f"{size} rows": "rows/s" for size in BIG}
        units |= {f"{c} {what}": "ms" for c in CONNECTIONS for what in ("median", "p99")}
        curve = ("sent", "accepted", "refused", "unanswered", "median_ms", "p99_ms")
        units |= {
            f"{f:g} of capacity: {name}": "ms" if "ms" in name else "requests/s" for f in FACTORS for name in curve
        }
        units |= {"start": "s", "memory": "MB", "difference": "probability"}
        rows += [row(who, what, unit) for what, unit in units.items() if (who, what) in figures]
    return rows + [Row(name=who, value=None, unit="", note=why[:200]) for who, why in missing.items()]


def with_goal(mine: Row, ratio: float | None, other: str | None, goal: str | None, met: bool | None) -> Row:
    """The row with what it is compared with."""
    return Row(name=mine.name, value=mine.value, unit=mine.unit, ratio=ratio, against=other, goal=goal, met=met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("state/bench-serving"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", nargs="*", default=(), help="peers to measure; all without")
    asked = parser.parse_args()
    main(asked.state.resolve(), asked.rounds, asked.seconds, asked.only)
