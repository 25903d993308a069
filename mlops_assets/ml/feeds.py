"""What a dataset promises of a whole day of one feed: no value stuck, no column gone.

Here: ``broken_feeds``. Belongs here: a promise that no single row can break. Does not: how many rows a day should have
(``ml.completeness``: that takes other datasets), the limits (``ml.dataset_contracts``).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mlops_assets.ml.dataset_contracts import Column, Dataset, Unchanged

LEAST_ROWS = 18
"""Three quarters of a day of hourly weather; with fewer rows a value that comes often says nothing."""


def broken_feeds(dataset: Dataset, good: pd.DataFrame) -> list[tuple[str, str]]:
    """(day, what is broken) of every feed of good rows that breaks a promise, in order; none is the normal case."""
    if dataset.feed is None or good.empty:
        return []
    days, day_names = pd.factorize(good["day"], sort=True)
    feeds, feed_names = pd.factorize(good[dataset.feed], sort=True)
    group = days * len(feed_names) + feeds
    rows = np.bincount(group, minlength=len(day_names) * len(feed_names))
    broken = [
        (place, text)
        for column in dataset.columns
        for place, text in (*_missing(column, good, group, rows), *_stuck(column, good, group, rows))
    ]
    broken += [] if dataset.unchanged is None else _unchanged(dataset.unchanged, good, group)
    return [
        (str(day_names[place // len(feed_names)]), f"{feed_names[place % len(feed_names)]}: {text}")
        for place, text in sorted(broken)
    ]


def _missing(column: Column, good: pd.DataFrame, group: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    if column.max_missing is None:
        return
    missing = np.bincount(group[good[column.name].isna().to_numpy()], minlength=len(rows))
    for place in np.flatnonzero((rows >= LEAST_ROWS) & (missing > column.max_missing * rows)):
        share = f"in {missing[place]} of {rows[place]} rows, more than {column.max_missing:.0%}"
        yield int(place), f"{column.name} is missing {share}"


def _stuck(column: Column, good: pd.DataFrame, group: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, str]]:
    if column.max_repeat is None:
        return
    codes, values = pd.factorize(good[column.name])
    known = codes >= 0
    counts = np.bincount(group[known] * len(values) + codes[known], minlength=len(rows) * len(values))
    by_value = counts.reshape(len(rows), len(values))
    told, most = by_value.sum(axis=1), by_value.max(axis=1, initial=0)
    for place in np.flatnonzero((told >= LEAST_ROWS) & (most > column.max_repeat * told)):
        share = f"in {most[place]} of {told[place]} rows, more than {column.max_repeat:.0%}"
        yield int(place), f"{column.name} is {values[by_value[place].argmax()]} {share}: it is stuck"


def _unchanged(limit: Unchanged, good: pd.DataFrame, group: np.ndarray) -> Iterator[tuple[int, str]]:
    """Runs of equal rows, feed by feed, in the order of the rows."""
    order = np.argsort(group, kind="stable")
    values = good[list(limit.columns)].to_numpy("float64")[order]
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    starts = np.flatnonzero(np.append(True, ~same.all(axis=1) | (group[order][1:] != group[order][:-1])))
    lengths = np.diff(np.append(starts, len(order)))
    longest = pd.Series(lengths).groupby(group[order][starts]).max()
    for place, rows in longest[longest > limit.max_rows].items():
        yield int(place), f"{', '.join(limit.columns)} are the same in {rows} rows in a row, more than {limit.max_rows}"
