"""Rows with two clocks: what could be seen when, and what a correction leaves untouched."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.bitemporal import NEVER, believed, corrected, first_known, newest, visible
from mlops_assets.ml.schedules import INSTANT

DAY, OTHER = "2013-04-01", "2013-04-02"
LEARNED = pd.Timestamp("2013-04-03T04:00Z")

rows_with_two_clocks = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.one_of(st.integers(0, 12), st.just(NEVER))),
    max_size=24,
    unique=True,
)


def columns(rows: list[tuple[int, int, int]]) -> list[np.ndarray]:
    return [np.array([row[place] for row in rows], dtype=np.int64) for place in range(3)]


def seen_by_hand(rows: list[tuple[int, int, int]], key: int, at: int) -> tuple[int, int, int] | None:
    known = [row for row in rows if row[0] == key and row[1] <= at and row[2] <= at]
    return max(known, key=lambda row: row[1:], default=None)


@settings(deadline=None)
@given(rows_with_two_clocks)
def test_what_is_visible_at_an_instant_is_what_was_known_then(rows):
    positions, since = visible(*columns(rows))
    for key in range(3):
        for at in range(14):
            mine = [(int(s), int(p)) for p, s in zip(positions, since, strict=True) if rows[p][0] == key and s <= at]
            found = rows[max(mine)[1]] if mine else None
            assert found == seen_by_hand(rows, key, at)


@settings(deadline=None)
@given(rows_with_two_clocks)
def test_a_visible_instant_occurs_once_per_key(rows):
    positions, since = visible(*columns(rows))
    pairs = [(rows[p][0], int(s)) for p, s in zip(positions, since, strict=True)]
    assert len(set(pairs)) == len(pairs)


@settings(deadline=None)
@given(rows_with_two_clocks)
def test_what_is_believed_now_is_what_was_created_last(rows):
    found = {rows[position] for position in newest(*columns(rows))}
    rank = {row: -1 if row[2] == NEVER else row[2] for row in rows}
    wanted = {max((r for r in rows if r[:2] == pair), key=rank.__getitem__) for pair in {row[:2] for row in rows}}
    assert found == wanted


def frame(*rows: tuple[str, str, float | None]) -> pd.DataFrame:
    """Rows of (day, hour, value) of one key."""
    made = pd.DataFrame([(day, "JFK", f"{day}T{hour}:00Z", value) for day, hour, value in rows])
    made.columns = ["day", "origin", "event_timestamp", "delay"]
    return made.assign(
        event_timestamp=pd.to_datetime(made["event_timestamp"]).astype(INSTANT), delay=made["delay"].astype("float64")
    )


NOTHING = pd.DataFrame({"day": pd.Series(dtype=object)})
BEFORE = frame((DAY, "10", 1.0), (DAY, "11", 2.0), (DAY, "12", None))


def said(rows: pd.DataFrame) -> list[tuple[str, float | None, str]]:
    """(hour, value, when it was learned) of every row."""
    return [
        (
            r.event_timestamp.strftime("%H"),
            None if r.delay != r.delay else r.delay,
            r.created_timestamp.strftime("%d %H"),
        )
        for r in rows.itertuples()
    ]


def test_a_day_computed_for_the_first_time_was_known_hour_by_hour():
    made = corrected(NOTHING, BEFORE, "origin", learned=LEARNED, new_days={DAY})
    pd.testing.assert_frame_equal(made, first_known(BEFORE))


def test_the_same_day_computed_again_is_left_as_it_is():
    held = corrected(NOTHING, BEFORE, "origin", learned=LEARNED, new_days={DAY})
    pd.testing.assert_frame_equal(corrected(held, BEFORE, "origin", learned=LEARNED, new_days=()), held)


def test_a_corrected_value_is_added_and_the_old_one_stays():
    held = first_known(BEFORE)
    made = corrected(
        held, frame((DAY, "10", 1.0), (DAY, "11", 7.0), (DAY, "12", None)), "origin", learned=LEARNED, new_days=()
    )
    assert said(made) == [("10", 1.0, "01 10"), ("11", 2.0, "01 11"), ("11", 7.0, "03 04"), ("12", None, "01 12")]
    again = corrected(made, frame((DAY, "10", 1.0), (DAY, "11", 7.0)), "origin", learned=LEARNED, new_days=())
    pd.testing.assert_frame_equal(again, made)


def test_a_row_that_vanished_is_taken_back_and_one_that_appeared_was_not_known_before():
    fresh = frame((DAY, "11", 2.0), (DAY, "12", None), (DAY, "13", 5.0))
    made = corrected(first_known(BEFORE), fresh, "origin", learned=LEARNED, new_days=())
    assert said(made) == [
        ("10", 1.0, "01 10"), ("10", None, "03 04"), ("11", 2.0, "01 11"), ("12", None, "01 12"), ("13", 5.0, "03 04"),
    ]  # fmt: skip


def test_a_day_that_had_no_rows_at_first_was_not_known_at_its_own_time():
    late = frame((OTHER, "10", 4.0))
    made = corrected(first_known(BEFORE), pd.concat([BEFORE, late]), "origin", learned=LEARNED, new_days=())
    assert said(made)[-1] == ("10", 4.0, "03 04")
    made = corrected(first_known(BEFORE), pd.concat([BEFORE, late]), "origin", learned=LEARNED, new_days={OTHER})
    assert said(made)[-1] == ("10", 4.0, "02 10")


def test_what_was_learned_at_the_same_instant_replaces_itself():
    held, value = first_known(BEFORE), lambda number: frame((DAY, "10", number), (DAY, "11", 2.0), (DAY, "12", None))
    wrong = corrected(held, value(8.0), "origin", learned=LEARNED, new_days=())
    right = corrected(wrong, value(9.0), "origin", learned=LEARNED, new_days=())
    assert said(right)[:2] == [("10", 1.0, "01 10"), ("10", 9.0, "03 04")]
    back = corrected(wrong, value(1.0), "origin", learned=LEARNED, new_days=())
    pd.testing.assert_frame_equal(back, held)


def test_rows_of_a_table_without_created_times_were_known_at_their_own():
    old = BEFORE.assign(created_timestamp=pd.Series(pd.NaT, BEFORE.index, dtype=INSTANT))
    pd.testing.assert_frame_equal(corrected(old, BEFORE, "origin", learned=LEARNED, new_days=()), first_known(BEFORE))


values = st.one_of(st.none(), st.integers(0, 2).map(float))
worlds = st.lists(st.dictionaries(st.sampled_from(["08", "09", "10"]), values, max_size=3), min_size=1, max_size=5)


@settings(deadline=None, max_examples=50)
@given(worlds)
def test_every_state_of_the_past_stays_visible_as_it_was(worlds):
    """However often a day is corrected: what was believed after each correction can be read at that instant."""
    held, instants = NOTHING, [LEARNED + pd.Timedelta(days=number) for number in range(len(worlds))]
    for number, (world, learned) in enumerate(zip(worlds, instants, strict=True)):
        fresh = frame(*((DAY, hour, value) for hour, value in world.items())) if world else BEFORE.iloc[:0]
        held = corrected(held, fresh, "origin", learned=learned, new_days={DAY} if number == 0 else ())
    for world, learned in zip(worlds, instants, strict=True):
        known = held[held["created_timestamp"] <= learned]
        rows = believed(known, ["origin", "event_timestamp"]).itertuples()
        found = {r.event_timestamp.strftime("%H"): r.delay for r in rows if r.delay == r.delay}
        assert found == {hour: value for hour, value in world.items() if value is not None}


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_computed_and_nothing_held_is_nothing(empty):
    fresh = BEFORE.iloc[:0]
    made = corrected(NOTHING, fresh, "origin", learned=LEARNED, new_days={DAY} if empty else ())
    assert made.empty
    assert made.dtypes.to_dict() == first_known(fresh).dtypes.to_dict()
