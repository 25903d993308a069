"""The online store read without Feast: one contract for the twin, SQLite and Redis, held against Feast's own answer."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlops_assets.adapters.online_reader import (
    MemoryOnlineReader,
    OnlineReader,
    OnlineStoreError,
    Snapshot,
    open_online_reader,
)
from mlops_assets.ml.bundles import ViewInput
from mlops_assets_tests.redis_server import free_port, running

NAMES = ("wind", "gust", "flights", "sky")
WEATHER = ViewInput("origin_weather", "origin", 10800, NAMES)
TRAFFIC = ViewInput("origin_traffic", "origin", 10800, ("queue",))
FLEET = ViewInput("fleet", "number", 0, ("seats",))
FRAMES = {
    "origin_weather": pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "LGA"],
            "wind": [9.2, None, 0.1 + 0.2],
            "gust": [1.5, 2.5, None],
            "flights": [3, 0, -7],
            "sky": ["clear", "", "Schnee ❄"],
            "event_timestamp": pd.to_datetime(["2013-04-01T12:00Z", "2013-07-01T00:00Z", "2013-12-31T23:00Z"]),
        }
    ),
    "origin_traffic": pd.DataFrame(
        {"origin": ["EWR"], "queue": [4.0], "event_timestamp": pd.to_datetime(["2013-04-01T11:00Z"])}
    ),
    "fleet": pd.DataFrame(
        {"number": [7, -1], "seats": [180.0, 50.0], "event_timestamp": pd.to_datetime(["2013-01-01T00:00Z"] * 2)}
    ),
}
ASKED = [(WEATHER, ["EWR", "JFK", "LGA", "HPN", "EWR"]), (TRAFFIC, ["EWR", "LGA"]), (FLEET, [7, -1, 8])]


def feast_store(folder: Path, online: dict[str, str]) -> Any:
    """A Feast store of its own with the three views, its online part filled by Feast."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Float32, Float64, Int64, String
    from feast.value_type import ValueType

    config = RepoConfig(
        project="mlops", provider="local", registry=str(folder / "registry.db"), online_store=online,
        entity_key_serialization_version=3,
    )  # fmt: skip
    kinds = {"wind": Float64, "gust": Float32, "flights": Int64, "sky": String, "queue": Float64, "seats": Float64}
    keys = {
        "origin": Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING),
        "number": Entity(name="number", join_keys=["number"], value_type=ValueType.INT64),
    }
    store = FeatureStore(config=config)
    views = []
    for name, frame in FRAMES.items():
        frame.to_parquet(folder / f"{name}.parquet")
        source = FileSource(path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp")
        fields = [Field(name=column, dtype=kinds[column]) for column in frame.columns if column in kinds]
        view = FeatureView(
            name=name, entities=[keys[frame.columns[0]]], ttl=dt.timedelta(0), schema=fields, source=source
        )
        views.append(view)
    store.apply([*keys.values(), *views])
    for name, frame in FRAMES.items():
        store.write_to_online_store(name, frame)
    return store


def memory(_: Path, __: Callable[[], str]) -> tuple[OnlineReader, Any]:
    reader = MemoryOnlineReader()
    for name, frame in FRAMES.items():
        for row in frame.to_dict("records"):
            key, *_, at = row.values()
            values = {f: None if v is None or v != v else v for f, v in list(row.items())[1:-1]}
            reader.put(name, key, at.timestamp(), values)
    return reader, None


def sqlite(folder: Path, _: Callable[[], str]) -> tuple[OnlineReader, Any]:
    store = feast_store(folder, {"type": "sqlite", "path": str(folder / "online.db")})
    return open_online_reader(str(folder / "online.db"), "mlops"), store


def redis(folder: Path, address: Callable[[], str]) -> tuple[OnlineReader, Any]:
    place = address().removeprefix("redis://").removesuffix("/0")
    store = feast_store(folder, {"type": "redis", "connection_string": f"{place},db=3"})
    return open_online_reader(f"redis://{place}/3", "mlops"), store


@pytest.fixture(
    scope="module",
    params=[memory, *(pytest.param(make, marks=pytest.mark.integration) for make in (sqlite, redis))],
    ids=lambda make: make.__name__,
)
def beside(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OnlineReader, Any]]:
    """A reader, and the Feast store that wrote what it reads."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    reader, store = request.param(folder, lambda: request.getfixturevalue("redis_server"))
    yield reader, store
    reader.close()


def plain(value: Any) -> Any:
    return None if value is None or value != value else value


def test_every_value_is_the_one_that_was_written(beside):
    reader, _ = beside
    for (view, _), found in zip(ASKED, reader.read_views(ASKED), strict=True):
        frame = FRAMES[view.name].set_index(view.join_key)
        assert set(found) == set(frame.index)
        for key, snapshot in found.items():
            wanted = {name: plain(frame.loc[key, name]) for name in view.features}
            assert {name: plain(value) for name, value in snapshot.values.items()} == wanted
            assert snapshot.at == frame.loc[key, "event_timestamp"].timestamp()


def test_feast_tells_the_same(beside):
    reader, store = beside
    if store is None:
        pytest.skip("the twin has no Feast beside it")
    for (view, keys), found in zip(ASKED, reader.read_views(ASKED), strict=True):
        told = store.get_online_features(
            features=[f"{view.name}:{name}" for name in view.features],
            entity_rows=[{view.join_key: key} for key in keys],
        ).to_dict()
        for position, key in enumerate(keys):
            for name in view.features:
                ours = found[key].values.get(name) if key in found else None
                assert repr(plain(ours)) == repr(plain(told[name][position])), (key, name)


def test_one_view_is_read_as_several_are(beside):
    reader, _ = beside
    assert [reader.read(view, keys) for view, keys in ASKED] == reader.read_views(ASKED)
    assert reader.read(WEATHER, []) == {}
    assert reader.read_views([]) == []


def test_a_key_that_the_store_does_not_know_is_absent(beside):
    reader, _ = beside
    assert reader.read(TRAFFIC, ["LGA", "XXX"]) == {}


def test_the_twin_reads_what_was_put():
    twin = MemoryOnlineReader()
    twin.put("origin_weather", "EWR", 5.0, {"wind_speed": 9.2})
    assert twin.read(WEATHER, ["EWR", "JFK"]) == {"EWR": Snapshot(5.0, {"wind_speed": 9.2})}


@pytest.mark.integration
def test_a_redis_that_is_not_there_is_told_at_once_and_found_again(tmp_path):
    port = free_port()
    reader = open_online_reader(f"redis://127.0.0.1:{port}/0", "mlops")
    with pytest.raises(OnlineStoreError, match=f"origin_traffic from redis at 127.0.0.1:{port}"):
        reader.read(TRAFFIC, ["EWR"])
    for _ in range(2):
        with running(tmp_path, port):
            assert reader.read(TRAFFIC, ["EWR"]) == {}
    reader.close()


@pytest.mark.integration
def test_bytes_in_redis_that_are_no_scalar_are_told(redis_address):
    import redis as client

    from mlops_assets.adapters.feast_format import entity_key, redis_field

    with client.Redis.from_url(redis_address) as direct:
        fields = {b"_ts:origin_traffic": b"\x08\x01", redis_field("origin_traffic", "queue"): b"\x62\x00"}
        direct.hset(entity_key("origin", "EWR") + b"mlops", mapping=fields)
    reader = open_online_reader(redis_address, "mlops")
    with pytest.raises(OnlineStoreError, match="not a scalar"):
        reader.read(TRAFFIC, ["EWR"])
    reader.close()
