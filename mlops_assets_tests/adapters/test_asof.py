"""Point-in-time truth: what the join finds is what somebody with a list and a clock would have found."""

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.asof import Decisions, Snapshots, matches
from mlops_assets.ml.bitemporal import NEVER

names, numbers, instants = st.sampled_from(["a", "b", None]), st.integers(0, 1), st.integers(0, 12)
held = st.lists(
    st.tuples(names, numbers, instants, st.one_of(instants, st.just(NEVER))), max_size=25, unique=True
)  # fmt: skip
asked = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), numbers, st.integers(-1, 15)), max_size=15)


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as opened:
        yield opened


def keys(rows: list[Any]) -> list[pa.ChunkedArray]:
    kinds = (pa.string(), pa.int64())
    return [pa.chunked_array([pa.array([row[place] for row in rows], kind)]) for place, kind in enumerate(kinds)]


def whole(rows: list[Any], place: int) -> np.ndarray:
    return np.array([row[place] for row in rows], dtype=np.int64)


def by_hand(question: Any, rows: list[Any], ttl: int | None, cutoff: bool, told: bool) -> Any:
    name, number, at = question
    mine = [row for row in rows if row[0] is not None and row[:2] == (name, number) and row[2] <= at]
    if told and cutoff:
        mine = [row for row in mine if row[3] <= at]
    newest = max(mine, key=lambda row: (row[2], -1 if row[3] == NEVER else row[3]) if told else row[2], default=None)
    return newest if newest is None or ttl is None or at - newest[2] <= ttl else None


@settings(deadline=None, max_examples=200)
@given(held, asked, st.one_of(st.none(), st.integers(0, 5)), st.booleans())
def test_every_decision_meets_the_newest_snapshot_that_was_known(connection, held, asked, ttl, cutoff):
    rows = Snapshots(keys(held), whole(held, 2), whole(held, 3))
    found = matches(connection, Decisions(keys(asked), whole(asked, 2)), rows, ttl_us=ttl, cutoff=cutoff)
    assert [None if p < 0 else held[p] for p in found] == [by_hand(q, held, ttl, cutoff, True) for q in asked]


@settings(deadline=None)
@given(held, asked)
def test_a_table_that_does_not_tell_when_it_was_created_is_joined_by_its_events(connection, held, asked):
    once = list({row[:3]: row for row in held}.values())
    rows = Snapshots(keys(once), whole(once, 2), None)
    found = matches(connection, Decisions(keys(asked), whole(asked, 2)), rows, ttl_us=None, cutoff=True)
    assert [None if p < 0 else once[p] for p in found] == [by_hand(q, once, None, True, False) for q in asked]


def test_keys_of_another_width_meet_all_the_same(connection):
    short, wide = pa.chunked_array([pa.array([7], pa.int32())]), pa.chunked_array([pa.array([7, 8], pa.int64())])
    rows = Snapshots([wide], np.array([1, 1]), None)
    found = matches(connection, Decisions([short], np.array([1])), rows, ttl_us=None, cutoff=True)
    assert found.tolist() == [0]
