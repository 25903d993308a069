"""Rows with two clocks: the instant they are about, and the instant at which they became known.

Here: which row a decision could see. Belongs here: arithmetic between the two clocks. Does not: reading rows
(``adapters``), values of features (``ml.features``).

A row about yesterday that was corrected today has an event time of yesterday and a created time of today: a decision
taken in between must go on to see the old one. Literature: Snodgrass, "Developing Time-Oriented Database Applications
in SQL" (1999), valid time and transaction time.
"""

import numpy as np

NEVER = np.iinfo(np.int64).max
"""Created time of a row that never became known."""


def visible(keys: np.ndarray, event: np.ndarray, created: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows anybody can ever see as the newest of their key, and from when on.

    All arrays are int64 of shape (rows,): codes of keys, microseconds. The newest row of a key at an instant is the
    one with the largest (event, created) of those with event and created at or before it. Returns (positions,
    instants): at any instant the newest row of a key is the one with the largest returned instant at or before it;
    those instants are unique per key, unless rows are equal in both clocks.
    """
    everything = np.arange(len(keys))
    if np.array_equal(event, created):
        return everything, event
    since = np.maximum(event, created)
    known = created != NEVER
    doubtful = known & _doubtful(keys, event, created)
    mine = np.flatnonzero(doubtful)
    order = mine[np.lexsort((created[mine], event[mine], since[mine], keys[mine]))]
    kept = known.copy()
    kept[order] = _leads(keys[order], since[order], event[order], created[order])
    rows = everything[kept]
    return rows, since[rows]


def newest(keys: np.ndarray, event: np.ndarray, created: np.ndarray) -> np.ndarray:
    """Positions of the rows that are believed now: of each key and event the one created last, in no matter what order.

    A row that never became known counts as created before all others. Rows equal in both clocks give one of them.
    """
    if np.array_equal(event, created):
        return np.arange(len(keys))
    learned = np.where(created == NEVER, np.iinfo(np.int64).min, created)
    order = np.lexsort((learned, event, keys))
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (np.diff(keys[order]) != 0) | (np.diff(event[order]) != 0)
    return order[last]


def _doubtful(keys: np.ndarray, event: np.ndarray, created: np.ndarray) -> np.ndarray:
    """Rows that may hide another or be hidden: those with two clocks, and what of their keys lies in between.

    A row known at its own event can be hidden only by one with the same event, so the sorting below is spared the rows
    of other keys and times: a table with a few corrections costs hardly more than one without.
    """
    apart = event != created
    low = np.minimum(event, created)[apart].min()
    high = np.where(created == NEVER, event, np.maximum(event, created))[apart].max()
    return (event >= low) & (event <= high) & np.isin(keys, np.unique(keys[apart]))


def _leads(keys: np.ndarray, since: np.ndarray, event: np.ndarray, created: np.ndarray) -> np.ndarray:
    """Of rows ordered by key, instant, event, created: those that are the newest of their key at their instant."""
    rank = np.empty(len(keys), dtype=np.int64)
    rank[np.lexsort((created, event))] = np.arange(len(keys))
    groups = np.concatenate([[0], np.cumsum(np.diff(keys) != 0)]) if len(keys) else keys
    place = groups * len(keys) + rank
    last = np.ones(len(keys), dtype=bool)
    last[:-1] = (np.diff(keys) != 0) | (np.diff(since) != 0)
    return last & (place == np.maximum.accumulate(place)) if len(keys) else last
