"""Training sets: who may be learned from, frozen bytes, and the past that no future changes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.ml.datasets import content_digest
from mlops_assets.ml.schedules import INSTANT, local_day
from mlops_assets.ml.training import ENTITY_COLUMNS, decisions, entity_frame, freeze, thaw
from mlops_assets_tests.ml.made_days import DAYS, snapshots, world


def test_a_decision_is_taken_two_hours_before_the_scheduled_departure() -> None:
    flights = world(1)["flights"]
    frame = decisions(flights).set_index("flight_id")["event_timestamp"]
    departure = flights.set_index("flight_id")["sched_dep_at"]
    assert ((departure - frame) == pd.Timedelta(hours=2)).all()
    assert str(frame.dtype) == INSTANT


def test_only_flights_landed_by_the_end_of_the_cut_off_day_are_rows() -> None:
    frames = world(2)
    frame = entity_frame(frames["flights"], frames["arrivals"], DAYS[1])
    assert set(frame["known_day"]) <= set(DAYS[:2])
    landed = frames["arrivals"].query("day <= @DAYS[1]")["flight_id"]
    assert set(frame["flight_id"]) == set(landed)


def test_a_red_eye_is_a_row_only_when_it_has_landed() -> None:
    frames = world(2)
    over_night = frames["arrivals"].merge(frames["flights"], on="flight_id").query("day_x > day_y").iloc[0]
    before = entity_frame(frames["flights"], frames["arrivals"], over_night["day_y"])
    after = entity_frame(frames["flights"], frames["arrivals"], over_night["day_x"])
    assert over_night["flight_id"] not in set(before["flight_id"])
    assert over_night["flight_id"] in set(after["flight_id"])


def test_a_flight_that_never_lands_is_never_a_row() -> None:
    frames = world(3)
    never = set(frames["flights"]["flight_id"]) - set(frames["arrivals"]["flight_id"])
    assert never
    assert not never & set(entity_frame(frames["flights"], frames["arrivals"], "2014-01-01")["flight_id"])


def test_the_window_counts_scheduled_days_back_from_the_cut_off() -> None:
    frames = world(3)
    frame = entity_frame(frames["flights"], frames["arrivals"], DAYS[3], window_days=2)
    assert set(frame["day"]) == set(DAYS[2:])


def test_late_means_fifteen_minutes_or_more() -> None:
    frames = world(4)
    frame = entity_frame(frames["flights"], frames["arrivals"], DAYS[3])
    assert (frame["is_late"] == (frame["arr_delay"] > 14)).all()


def test_rows_are_ordered_and_have_the_declared_columns() -> None:
    frames = world(5)
    shuffled = {name: frame.sample(frac=1, random_state=3) for name, frame in frames.items()}
    frame = entity_frame(shuffled["flights"], shuffled["arrivals"], DAYS[3])
    assert list(frame.columns) == list(ENTITY_COLUMNS)
    pd.testing.assert_frame_equal(frame, entity_frame(frames["flights"], frames["arrivals"], DAYS[3]))
    assert frame[["event_timestamp", "flight_id"]].apply(tuple, axis=1).is_monotonic_increasing


def test_a_flight_that_arrives_twice_is_an_error() -> None:
    frames = world(5)
    twice = pd.concat([frames["arrivals"], frames["arrivals"].iloc[:1]])
    with pytest.raises(pd.errors.MergeError):
        entity_frame(frames["flights"], twice, DAYS[3])


def test_the_same_rows_freeze_to_the_same_bytes_and_thaw_to_themselves() -> None:
    frames = world(6)
    frame = entity_frame(frames["flights"], frames["arrivals"], DAYS[3])
    content, digest = freeze(frame)
    assert freeze(frame.copy()) == (content, digest)
    assert freeze(thaw(content)) == (content, digest)
    pd.testing.assert_frame_equal(thaw(content), frame)
    assert freeze(frame.assign(is_late=1 - frame["is_late"]))[1] != digest
    assert content_digest(thaw(content)) == content_digest(frame)


def training_rows(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The training set of everything these frames hold, indexed by flight."""
    tables = MemoryTables()
    for view, rows in snapshots(frames).items():
        tables.replace(f"flights/features/{view}", rows, DAYS, {})
    entities = entity_frame(frames["flights"], frames["arrivals"], "2014-01-01")
    frame = MemoryFeatureStore(tables).training_frame("arrival_delay_v1", entities)
    return frame.set_index("flight_id")


def with_another_future(frames: dict[str, pd.DataFrame], now: pd.Timestamp, seed: int) -> dict[str, pd.DataFrame]:
    """The same world up to ``now``; of what became known later, some is lost, some moved, all of it altered."""
    draw = np.random.default_rng(seed)
    arrivals, weather = frames["arrivals"].copy(), frames["weather"].copy()
    later = arrivals["landed_at"] > now
    shift = pd.to_timedelta(draw.integers(0, 600, len(arrivals)), unit="m").where(later.to_numpy(), pd.Timedelta(0))
    arrivals["landed_at"] = (arrivals["landed_at"] + shift).astype(INSTANT)
    arrivals["day"] = local_day(arrivals["landed_at"])
    for delay in ("arr_delay", "dep_delay"):
        arrivals[delay] += np.where(later, draw.integers(-300, 300, len(arrivals)), 0)
    lost = later & (draw.random(len(arrivals)) < 0.3)
    coming = (weather["observed_at"] > now).to_numpy()
    for name in ("temp", "wind_speed", "pressure", "precip"):
        weather[name] = weather[name].where(~coming, draw.integers(0, 90, len(weather)))
    gone = coming & (draw.random(len(weather)) < 0.3)
    return {**frames, "arrivals": arrivals[~lost].reset_index(drop=True), "weather": weather[~gone]}


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), minute=st.integers(0, 4 * 1440))
def test_another_future_changes_no_training_row_of_the_past(seed: int, minute: int) -> None:
    frames = world(seed, flights=60)
    now = pd.Timestamp(DAYS[0], tz="America/New_York") + pd.Timedelta(minutes=minute)
    one, other = training_rows(frames), training_rows(with_another_future(frames, now, seed + 1))

    known = one.index[one["landed_at"] <= now]
    pd.testing.assert_frame_equal(other.loc[known], one.loc[known], check_exact=True)

    features = [name for name in one.columns if "__" in name]
    decided = one.index[one["event_timestamp"] <= now].intersection(other.index)
    pd.testing.assert_frame_equal(other.loc[decided, features], one.loc[decided, features], check_exact=True)


def test_that_check_sees_a_feature_that_looks_ahead() -> None:
    frames, now = world(11), pd.Timestamp(DAYS[1], tz="America/New_York")
    late = frames["flights"].copy()
    late["sched_dep_at"] = (late["sched_dep_at"] + pd.Timedelta(hours=6)).astype(INSTANT)
    one, other = ({**f, "flights": late} for f in (frames, with_another_future(frames, now, 1)))
    decided = entity_frame(frames["flights"], frames["arrivals"], "2014-01-01").set_index("flight_id")
    past = decided.index[decided["event_timestamp"] <= now]
    rows = [training_rows(f).reindex(past)["origin_delays__mean_arr_delay_3h"] for f in (one, other)]
    assert not rows[0].equals(rows[1])
