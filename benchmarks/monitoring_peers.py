"""The usual drift detectors on the rows that our monitors see: false alarms, and what they find beyond them.

Here: ``flag``, which asks every peer about windows of rows, and ``measure``, which makes their table. Belongs here: how
a peer is installed and run. Does not: what a peer does with a window (``benchmarks.peers.drift_*``), the faults
(``benchmarks.monitoring_faults``), our own monitors (``benchmarks.monitoring_detection``).

Every peer runs as a process of its own with its defaults, on a reference of January to June.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import BenchmarkFailed
from benchmarks.model_data import LAST, asked_state, landed_year
from benchmarks.monitoring import trained
from benchmarks.monitoring_detection import STARTS, in_turns
from benchmarks.monitoring_faults import FAULTS
from benchmarks.monitoring_year import Year
from benchmarks.report import FOLDER, Row, write
from benchmarks.serving_peers import HERE, environment
from mlops_assets.assets.partitions import shift
from mlops_assets.ml.bundles import ModelFeature

REFERENCE_END = "2013-06-30"
WEEK = 7
SPANS = (1, 3)
"""Days within which a fault is to be found."""
AT_A_TIME = 2
OURS = Path(sys.executable)
OWN = "this project"
TEXT = """
As people install them: each with its defaults in a process of its own, on the same rows; the reference are the training
rows of January to June. Asked every day about the day's rows, and on clean days about the last seven days' as well.
An episode is a run of days in alarm; every one of them is false, as nothing was done to these days. A fault is found
within three days when one of its first three days is in alarm. Whoever is always in alarm finds everything, so beside
it stands what is found **beyond false alarms**: minus the share of clean runs of as many days that have an alarm.
An error is an alarm: a monitor that fails tells somebody.

The faults are those of `make bench-monitoring` ({cases} of {weeks} fault weeks: the rows of the others are stopped when
they land and reach no detector). What this project says of the same {cases} stands in the last line, from that
benchmark's record; its false episodes are those of layers that act.

{notes}

{table}
"""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """One peer."""

    name: str
    script: str
    packages: tuple[str, ...]
    """Of its environment; none: this project's."""
    note: str
    env: Mapping[str, str] = field(default_factory=dict)


DETECTORS: Sequence[Detector] = (
    Detector(
        name="alibi-detect TabularDrift",
        script="drift_alibi",
        packages=(),
        note="0.13, p < 0.05 after Bonferroni. Missing values are filled with the reference's median, as it has no "
        "handling of them (a p-value of NaN is silence). The reference is 10,000 rows, evenly spread.",
    ),
    Detector(
        name="Evidently DataDriftPreset",
        script="drift_evidently",
        # It does not refuse pandas 3, on which it cannot be imported.
        packages=("evidently==0.7.23", "pandas<3"),
        env={"DO_NOT_TRACK": "1"},
        note="0.7.23, the dataset verdict: half of the columns drift. The pictures of the columns are left out, the "
        "reference is 10,000 rows, evenly spread. It raises when a column of a window has no value at all.",
    ),
    Detector(
        name="PSI > 0.2, any column",
        script="drift_psi",
        packages=(),
        note="Ten quantile bins of the reference.",
    ),
    Detector(
        name="NannyML univariate",
        script="drift_nannyml",
        # It imports statsmodels without declaring it.
        packages=("nannyml==0.13.1", "pandas<3", "statsmodels"),
        env={"NML_DISABLE_USAGE_LOGGING": "1"},
        note="0.13.1, an alert in any column: Jensen-Shannon distance, three standard deviations of the reference's "
        "own days (or weeks) above their mean.",
    ),
)


def flag(
    reference: pd.DataFrame,
    windows: Mapping[str, pd.DataFrame],
    features: Sequence[ModelFeature],
    envs: Path,
    series: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """What every peer says of every window: columns peer, window, flagged, error, seconds.

    Frames have a column per feature and ``day``. ``series`` puts windows into series, in their order: where nothing
    but the first alarm counts, a slow peer need not be asked on, and ``flagged`` is None. ``envs`` is the folder of
    the peers' environments.
    """
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        shared = _hand_over(Path(folder), reference, windows, features, series or {})
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            answers = pool.map(lambda peer: _ask(peer, shared, Path(folder) / peer.script, envs), DETECTORS)
            return pd.concat([_table_of(peer, windows, told) for peer, told in zip(DETECTORS, answers, strict=True)])


def _hand_over(
    folder: Path,
    reference: pd.DataFrame,
    windows: Mapping[str, pd.DataFrame],
    features: Sequence[ModelFeature],
    series: Mapping[str, str],
) -> Path:
    columns = ["day", *(feature.name for feature in features)]
    shared = folder / "windows"
    shared.mkdir()
    reference[columns].to_parquet(shared / "reference.parquet", index=False)
    for position, rows in enumerate(windows.values()):
        rows[columns].to_parquet(shared / f"{position}.parquet", index=False)
    kinds = {kind: [f.name for f in features if f.kind == kind] for kind in ("number", "category")}
    told = {"numbers": kinds["number"], "categories": kinds["category"], "series": [series.get(w) for w in windows]}
    (shared / "windows.json").write_text(json.dumps(told))
    return shared


def _ask(peer: Detector, shared: Path, own: Path, envs: Path) -> list[Mapping[str, Any] | None]:
    """A peer's answers, in the order of the windows. Raises BenchmarkFailed when it ends with an error."""
    python = environment(envs / "-".join(peer.packages), peer.packages) / "python" if peer.packages else OURS
    own.mkdir()
    for file in shared.iterdir():
        (own / file.name).symlink_to(file)
    env = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", **peer.env}
    began = time.monotonic()
    ran = subprocess.run([str(python), str(HERE / f"{peer.script}.py"), str(own)], env=env, capture_output=True)
    if ran.returncode:
        raise BenchmarkFailed(f"{peer.name} failed:\n{ran.stderr.decode(errors='replace')[-2000:]}")
    print(f"{peer.name}: {time.monotonic() - began:.0f} s", flush=True)
    return json.loads((own / "answers.json").read_bytes())


def _table_of(
    peer: Detector, windows: Mapping[str, pd.DataFrame], answers: Sequence[Mapping[str, Any] | None]
) -> pd.DataFrame:
    silent = {"flagged": None, "error": None, "seconds": 0.0}
    rows = [{"peer": peer.name, "window": w, **(told or silent)} for w, told in zip(windows, answers, strict=True)]
    return pd.DataFrame(rows).astype({"flagged": object})


def measure(
    frame: pd.DataFrame,
    features: Sequence[ModelFeature],
    cases: Mapping[str, pd.DataFrame],
    envs: Path,
) -> tuple[list[Row], str, Mapping[str, Any]]:
    """The peers' figures, their page, and what goes into the JSON.

    ``frame`` is the year's training set; ``cases`` are the rows of the first days of each fault, in the same columns.
    """
    known = frame[(frame["day"] <= REFERENCE_END) & (frame["known_day"] <= REFERENCE_END)]
    clean = frame[frame["day"] > REFERENCE_END]
    windows, series = _windows(clean, cases)
    flags = flag(known, windows, features, envs, series)
    days, weeks = sorted(clean["day"].unique()), [f"week {day}" for day in _week_ends(clean)]
    found = {peer.name: _figures(flags[flags["peer"] == peer.name], days, weeks, cases) for peer in DETECTORS}
    notes = "\n".join(f"- **{peer.name}**: {peer.note}" for peer in DETECTORS)
    page = TEXT.format(notes=notes, table=_table(found), cases=len(cases), weeks=len(FAULTS) * len(STARTS))
    return [row for name, figures in found.items() for row in _rows(name, figures)], page, {"peers": found}


def _windows(clean: pd.DataFrame, cases: Mapping[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Every clean day and rolling week, and every day of a case; the days of a case are a series."""
    windows = {str(day): rows for day, rows in clean.groupby("day")}
    for end in _week_ends(clean):
        first = str((pd.Timestamp(end) - pd.Timedelta(days=WEEK - 1)).date())
        windows[f"week {end}"] = clean[(clean["day"] >= first) & (clean["day"] <= end)]
    days = [(case, str(day), rows) for case, whole in cases.items() for day, rows in whole.groupby("day")]
    windows |= {_of(case, day): rows for case, day, rows in days}
    return windows, {_of(case, day): case for case, day, _ in days}


def _of(case: str, day: str) -> str:
    return f"{case} on {day}"


def _week_ends(clean: pd.DataFrame) -> list[str]:
    return sorted(clean["day"].unique())[WEEK - 1 :]


def _figures(
    flags: pd.DataFrame, days: Sequence[str], weeks: Sequence[str], cases: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    """One peer's figures."""
    said = {window: bool(flagged) for window, flagged in zip(flags["window"], flags["flagged"], strict=True)}
    daily = [said[day] for day in days]
    found = [[said[_of(case, str(day))] for day in sorted(rows["day"].unique())] for case, rows in cases.items()]
    within = {span: float(np.mean([any(case[:span]) for case in found])) for span in SPANS}
    false = {span: float(np.mean(runs(daily, span))) for span in SPANS}
    return {
        "clean_days": len(days),
        "clean_days_flagged": float(np.mean(daily)),
        "false_episodes": episodes(daily),
        "clean_weeks_flagged": float(np.mean([said[week] for week in weeks])),
        "cases": len(found),
        "found_within": within,
        "clean_runs_flagged": false,
        "beyond_false_alarms": {span: within[span] - false[span] for span in within},
        "errors": int(flags["error"].notna().sum()),
        "asked": int(flags["flagged"].notna().sum()),
        "seconds": float(flags["seconds"].sum()),
    }


def episodes(flagged: Sequence[bool]) -> int:
    """Runs of consecutive days in alarm."""
    return sum(now and not before for before, now in zip([False, *flagged], flagged, strict=False))


def runs(flagged: Sequence[bool], span: int) -> list[bool]:
    """Of every run of ``span`` consecutive days: is one of them in alarm?"""
    return [any(flagged[at : at + span]) for at in range(len(flagged) - span + 1)]


def _rows(name: str, figures: Mapping[str, Any]) -> list[Row]:
    episodes_ = f"{figures['false_episodes']} episodes"
    rows = [
        Row(name=f"{name}, clean days in alarm", value=figures["clean_days_flagged"], unit="of days", note=episodes_)
    ]
    for span, beyond in figures["beyond_false_alarms"].items():
        note = f"found {figures['found_within'][span]:.2f}, clean runs {figures['clean_runs_flagged'][span]:.2f}"
        title = f"{name}, found within {span} d beyond false alarms"
        rows.append(Row(name=title, value=beyond, unit="of faults", note=note))
    return rows


def _table(found: Mapping[str, Mapping[str, Any]]) -> str:
    head = ["detector", "clean days in alarm", "false episodes", "clean weeks in alarm"]
    head += [f"found in {span} d (beyond false alarms)" for span in SPANS]
    head += ["windows", "errors", "seconds"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, figures in found.items():
        cells = [name, f"{figures['clean_days_flagged']:.0%}", str(figures["false_episodes"])]
        cells.append(f"{figures['clean_weeks_flagged']:.0%}")
        beyond = figures["beyond_false_alarms"]
        cells += [f"{figures['found_within'][span]:.2f} ({value:+.2f})" for span, value in beyond.items()]
        cells += [str(figures["asked"]), str(figures["errors"]), f"{figures['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(state: Path | None) -> None:
    """Measure and write."""
    with landed_year(state) as graph:
        cases = faulty(Year(graph, trained(graph)[0]))
        rows, page, facts = measure(graph.rows(LAST), graph.inputs.features, cases, Path("state/bench-peers"))
    own, line = ours(cases)
    write("monitoring_peers", "The usual drift detectors", [*rows, *own], page.rstrip() + line, facts)


def faulty(year: Year) -> dict[str, pd.DataFrame]:
    """The answered rows of the first days of each fault that does not stop its own feed: case -> rows."""
    wanted = [(fault, first) for fault in FAULTS for first in STARTS]

    def one(place: int) -> pd.DataFrame:
        fault, first = wanted[place]
        lived = year.live(first, shift(first, SPANS[-1] - 1), fault, place)
        return pd.concat([day.traffic for day in lived], ignore_index=True)

    made = zip(wanted, in_turns(one, len(wanted)), strict=True)
    return {case_of(fault.name, fault.severity, first): rows for (fault, first), rows in made if len(rows)}


def case_of(name: str, severity: str, first: str) -> str:
    """How a fault from a day on is called."""
    return f"{name}, {severity}, from {first}"


def ours(cases: Mapping[str, pd.DataFrame]) -> tuple[list[Row], str]:
    """What ``make bench-monitoring`` has on record of the same cases: figures, and a line of the table."""
    record = json.loads((FOLDER / "monitoring.json").read_bytes())
    known = {case_of(case["name"], case["severity"], case["first"]): case["detected_after"] for case in record["cases"]}
    found = {span: float(np.mean([(known[case] or SPANS[-1] + 1) <= span for case in cases])) for span in SPANS}
    episodes_ = next(row for row in record["rows"] if row["name"].startswith("clean July to December: false episodes"))
    rows = [Row(name=f"{OWN}, found within {span} d", value=share, unit="of faults") for span, share in found.items()]
    cells = [OWN, "", f"{episodes_['value']:.0f}", "", *(f"{share:.2f}" for share in found.values()), "", "", ""]
    return rows, f"\n| {' | '.join(cells)} |"


if __name__ == "__main__":
    main(asked_state(__doc__))
