"""What a drift detector is handed in a folder, and what it leaves there: read by the ``drift_*.py`` beside this file.

The folder holds ``reference.parquet``, ``windows.json`` (``numbers``, ``categories``, and the ``series`` of each window
or null) and one file of rows for each window, named by its position. The answer is ``answers.json``.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

FOLDER = Path(sys.argv[1])
TOLD = json.loads((FOLDER / "windows.json").read_text())
NUMBERS, CATEGORIES, SERIES = TOLD["numbers"], TOLD["categories"], TOLD["series"]
COLUMNS = [*NUMBERS, *CATEGORIES]
WINDOWS = [FOLDER / f"{position}.parquet" for position in range(len(SERIES))]


def reference(most: int | None = None) -> pd.DataFrame:
    """The reference, or as many of its rows, evenly spread."""
    rows = pd.read_parquet(FOLDER / "reference.parquet")
    if most is None or len(rows) <= most:
        return rows
    return rows.iloc[[round(n * (len(rows) - 1) / (most - 1)) for n in range(most)]]


def answer_each(judge: Callable[[pd.DataFrame], bool]) -> None:
    """Judge one window after the other; no window of a series after the first alarm in it."""
    answers, ended = [], set()
    for series, window in zip(SERIES, WINDOWS, strict=True):
        if series is not None and series in ended:
            answers.append(None)
            continue
        answers.append(answer(judge, pd.read_parquet(window)))
        if answers[-1]["flagged"]:
            ended.add(series)
    leave(answers)


def answer(judge: Callable[[pd.DataFrame], bool], rows: pd.DataFrame) -> dict:
    """One judgement. A monitor that fails tells somebody: an error is an alarm."""
    began = time.perf_counter()
    try:
        flagged, error = judge(rows), None
    except Exception as problem:
        flagged, error = True, f"{type(problem).__name__}: {problem}"[:200]
    return {"flagged": flagged, "error": error, "seconds": time.perf_counter() - began}


def leave(answers: list) -> None:
    """Write the answers, one for each window in order; null where it was not asked."""
    (FOLDER / "answers.json").write_text(json.dumps(answers))
