"""What training through the graph costs beside bare LightGBM, and what the rest is spent on.

Here: the stopwatch. Does not belong here: how good the model is.
"""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import median, rounds
from benchmarks.model_bare import two_fits
from benchmarks.model_data import LAST, USE_CASE, Graph
from benchmarks.report import Row, against
from mlops_assets.adapters.artifacts import MemoryArtifacts
from mlops_assets.assets.files import training_set_of
from mlops_assets.assets.models.workbench import bundle_of, held_out_rows
from mlops_assets.ml.boosted_trees import DETERMINISM
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.plots import training_plot
from mlops_assets.ml.training import freeze, thaw

CUTOFFS = ("2013-03-31", LAST)


def cost(graph: Graph, repeats: int) -> list[Row]:
    """The rows about time, for the first training of a deployment and for one on the whole year."""
    rows = []
    for cutoff in CUTOFFS:
        rows += _at(graph, cutoff, repeats)
    return rows


def _at(graph: Graph, cutoff: str, repeats: int) -> list[Row]:
    freezing = _seconds(lambda: graph.freeze(cutoff))
    frame = graph.rows(cutoff)
    processor: dict[str, list[float]] = {"bare": [], "graph": []}
    taken = rounds(
        {
            "bare": lambda: _seconds(lambda: _bare(graph, frame), processor["bare"]),
            "graph": lambda: _seconds(lambda: graph.train(cutoff), processor["graph"]),
            "fit_bundle": lambda: _seconds(lambda: _fit_bundle(graph, frame)),
        },
        repeats + 1,
    )
    # The first round warms up: imports, files in memory.
    bare, whole, inside = (median(taken[name][1:]) for name in ("bare", "graph", "fit_bundle"))
    bare_cpu, whole_cpu = (median(processor[name][1:]) for name in ("bare", "graph"))
    where = f"{len(frame):,} rows"
    plain = Row(name=f"bare LightGBM, two fits, {where}", value=bare, unit="s")
    through = Row(name=f"through the graph, {where}", value=whole, unit="s")
    ratio = against(through, plain) or 0.0
    parts = _parts(graph, cutoff)
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
    note = (
        f"inside fit_bundle {inside:.2f} s (split, encoding, the two fits, golden rows); around it {told}; processor "
    )
    note += f"time {whole_cpu:.1f} s against {bare_cpu:.1f} s, {whole_cpu / bare_cpu:.3f} times"
    return [
        plain,
        Row(name=through.name, value=whole, unit="s", ratio=ratio, against=plain.name, goal="at most 1.1",
            met=ratio <= 1.1, note=note),
        Row(name=f"training set of {cutoff}, before that", value=freezing, unit="s", note="join, file, manifest; once"),
    ]  # fmt: skip


def _bare(graph: Graph, frame: Any) -> Any:
    facts = USE_CASE.training
    features = graph.inputs.features
    categories = [feature.name for feature in features if feature.kind == "category"]
    params = {**facts.params, **DETERMINISM}
    stops = (facts.rounds, facts.early_stopping_rounds, facts.validation_days)
    return two_fits(frame, [f.name for f in features], categories, USE_CASE.label, params, *stops)


def _fit_bundle(graph: Graph, frame: Any) -> Any:
    return fit_bundle(frame, USE_CASE, USE_CASE.training, graph.inputs)


def _parts(graph: Graph, cutoff: str) -> dict[str, float]:
    """Seconds of the steps around the fits, each taken by itself."""
    _, rows = training_set_of(graph.artifacts, USE_CASE, cutoff)
    held_out = held_out_rows(graph.artifacts, USE_CASE, cutoff)[[USE_CASE.entity_id, "day", "score"]]
    files = {**bundle_of(graph.artifacts, USE_CASE, cutoff), "held_out": b""}
    return {
        "reading the frozen rows": _seconds(lambda: thaw(rows)),
        "checking their digest": _seconds(lambda: training_set_of(graph.artifacts, USE_CASE, cutoff)),
        "the held-out file": _seconds(lambda: freeze(held_out)),
        "the picture": _seconds(lambda: training_plot([0.5] * 400, 400)),
        "files": _seconds(lambda: MemoryArtifacts().put_all("x", files)),
    }


def _seconds(work: Callable[[], Any], processor: list[float] | None = None) -> float:
    """Wall seconds; the processor's go into the list."""
    begin, busy = time.perf_counter(), time.process_time()
    work()
    if processor is not None:
        processor.append(time.process_time() - busy)
    return time.perf_counter() - begin
