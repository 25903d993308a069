"""Splits of a training set in time: nothing is ever judged by days that it was fitted on, or by earlier ones.

Here: the last days apart, and rolling origins. Belongs here: any split of rows. Does not: fitting.
"""

import datetime as dt
from collections.abc import Iterator

import pandas as pd


class WindowTooShort(ValueError):
    """The training set leaves nothing to fit or nothing to hold out."""


def split(frame: pd.DataFrame, validation_days: int, day: str = "day") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The fitted rows and the held-out rows: the last ``validation_days`` days of the frame, in time order.

    ``day`` holds ISO dates. Raises WindowTooShort when one of the parts would be empty.
    """
    if frame.empty:
        raise WindowTooShort("the training set has no rows")
    last = dt.date.fromisoformat(str(frame[day].max()))
    first_held_out = (last - dt.timedelta(days=validation_days - 1)).isoformat()
    held_out = frame[day] >= first_held_out
    if held_out.all():
        begin = frame[day].min()
        raise WindowTooShort(f"the training set begins on {begin}: nothing is left to fit before {first_held_out}")
    return frame.loc[~held_out], frame.loc[held_out]


def rolling_origins(
    frame: pd.DataFrame, folds: int, fold_days: int, day: str = "day"
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Up to ``folds`` pairs of (all rows before, rows of the next ``fold_days`` days), oldest first.

    The last fold ends with the frame. Folds before which fewer than ``fold_days`` days lie are left out: with a short
    window there are fewer, or none.
    """
    if frame.empty:
        return
    end, begin = (dt.date.fromisoformat(str(edge)) for edge in (frame[day].max(), frame[day].min()))
    for back in range(folds, 0, -1):
        first = end - dt.timedelta(days=back * fold_days - 1)
        if (first - begin).days < fold_days:
            continue
        inside = (frame[day] >= first.isoformat()) & (frame[day] < (first + dt.timedelta(days=fold_days)).isoformat())
        before = frame[day] < first.isoformat()
        if before.any() and inside.any():
            yield frame.loc[before], frame.loc[inside]
