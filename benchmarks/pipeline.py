"""``make bench-pipeline``: what the graph costs beside a bare script, and how the cost grows with the years.

Here: which figures are taken and what they are compared with. Does not belong here: the two ways of doing the work
(``benchmarks.pipeline_graph``, ``benchmarks.pipeline_bare``), making more years (``benchmarks.shifted_years``).
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import measured, median
from benchmarks.report import Row, against, write
from benchmarks.shifted_years import FIRST_YEAR, land_years

TEXT = """
The daily datasets with their quarantine and the four feature views of nycflights13, from landed files to Delta tables.

- **graph**: the shipped definitions, one Dagster range run a year, Dagster's storage in SQLite as shipped.
- **bare**: a script that calls the same functions (contracts, checks, features) on the same files and appends to Delta
  tables, nothing around it.
- **events**: the part of the graph's time that Dagster spends on its own events, from the event to the console and the
  storage (a stopwatch on its two doors): for each day a planned and a materialized one of every asset, and one of every
  check.
- **assets**: the part of the graph's time that is spent in the bodies of assets and checks. What is neither that nor
  events are Dagster's steps around them: provenance, contexts, its own look at each event.
- Each way is a process of its own; time is the work in it without imports, memory the peak of the process so far. One
  year is measured {repeats} times in turns, the median counts.
- More years are the real year repeated ({days}); one process works them off, a range run a year,
  and the figures of 2 years are those after its second. One more day is a run of its own after the last year.
- Retrieval joins decisions with the four views, point in time, through the feature store, over the tables of the
  most years; more rows than there are flights are the same flights asked about at other hours.
"""
WAYS = ("graph", "bare")
Told = Mapping[str, Any]


def work(year: Told) -> float:
    """Seconds of a year."""
    return year["work"]


def net(year: Told) -> float:
    """Seconds of a year without Dagster's events."""
    return year["work"] - year["event_seconds"]


def peak(year: Told) -> float:
    """MB at most until the end of a year."""
    return year["peak_mb"]


ROWS = (1_000_000, 3_000_000, 10_000_000)


def main(years: Sequence[int], repeats: int) -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="bench-pipeline-") as folder:
        root, most = Path(folder), max(years)
        # One year more than is backfilled: its first days are the days that come one by one.
        land_years(root / "landing", FIRST_YEAR + most)
        turns = [{way: run(root, way, 1, f"{way}-1-{n}") for way in WAYS} for n in range(repeats)]
        once = {way: [turn[way] for turn in turns] for way in WAYS}
        rows = beside(once)
        long = {way: run(root, way, most, f"{way}-{most}") for way in WAYS}
        rows += [*growth(long, years), *one_more_day(once["graph"], long["graph"], most), *retrieval(root, most)]
    days = "29 February repeats the 28th"
    title = "The pipeline's cost beside a bare script, and its growth"
    write("pipeline", title, rows, TEXT.format(repeats=repeats, days=days))


def run(root: Path, way: str, years: int, name: str) -> Told:
    """One way of doing the work over so many years."""
    arguments = (str(root / "landing"), str(root / name), str(FIRST_YEAR + years - 1))
    return measured(f"benchmarks.pipeline_{way}", *arguments).told


def beside(once: Mapping[str, Sequence[Told]]) -> list[Row]:
    """One year, both ways."""

    def middle(way: str, figure: Callable[[Told], float]) -> float:
        return median([figure(told["years"][0]) for told in once[way]])

    bare = Row(name="bare, 1 year", value=middle("bare", work), unit="s")
    without = Row(name="graph, 1 year, without events", value=middle("graph", net), unit="s")
    events = Row(name="events, 1 year", value=middle("graph", lambda year: year["event_seconds"]), unit="s")
    bodies = Row(name="assets, 1 year", value=middle("graph", lambda year: year["body_seconds"]), unit="s")
    whole = Row(name="graph, 1 year, with events", value=middle("graph", work), unit="s")
    bare_mb = Row(name="bare, 1 year, memory", value=middle("bare", peak), unit="MB")
    graph_mb = Row(name="graph, 1 year, memory", value=middle("graph", peak), unit="MB")
    count = int(once["graph"][0]["years"][0]["events"])
    return [
        bare,
        compared(without, bare, at_most=1.5),
        compared(bodies, bare),
        compared(events, bare, note=f"{count:,} events"),
        compared(whole, bare),
        bare_mb,
        compared(graph_mb, bare_mb, at_most=2.0),
    ]


def growth(long: Mapping[str, Told], years: Sequence[int]) -> list[Row]:
    """Both ways after more and more years."""
    rows = []
    bares, graphs = long["bare"]["years"], long["graph"]["years"]
    first = Row(name=f"graph, a year of {years[0]}", value=sum(map(work, graphs[: years[0]])) / years[0], unit="s/year")
    for n in years:
        plain = Row(name=f"bare, {n} years", value=sum(map(work, bares[:n])), unit="s")
        without = Row(name=f"graph, {n} years, without events", value=sum(map(net, graphs[:n])), unit="s")
        a_year = Row(name=f"graph, a year of {n}", value=sum(map(work, graphs[:n])) / n, unit="s/year")
        plain_mb = Row(name=f"bare, {n} years, memory", value=peak(bares[n - 1]), unit="MB")
        graph_mb = Row(name=f"graph, {n} years, memory", value=peak(graphs[n - 1]), unit="MB")
        rows += [plain, compared(without, plain, 1.5), a_year if n == years[0] else compared(a_year, first, 1.1)]
        rows += [plain_mb, compared(graph_mb, plain_mb, 2)]
    return rows


def one_more_day(once: Sequence[Told], long: Told, most: int) -> list[Row]:
    """A day's run after one year and after the most."""
    singles = [seconds for told in once for seconds in told["single"]]
    day = Row(name="one more day after 1 year", value=median(singles), unit="s")
    last = Row(name=f"one more day after {most} years", value=median(long["single"]), unit="s")
    return [day, compared(last, day, at_most=1.1)]


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
