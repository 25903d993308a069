"""``make bench-monitoring_cost``: what a day's verdicts cost, and whether that grows with the history before it.

Here: the rounds and their figures. Does not belong here: the deployment that is measured
(``benchmarks.monitoring_world``), what the verdicts are worth.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import median
from benchmarks.model_data import USE_CASE, asked_state, landed_year
from benchmarks.monitoring_world import CHAMPION_DAYS, Material, World, material
from benchmarks.report import Row, against, write
from benchmarks.stopwatch import EventsWatched
from mlops_assets.adapters.scorers import reference_of, scorer_of
from mlops_assets.assets.address import DATASETS, MONITORING, REMEDIATION, key
from mlops_assets.assets.monitoring.decision import NAMES

DAY = "2013-12-27"
HISTORIES = (30, 180, 360)
REPEATS = 5
LIMIT_S, GROWTH = 1.0, 1.1
STEPS = {
    "monitors": [(MONITORING, name) for name in NAMES if name != "challenger_regret"],
    "challenger_regret": [(MONITORING, "challenger_regret")],
    "decision": [(MONITORING, "decision")],
    "incident": [(REMEDIATION, "incident")],
}
TEXT = """
One day's verdicts: {monitors} monitors with their pictures, the candidate's regret, the decision, the incidents. Real
features and outcomes of 2013, answers of two models trained on them, in Delta tables with a commit a day, as the
nightly upkeep leaves them; verdicts and decisions of every day before as files; an MLflow registry in SQLite that is
asked anew (no version stays in memory). Imports were done before. Champion and predecessor are compared on {champion}
days, a candidate is in shadow. The time is that in the bodies of the assets, the median of {repeats} runs; Dagster's
part depends on what else runs with them, and each step is a run of its own here.
"""


def measure(state: Path) -> tuple[list[Row], str]:
    """Rows and a text for the report. ``state``: where ``benchmarks.model_data.Graph`` landed and froze the year."""
    made, rows = material(state), []
    for history in HISTORIES:
        taken = _taken(made, history)
        note = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in taken.parts.items())
        row = Row(
            name=f"a day's verdicts after {history} days",
            value=taken.seconds,
            unit="s",
            goal=f"at most {LIMIT_S:g} s",
            met=taken.seconds <= LIMIT_S,
            note=f"{note}; whole runs {taken.whole:.2f} s, processor time {taken.processor:.2f} s",
        )
        rows.append(_grown(row, rows[0]) if rows else row)
    return rows, TEXT.format(monitors=len(STEPS["monitors"]), champion=CHAMPION_DAYS, repeats=REPEATS)


def _grown(row: Row, first: Row) -> Row:
    """The row beside the one of the shortest history."""
    ratio = against(row, first) or 0.0
    goal = f"{row.goal}, and 1.1 times"
    return replace(row, ratio=ratio, against=first.name, goal=goal, met=bool(row.met) and ratio <= GROWTH)


@dataclass(frozen=True)
class Taken:
    """The medians of some rounds."""

    seconds: float
    """In the bodies of assets."""
    processor: float
    whole: float
    """Of the runs, with Dagster around the bodies."""
    parts: Mapping[str, float]


def _taken(made: Material, history: int) -> Taken:
    folder = Path(tempfile.mkdtemp(prefix="bench-monitoring-"))
    try:
        world = World(made, folder / "state", DAY, history)
        world.run([key(USE_CASE.domain, DATASETS, "upkeep")], DAY)
        # The first round warms up: imports, compiled code, files in memory.
        rounds = [_once(world) for _ in range(REPEATS + 1)][1:]
    finally:
        shutil.rmtree(folder)
    bodies, processor, whole = zip(*rounds, strict=True)
    parts = {step: median([seconds[step] for seconds in bodies]) for step in STEPS}
    return Taken(median([sum(seconds.values()) for seconds in bodies]), median(processor), median(whole), parts)


def _once(world: World) -> tuple[dict[str, float], float, float]:
    """Seconds in the bodies by step, processor time of all, seconds of the whole runs."""
    scorer_of.cache_clear()
    reference_of.cache_clear()
    bodies, begun, at = {}, time.process_time(), time.perf_counter()
    for step, names in STEPS.items():
        with EventsWatched() as watched:
            world.run([key(USE_CASE, stage, name) for stage, name in names], DAY)
        bodies[step] = watched.body_seconds
    return bodies, time.process_time() - begun, time.perf_counter() - at


def main(state: Path | None) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="bench-year-") as folder, landed_year(place := state or Path(folder)):
        rows, page = measure(place)
    write("monitoring_cost", "What a day's verdicts cost", rows, page)


if __name__ == "__main__":
    main(asked_state(__doc__))
