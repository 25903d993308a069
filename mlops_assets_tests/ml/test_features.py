"""Features: windows, exactness, and that an hour computed alone equals the same hour of a year."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.feature_specs import describe_views
from mlops_assets.ml.features import VIEWS, compute, hours_of, origin_delays
from mlops_assets_tests.ml.made_days import DAYS, world

HOUR = pd.Timestamp("2013-04-03T16:00:00Z")


def at(*instants: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(instants), utc=True))


def made_delays(landed: pd.Series, delays: list[int], due: pd.Series | None = None) -> pd.DataFrame:
    arrivals = pd.DataFrame({"origin": "JFK", "landed_at": landed, "arr_delay": delays, "dep_delay": 0})
    flights = pd.DataFrame({"origin": "JFK", "sched_arr_at": landed if due is None else due})
    return origin_delays(arrivals, flights, pd.DatetimeIndex([HOUR]))


def test_a_window_is_open_on_the_left_and_closed_on_the_right() -> None:
    landed = at("2013-04-03T15:00:00Z", "2013-04-03T15:00:01Z", "2013-04-03T16:00:00Z", "2013-04-03T16:00:01Z")
    row = made_delays(landed, [100, 10, 20, 1000]).iloc[0]
    assert row["mean_arr_delay_1h"] == 15.0
    assert row["late_share_1h"] == 0.5
    assert row["mean_arr_delay_3h"] == 130 / 3


def test_flights_that_are_due_and_have_not_landed_lower_the_landed_share() -> None:
    landed, due = at("2013-04-03T15:30:00Z"), at("2013-04-03T15:10:00Z", "2013-04-03T15:20:00Z")
    row = made_delays(landed, [20], due).iloc[0]
    assert row["landed_share_1h"] == 0.5


def test_nothing_landed_is_missing_and_not_zero() -> None:
    row = made_delays(at("2013-04-03T11:00:00Z"), [30]).iloc[0]
    assert np.isnan(row["mean_arr_delay_3h"])
    assert row["mean_arr_delay_24h"] == 30.0


def test_a_key_without_a_flight_in_its_longest_window_has_no_row() -> None:
    assert made_delays(at("2013-04-01T11:00:00Z"), [30]).empty


def test_a_day_has_as_many_hours_as_its_clocks() -> None:
    assert [len(hours_of([day])) for day in ("2013-03-10", "2013-04-02", "2013-11-03")] == [23, 24, 25]
    assert hours_of(["2013-04-02"])[0] == pd.Timestamp("2013-04-02T04:00:00Z")


@pytest.mark.parametrize("view", list(VIEWS))
def test_an_hour_alone_equals_that_hour_of_the_whole_range_exactly(view: str) -> None:
    frames, hours = world(3), hours_of(DAYS)
    whole = compute(view, frames, hours)
    alone = pd.concat([compute(view, frames, hours[i : i + 1]) for i in range(len(hours))], ignore_index=True)
    pd.testing.assert_frame_equal(alone, whole, check_exact=True)


@pytest.mark.parametrize("view", list(VIEWS))
def test_the_declared_lookback_is_enough(view: str) -> None:
    frames, day = world(5), DAYS[-1]
    first = str((pd.Timestamp(day) - pd.Timedelta(days=VIEWS[view].lookback_days)).date())
    recent = {name: frame[frame["day"] >= first] for name, frame in frames.items()}
    whole = compute(view, frames, hours_of([day]))
    pd.testing.assert_frame_equal(compute(view, recent, hours_of([day])), whole, check_exact=True)


@pytest.mark.parametrize("view", list(VIEWS))
def test_the_order_of_rows_does_not_matter(view: str) -> None:
    frames = world(4)
    shuffled = {name: frame.sample(frac=1, random_state=2) for name, frame in frames.items()}
    expected = compute(view, frames, hours_of(DAYS))
    pd.testing.assert_frame_equal(compute(view, shuffled, hours_of(DAYS)), expected, check_exact=True)


@pytest.mark.parametrize("view", list(VIEWS))
def test_a_view_without_rows_has_the_columns_of_any_other(view: str) -> None:
    full = compute(view, world(1), hours_of(DAYS))
    empty = compute(view, {name: frame.iloc[:0] for name, frame in world(1).items()}, hours_of(DAYS))
    assert empty.empty
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_the_feast_repo_declares_the_features_that_are_computed() -> None:
    computed = {name: list(compute(name, world(1), hours_of(DAYS)).columns) for name in VIEWS}
    declared = {v.name: [v.join_key, "event_timestamp", *(field.name for field in v.fields)] for v in describe_views()}
    assert {name: set(columns) for name, columns in declared.items()} == {n: set(c) for n, c in computed.items()}


def within(frame: pd.DataFrame, instant: str, carrier: object, until: pd.Timestamp, hours: int) -> pd.DataFrame:
    mine = frame[frame["carrier"] == carrier]
    return mine[(mine[instant] > until - pd.Timedelta(hours=hours)) & (mine[instant] <= until)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), hour=st.integers(24, 95))
def test_carrier_delays_equal_a_count_by_hand(seed: int, hour: int) -> None:
    frames, moment = world(seed, flights=60), hours_of(DAYS)[hour]
    rows = compute("carrier_delays", frames, pd.DatetimeIndex([moment])).set_index("carrier")
    for carrier, row in rows.iterrows():
        for window in (3, 24):
            landed = within(frames["arrivals"], "landed_at", carrier, moment, window)["arr_delay"]
            due = within(frames["flights"], "sched_arr_at", carrier, moment, window)
            by_hand = {
                f"mean_arr_delay_{window}h": sum(landed) / len(landed) if len(landed) else None,
                f"late_share_{window}h": sum(landed >= 15) / len(landed) if len(landed) else None,
                f"landed_share_{window}h": len(landed) / len(due) if len(due) else None,
            }
            found = {name: None if np.isnan(row[name]) else row[name] for name in by_hand}
            assert found == by_hand
