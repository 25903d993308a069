"""What is missing, old or from the future, and that every view is read once per batch."""

import numpy as np
import pytest

from mlops_assets.adapters.online_reader import MemoryOnlineReader, OnlineReader, OnlineStoreError, Snapshot
from mlops_assets.ml.bundles import SIGNATURE_FILE, Missing, ViewInput, decode_signature
from mlops_assets.serving.features import BatchFeatures, specimen, view_columns

VIEW = ViewInput("origin_weather", "origin", 3600, ("wind_speed", "temp"))
NOON = 1_364_817_600.0


def columns(at: float, snapshot: Snapshot | None, ttl_seconds: int = 3600):
    view = ViewInput(VIEW.name, VIEW.join_key, ttl_seconds, VIEW.features)
    return view_columns(view, ["EWR"], [at], {"EWR": snapshot} if snapshot else {})


@pytest.mark.parametrize(
    ("age_s", "ttl_seconds", "there"),
    [(0, 3600, True), (3600, 3600, True), (3601, 3600, False), (10**8, 0, True)],
    ids=["fresh", "just in time", "too old", "no limit"],
)
def test_a_value_lives_as_long_as_its_view_says(age_s, ttl_seconds, there):
    made = columns(NOON, Snapshot(NOON - age_s, {"wind_speed": 9.2, "temp": 51.5}), ttl_seconds)
    assert made.columns["origin_weather__wind_speed"] == ((9.2 if there else None),)
    assert made.missing == [0 if there else 2]
    assert made.times == ["2013-04-01T12:00:00Z" if there and age_s == 0 else made.times[0]]
    assert (made.times[0] is not None) == there


def test_an_unknown_key_is_missing_whole():
    made = columns(NOON, None)
    assert made.columns["origin_weather__temp"] == (None,)
    assert (made.missing, made.times) == ([2], [None])


def test_null_and_nan_and_absent_features_count_as_missing():
    made = columns(NOON, Snapshot(NOON, {"wind_speed": float("nan"), "gust": 1.0}))
    assert made.missing == [2]


def test_a_value_from_the_future_is_used_and_counted():
    made = columns(NOON, Snapshot(NOON + 60, {"wind_speed": 9.2, "temp": 51.5}))
    assert (made.future, made.missing) == (1, [0])


def test_every_gap_says_why():
    snapshots = {"EWR": Snapshot(NOON, {"wind_speed": None, "temp": 51.5}), "JFK": Snapshot(NOON - 9999, {})}
    made = view_columns(VIEW, ["EWR", "JFK", "LGA", "EWR"], [NOON] * 4, snapshots)
    both = ("wind_speed", "temp")
    assert made.gaps == {(("wind_speed",), "null"): 2, (both, "stale"): 1, (both, "absent_key"): 1}
    assert view_columns(VIEW, ["EWR"], [NOON], None).gaps == {(both, "store_error"): 1}


def test_the_age_of_a_view_is_that_of_its_newest_values_stale_ones_included():
    snapshots = {"EWR": Snapshot(NOON - 60, {}), "JFK": Snapshot(NOON - 9999, {})}
    assert view_columns(VIEW, ["JFK", "EWR"], [NOON, NOON], snapshots).age_s == 60
    assert view_columns(VIEW, ["JFK"], [NOON], snapshots).age_s == 9999
    assert view_columns(VIEW, ["LGA"], [NOON], snapshots).age_s is None


STRICT = ViewInput("origin_weather", "origin", 3600, ("wind_speed", "temp"), (
    Missing("wind_speed", "default", 7.5), Missing("temp", "fail")))  # fmt: skip


def test_a_default_stands_for_a_missing_value_which_is_counted_all_the_same():
    snapshots = {
        "EWR": Snapshot(NOON, {"wind_speed": None, "temp": 1.0}),
        "JFK": Snapshot(NOON, {"wind_speed": 2.0, "temp": 3.0}),
    }
    made = view_columns(STRICT, ["EWR", "JFK"], [NOON] * 2, snapshots)
    assert made.columns["origin_weather__wind_speed"].tolist() == [7.5, 2.0]
    assert made.columns["origin_weather__temp"] == (1.0, 3.0)
    assert (made.missing, made.barred) == ([1, 0], {})


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, "absent key"),
        ({"EWR": Snapshot(NOON, {"wind_speed": 1.0})}, "null"),
        ({"EWR": Snapshot(NOON - 3601, {"temp": 1.0})}, "stale"),
        (None, "store error"),
    ],
)
def test_a_row_without_a_feature_that_must_be_there_is_barred_by_name(found, why):
    made = view_columns(STRICT, ["EWR"], [NOON], found)
    (message,) = made.barred.values()
    assert message == f"origin_weather__temp of origin 'EWR' is missing ({why}), and there is no score without it"


class CountingReader(MemoryOnlineReader):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []

    def read_views(self, wanted):
        self.reads.append([view.name for view, _ in wanted])
        return super().read_views(wanted)


class BrokenReader(OnlineReader):
    def read(self, view, keys):
        raise OnlineStoreError("no such file")


def test_arms_with_the_same_recipe_share_one_read_and_one_matrix(make_bundle):
    signature = decode_signature(make_bundle(1)[SIGNATURE_FILE])
    online = CountingReader()
    batch = BatchFeatures([specimen(signature)] * 3, online, {})
    assert batch.assemble(signature, "one") is batch.assemble(signature, "one")
    batch.assemble(signature, "another")
    assert online.reads == [["origin_weather", "carrier_delays"], []]


def test_a_store_that_cannot_be_read_makes_values_missing_and_is_told(make_bundle):
    signature = decode_signature(make_bundle(1)[SIGNATURE_FILE])
    batch = BatchFeatures([specimen(signature)], BrokenReader(), {})
    assembled = batch.assemble(signature, "one")
    assert batch.store_error == "no such file"
    assert assembled.missing(0) == 3
    assert assembled.times(0) == {"origin_weather": None, "carrier_delays": None}
    assert np.isnan(assembled.matrix[0, 3:]).all()
