"""What writers of one table do at once, each in a process of its own.

Belongs here: the work of a process. Does not: assertions.
"""

from pathlib import Path
from typing import Any

import deltalake  # noqa: F401 (imported once, before the forks)
import pandas as pd

from mlops_assets.adapters.tables import DeltaTables

NAME = "flights/datasets/weather"
ROUNDS = 6


def rows(day: str, *values: float) -> pd.DataFrame:
    return pd.DataFrame({"day": day, "value": [float(value) for value in values]})


def replace_one_day(root: Path, start: Any, writer: int) -> None:
    """The same day, over and over; every version holds the rows of one writer."""
    start.wait()
    for number in range(ROUNDS):
        DeltaTables(root).replace(NAME, rows("2013-01-01", *[writer * 100 + number] * 3), ["2013-01-01"], {})


def replace_own_days(root: Path, start: Any, writer: int) -> None:
    """Neighbouring days, each writer its own."""
    start.wait()
    for number in range(ROUNDS):
        day = f"2013-01-{2 * number + writer + 1:02d}"
        DeltaTables(root).replace(NAME, rows(day, writer, number), [day], {"dagster_run_id": str(writer)})


def make_the_table(root: Path, start: Any, writer: int) -> None:
    """The first write of many tables."""
    for number in range(ROUNDS):
        start.wait()
        day = f"2013-01-0{writer + 1}"
        DeltaTables(root).replace(f"{NAME}_{number}", rows(day, number), [day], {})


def append(root: Path, start: Any, writer: int) -> None:
    """A key of both, then one of its own, each time."""
    start.wait()
    for number in range(ROUNDS):
        names = [f"both {number}", f"{writer} {number}"]
        DeltaTables(root).append_once("history", pd.DataFrame({"event_id": names}), "event_id")


def count_up(root: Path, start: Any, writer: int) -> None:
    """Each revision adds one to what it finds."""
    del writer
    start.wait()
    for _ in range(ROUNDS):
        DeltaTables(root).revise(NAME, ["2013-01-01"], lambda held: held.assign(value=held["value"] + 1), {})
