"""Features as assets: what a correction leaves of the past, what goes online, and which checks see what is wrong."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.source import RawDay
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, key
from mlops_assets.assets.partitions import shift
from mlops_assets.ml.features import VIEWS, end_of
from mlops_assets.ml.training import decisions
from mlops_assets_tests.conftest import LIVE, Life, Twins, checks_of, new_twins

FIRST, LAST = "2013-03-01", "2013-03-06"
DAY = "2013-03-05"
SERVICE = "arrival_delay_v1"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Six days of datasets and features; a test that changes something takes ``history``."""
    twins = new_twins(tmp_path_factory.mktemp("features"))
    twins.materialize([*datasets(twins), *views(twins)], FIRST, LAST)
    return twins


@pytest.fixture
def history(built: Twins, tmp_path: Path) -> Twins:
    """A copy of it, to do harm to."""
    return built.copied(tmp_path)


def datasets(twins: Twins) -> list[Any]:
    return [key(twins.domain, DATASETS, name) for name in ("landing", "flights", "arrivals", "weather")]


def views(twins: Twins) -> list[Any]:
    return [key(twins.domain, FEATURES, name) for name in FEATURE_VIEWS]


def land(twins: Twins, day: str, **frames: pd.DataFrame) -> Any:
    """The source delivers a day once more; everything of that day is made again."""
    raw: RawDay = replace(twins.source.day(day), **frames)
    twins.source.land(day, raw)
    return twins.materialize([*datasets(twins)[1:], *views(twins)], day)


def failed(result: Any) -> set[str]:
    """The checks of views that did not pass."""
    return {name for name, good in checks_of(result).items() if not good and name.split("/")[0] in FEATURE_VIEWS}


def warmer(raw: RawDay) -> pd.DataFrame:
    return raw.weather.assign(temp=raw.weather["temp"] + 5)


def snapshots(twins: Twins, view: str, day: str = DAY) -> pd.DataFrame:
    return twins.memory.tables.read(f"flights/features/{view}", day, day)


def training_rows(twins: Twins, first: str, last: str) -> pd.DataFrame:
    asked = decisions(twins.memory.tables.read("flights/datasets/flights", first, last))
    return twins.memory.feature_store.training_frame(SERVICE, asked)


@pytest.mark.parametrize("view", FEATURE_VIEWS)
def test_what_is_computed_first_was_known_hour_by_hour(built: Twins, view: str) -> None:
    rows = snapshots(built, view)
    assert len(rows)
    assert (rows["created_timestamp"] == rows["event_timestamp"]).all()


def test_a_correction_is_added_and_what_was_known_stays(history: Twins) -> None:
    before, frame = snapshots(history, "origin_weather"), training_rows(history, FIRST, LAST)
    land(history, DAY, weather=warmer(history.source.day(DAY)))
    after = snapshots(history, "origin_weather")
    added = after[after["created_timestamp"] > after["event_timestamp"]]
    assert len(added) == len(before)
    # The newest landed day is the 6th: at its end the correction of the 5th is known.
    assert set(added["created_timestamp"]) == {end_of(LAST)}
    kept = after.drop(added.index).sort_values(["event_timestamp", "origin"], ignore_index=True)
    pd.testing.assert_frame_equal(kept, before.sort_values(["event_timestamp", "origin"], ignore_index=True))
    pd.testing.assert_frame_equal(training_rows(history, FIRST, LAST), frame)


def test_the_same_day_made_again_is_the_same_version_and_a_correction_made_twice_too(history: Twins) -> None:
    def digests() -> dict[str, str]:
        events = [history.instance.get_latest_materialization_event(view) for view in views(history)]
        told = [event.asset_materialization for event in events if event and event.asset_materialization]
        return {made.asset_key.path[-1]: (made.tags or {})["dagster/data_version"] for made in told}

    history.materialize(views(history), DAY)
    first = digests()
    history.materialize(views(history), DAY)
    assert digests() == first
    land(history, DAY, weather=warmer(history.source.day(DAY)))
    corrected = digests()
    assert {name for name in first if corrected[name] != first[name]} == {"origin_weather"}
    history.materialize(views(history), DAY)
    assert digests() == corrected


def test_a_day_whose_weather_came_late_did_not_know_it(tmp_path: Path) -> None:
    twins = new_twins(tmp_path)
    silent = replace(twins.source.day(DAY), weather=twins.source.day(DAY).weather.iloc[:0])
    late = twins.source.day(DAY).weather
    twins.source.land(DAY, silent)
    twins.materialize([*datasets(twins), *views(twins)], FIRST, LAST)
    twins.source.land(DAY, silent)
    twins.materialize([*datasets(twins)[1:], *views(twins)], DAY)
    assert snapshots(twins, "origin_weather").empty
    land(twins, DAY, weather=late)
    rows = snapshots(twins, "origin_weather")
    assert len(rows)
    assert set(rows["created_timestamp"]) == {end_of(LAST)}


def test_restating_replaces_the_rows_as_if_they_had_been_known_at_once(history: Twins) -> None:
    raw = history.source.day(DAY)
    history.source.land(DAY, replace(raw, weather=warmer(raw)))
    history.materialize(datasets(history)[1:], DAY)
    config = {"ops": {"flights__features__origin_weather": {"config": {"restate": True}}}}
    before = snapshots(history, "origin_weather")
    history.materialize([key(history.domain, FEATURES, "origin_weather")], DAY, run_config=config)
    after = snapshots(history, "origin_weather")
    assert (after["created_timestamp"] == after["event_timestamp"]).all()
    assert (after["temp"] - before["temp"]).dropna().round(6).eq(5).all()


def test_the_online_store_is_written_once_and_a_correction_goes_online(history: Twins) -> None:
    online = key(history.domain, FEATURES, "online_store")

    def written() -> int:
        (event,) = history.materialize([online], LAST).asset_materializations_for_node(
            "flights__features__online_store"
        )
        return int(event.metadata["written"].value)

    assert written() > 100
    assert written() == 0
    land(history, LAST, weather=warmer(history.source.day(LAST)))
    result = history.materialize([online], LAST)
    assert checks_of(result) == {"online_store/online_equals_offline": True}
    newest = snapshots(history, "origin_weather", LAST).sort_values(["event_timestamp", "created_timestamp"])
    (held,) = history.memory.feature_store.snapshots("origin_weather", ["JFK"])
    assert held is not None
    assert held[1]["temp"] == newest[newest["origin"] == "JFK"]["temp"].iloc[-1]


@pytest.mark.parametrize("view", FEATURE_VIEWS)
def test_features_of_a_normal_day_are_fresh_and_there(built: Twins, view: str) -> None:
    passed = checks_of(built.materialize([key(built.domain, FEATURES, view)], LAST))
    assert passed == {f"{view}/newest_snapshot_is_fresh": True, f"{view}/values_are_there": True}


def lost(passed: Mapping[str, bool]) -> set[str]:
    """The checks of views that failed; the dataset has checks of its own."""
    return {name for name, good in passed.items() if not good and name.partition("/")[0] in FEATURE_VIEWS}


def test_weather_that_ends_hours_before_midnight_is_not_fresh(history: Twins) -> None:
    weather = history.source.day(LAST).weather
    told = land(history, LAST, weather=weather[weather["hour"] < 19])
    assert failed(told) == {"origin_weather/newest_snapshot_is_fresh"}


def test_weather_without_most_of_its_values_is_seen(history: Twins) -> None:
    weather = history.source.day(LAST).weather
    # Less than what its dataset's own contract stops at.
    gone = weather.index % 9 < 4
    names = ["temp", "dewp", "humid", "wind_speed", "pressure", "visib"]
    bare = weather.assign(**{name: weather[name].mask(gone) for name in names})
    assert failed(land(history, LAST, weather=bare)) == {"origin_weather/values_are_there"}


def test_a_view_without_any_snapshot_is_neither_fresh_nor_there(history: Twins) -> None:
    for day in (shift(LAST, -1), LAST):
        result = land(history, day, weather=history.source.day(day).weather.iloc[:0])
    assert failed(result) == {"origin_weather/newest_snapshot_is_fresh", "origin_weather/values_are_there"}


class WrongWindow(MemoryFeatureStore):
    """An online store whose writer takes one window for another."""

    def write_online(self, view: str, frame: pd.DataFrame) -> int:
        if view == "origin_delays":
            frame = frame.assign(landed_share_1h=frame["landed_share_3h"])
        return super().write_online(view, frame)


def test_a_feature_served_from_another_window_is_named_with_both_values(life: Life, tmp_path: Path) -> None:
    copied = life.twins.copied(tmp_path / "copied")
    wrong = replace(copied.memory, feature_store=WrongWindow(copied.memory.tables))
    twins = Twins(tmp_path / "wrong", wrong)
    day = shift(LIVE[-1], 1)
    result = twins.run("flights__day", day)
    assert checks_of(result)["feature_skew/is_quiet"] is False
    (told,) = [
        e.metadata["reason"].value
        for e in result.asset_materializations_for_node("arrival_delay__monitors")
        if e.asset_key.path[-1] == "feature_skew"
    ]
    assert told.startswith("served and recomputed differ: origin_delays__landed_share_1h in ")
    served, recomputed = _values(told)
    assert served != recomputed


def _values(told: str) -> tuple[float, float]:
    """The two values that a reason names."""
    served, _, recomputed = told.rpartition("served ")[2].rstrip(")").partition(", recomputed ")
    return float(served), float(recomputed)


def test_served_vectors_stay_the_recomputed_ones_when_data_is_corrected_later(life: Life, tmp_path: Path) -> None:
    twins = life.twins.copied(tmp_path)
    for day in LIVE:
        land(twins, day, weather=warmer(twins.source.day(day)))
    result = twins.materialize([key(twins.use_case, "monitoring", "feature_skew")], LIVE[0])
    (event,) = result.asset_materializations_for_node("arrival_delay__monitors")
    assert event.metadata["verdict"].value == "ok"


def test_every_view_has_its_facts_from_one_place() -> None:
    assert set(FEATURE_VIEWS) == set(VIEWS)
