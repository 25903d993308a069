"""Rows with two clocks: the instant they are about, and the instant at which they became known.

Here: which row a decision could see, and how a correction is added to what was known. Belongs here: arithmetic
between the two clocks. Does not: reading rows (``adapters``), values of features (``ml.features``).

A row about yesterday that was corrected today has an event time of yesterday and a created time of today: a decision
taken in between must go on to see the old one. Literature: Snodgrass, "Developing Time-Oriented Database Applications
in SQL" (1999), valid time and transaction time.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from mlops_assets.ml.schedules import INSTANT

EVENT_TIMESTAMP, CREATED_TIMESTAMP = "event_timestamp", "created_timestamp"
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


def known_at(frame: pd.DataFrame) -> pd.Series:
    """When each row became known: its created time, or its own instant where it has none."""
    if CREATED_TIMESTAMP not in frame:
        return frame[EVENT_TIMESTAMP]
    return frame[CREATED_TIMESTAMP].fillna(frame[EVENT_TIMESTAMP])


def first_known(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that were known at their own instant."""
    return frame.assign(**{CREATED_TIMESTAMP: frame[EVENT_TIMESTAMP]})


def believed(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Of rows equal in ``keys``, the one with the largest (event, created): what is believed now.

    With the event among the keys: the history without its corrected rows; without it: the newest row of each key.
    """
    ordered = frame.sort_values([EVENT_TIMESTAMP, CREATED_TIMESTAMP], kind="stable", na_position="first")
    return ordered.drop_duplicates(list(keys), keep="last")


def corrected(
    held: pd.DataFrame, fresh: pd.DataFrame, key: str, *, learned: pd.Timestamp, new_days: Collection[str]
) -> pd.DataFrame:
    """What a table shall hold of some days, given what it holds and what their rows are as computed now.

    ``fresh`` has ``day``, the key, ``event_timestamp`` (unique together; ordered by event and key) and values; ``held``
    the same and ``created_timestamp``. Rows of ``new_days``, computed for the first time, are known at their own
    instant. Of all other days, a row whose values are the same as before stays as it is; one with other values is added
    as known from ``learned`` on (or its own instant, if that is later) and the row of before stays; a row that vanished
    is added without values. What was learned at that very instant already is replaced. The same computation twice
    changes nothing. Returns the columns of ``fresh`` and ``created_timestamp``, ordered by event, key and created.
    """
    columns, pair = [*fresh.columns, CREATED_TIMESTAMP], [key, EVENT_TIMESTAMP]
    first = fresh["day"].isin(list(new_days))
    if held.empty and first.all():
        return first_known(fresh)
    kept = held.reindex(columns=columns).astype({EVENT_TIMESTAMP: INSTANT, CREATED_TIMESTAMP: INSTANT})
    kept[CREATED_TIMESTAMP] = known_at(kept)
    parts = [first_known(fresh[first]), _revised(kept, fresh[~first], pair, learned)]
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)[columns]
    return rows.sort_values([EVENT_TIMESTAMP, key, CREATED_TIMESTAMP], kind="stable", ignore_index=True)


def _revised(held: pd.DataFrame, fresh: pd.DataFrame, pair: list[str], learned: pd.Timestamp) -> pd.DataFrame:
    """Held rows with the corrections that the fresh ones make necessary."""
    since = held[EVENT_TIMESTAMP].clip(lower=learned)
    now, before = believed(held, pair), believed(held[held[CREATED_TIMESTAMP] < since], pair)
    changed = _differing(now, fresh, pair)
    touched = pd.MultiIndex.from_frame(held[pair]).isin(changed)
    stays = held[~touched | (held[CREATED_TIMESTAMP] < since)]
    news = _wanted(fresh, now, pair, _differing(before, fresh, pair).intersection(changed))
    return pd.concat([stays, news.assign(**{CREATED_TIMESTAMP: news[EVENT_TIMESTAMP].clip(lower=learned)})])


def _differing(one: pd.DataFrame, other: pd.DataFrame, pair: list[str]) -> pd.MultiIndex:
    """The (key, event) at which two frames say something else; a row without values says what no row says."""
    values = [name for name in other.columns if name not in (*pair, "day", CREATED_TIMESTAMP)]
    left, right = one.set_index(pair)[values], other.set_index(pair)[values]
    pairs = left.index.union(right.index)
    left, right = left.reindex(pairs), right.reindex(pairs)
    same = (left == right) | (left.isna() & right.isna())
    return pairs[~same.all(axis=1)]


def _wanted(fresh: pd.DataFrame, now: pd.DataFrame, pair: list[str], changed: pd.MultiIndex) -> pd.DataFrame:
    """The fresh rows of these (key, event); where there is none, a row with nothing but key, event and day."""
    said = fresh[pd.MultiIndex.from_frame(fresh[pair]).isin(changed)]
    gone = changed.difference(pd.MultiIndex.from_frame(said[pair]))
    silent = now[pd.MultiIndex.from_frame(now[pair]).isin(gone)][["day", *pair]]
    return pd.concat([said, silent.reindex(columns=said.columns).astype(said.dtypes.to_dict())], ignore_index=True)
