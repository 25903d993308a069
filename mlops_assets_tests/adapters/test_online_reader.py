"""Feast's file read without Feast: the same keys, the same values, never older than the file."""

import datetime as dt
import sqlite3
import struct

import pytest

from mlops_assets.adapters.feast_format import decode_value, entity_key
from mlops_assets.adapters.online_reader import MemoryOnlineReader, OnlineStoreError, Snapshot
from mlops_assets.adapters.sqlite_online_reader import SqliteOnlineReader
from mlops_assets.ml.bundles import ViewInput

VIEW = ViewInput("origin_weather", "origin", 3600, ("wind_speed",))
NOON = 1_364_817_600.0


class FeastFile:
    """A file laid out as Feast lays it out."""

    def __init__(self, path) -> None:
        self.path = path
        with sqlite3.connect(path) as file:
            file.execute(
                "CREATE TABLE mlops_origin_weather (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, "
                "vector_value BLOB, event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name))"
            )

    def put(self, key, value: float, at: float = NOON, feature: str = "wind_speed") -> None:
        with sqlite3.connect(self.path) as file:
            file.execute(
                "INSERT OR REPLACE INTO mlops_origin_weather VALUES (?, ?, ?, NULL, NULL, ?, NULL)",
                (entity_key("origin", key), feature, b"\x29" + struct.pack("<d", value), local_epoch(at)),
            )
        file.close()


def local_epoch(at: float) -> int:
    """What Feast stores: a naive UTC time taken for local time."""
    return int(dt.datetime.fromtimestamp(at, dt.UTC).replace(tzinfo=None).timestamp())


@pytest.fixture
def feast_file(tmp_path) -> FeastFile:
    return FeastFile(tmp_path / "online.db")


@pytest.fixture
def reader(feast_file):
    made = SqliteOnlineReader(feast_file.path, "mlops")
    yield made
    made.close()


def test_values_and_times_come_back(feast_file, reader):
    feast_file.put("EWR", 9.2)
    assert reader.read(VIEW, ["EWR", "JFK", "EWR"]) == {"EWR": Snapshot(NOON, {"wind_speed": 9.2})}


def test_a_new_value_is_seen_at_once(feast_file, reader):
    for value in (1.0, 2.0, 3.0):
        feast_file.put("EWR", value)
        assert reader.read(VIEW, ["EWR"])["EWR"].values == {"wind_speed": value}


def test_a_key_that_appears_later_is_seen(feast_file, reader):
    assert reader.read(VIEW, ["LGA"]) == {}
    feast_file.put("LGA", 4.0)
    assert reader.read(VIEW, ["LGA"])["LGA"].values == {"wind_speed": 4.0}


def test_a_file_put_in_its_place_is_seen(feast_file, reader, tmp_path):
    feast_file.put("EWR", 1.0)
    reader.read(VIEW, ["EWR"])
    other = FeastFile(tmp_path / "other.db")
    other.put("EWR", 7.0)
    other.path.replace(feast_file.path)
    assert reader.read(VIEW, ["EWR"])["EWR"].values == {"wind_speed": 7.0}


def test_more_keys_than_one_statement_takes(feast_file, reader):
    for number in range(3):
        feast_file.put(f"K{number * 600}", float(number))
    found = reader.read(VIEW, [f"K{n}" for n in range(1300)])
    assert sorted(found) == ["K0", "K1200", "K600"]


def test_integer_keys_are_found(feast_file, reader):
    feast_file.put(7, 1.0)
    assert reader.read(VIEW, [7, -1])[7].values == {"wind_speed": 1.0}


def test_no_file_and_no_table_are_told(tmp_path, reader):
    with pytest.raises(OnlineStoreError, match="no such table"):
        reader.read(ViewInput("aircraft", "tailnum", 0, ("seats",)), ["N1"])
    with pytest.raises(OnlineStoreError, match="aircraft"):
        SqliteOnlineReader(tmp_path / "nowhere.db", "mlops").read(ViewInput("aircraft", "t", 0, ("s",)), ["N1"])
    assert not (tmp_path / "nowhere.db").exists()


def test_a_locked_file_is_told_and_read_again_later(feast_file, reader):
    feast_file.put("EWR", 1.0)
    other = sqlite3.connect(feast_file.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OnlineStoreError, match="locked"):
        reader.read(VIEW, ["EWR"])
    other.execute("COMMIT")
    other.close()
    assert reader.read(VIEW, ["EWR"])["EWR"].values == {"wind_speed": 1.0}


def test_the_reader_cannot_write(feast_file, reader):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._current().execute("DELETE FROM mlops_origin_weather")


@pytest.mark.parametrize("message", [b"\x62\x00", b"\x29\x00", b"\xff\xff\xff"], ids=["a list", "cut off", "no tag"])
def test_a_value_that_is_no_scalar_is_told(feast_file, reader, message):
    feast_file.put("EWR", 1.0)
    with sqlite3.connect(feast_file.path) as file:
        file.execute("UPDATE mlops_origin_weather SET value = ?", (message,))
    with pytest.raises(OnlineStoreError):
        reader.read(VIEW, ["EWR"])


def test_the_twin_reads_what_was_put():
    twin = MemoryOnlineReader()
    twin.put("origin_weather", "EWR", NOON, {"wind_speed": 9.2})
    assert twin.read(VIEW, ["EWR", "JFK"]) == {"EWR": Snapshot(NOON, {"wind_speed": 9.2})}


@pytest.mark.integration
def test_every_scalar_is_decoded_as_feast_encodes_it():
    from feast.protos.feast.types.Value_pb2 import Value

    cases = {
        "string_val": ["", "EWR", "München", "x" * 300],
        "int32_val": [0, 1, -1, 2**31 - 1, -(2**31)],
        "int64_val": [0, 1, -1, 300, 2**63 - 1, -(2**63)],
        "double_val": [0.0, -0.0, 0.1 + 0.2, 1e308, -5e-324],
        "float_val": [0.0, 0.1, -1.5],
        "bool_val": [False, True],
        "unix_timestamp_val": [1_364_817_600],
    }
    for field, values in cases.items():
        for value in values:
            message = Value(**{field: value})
            assert repr(decode_value(message.SerializeToString())) == repr(getattr(message, field)), field
    assert decode_value(Value().SerializeToString()) is None
    assert decode_value(Value(null_val=0).SerializeToString()) is None
    assert str(decode_value(Value(double_val=float("nan")).SerializeToString())) == "nan"


@pytest.mark.integration
def test_feast_and_this_reader_tell_the_same(tmp_path):
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
    from feast.types import Float32, Float64, Int64, String

    frame = pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "LGA"],
            "wind": [9.2, None, 0.1 + 0.2],
            "gust": [1.5, 2.5, None],
            "flights": [3, 0, -7],
            "sky": ["clear", "", "Schnee ❄"],
            "event_timestamp": pd.to_datetime(["2013-04-01T12:00Z", "2013-07-01T00:00Z", "2013-12-31T23:00Z"]),
        }
    )
    frame.to_parquet(tmp_path / "weather.parquet")
    config = RepoConfig(
        project="mlops",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    origin = Entity(name="origin", join_keys=["origin"])
    view = FeatureView(
        name="origin_weather",
        entities=[origin],
        ttl=dt.timedelta(hours=3),
        schema=[Field(name="wind", dtype=Float64), Field(name="gust", dtype=Float32),
                Field(name="flights", dtype=Int64), Field(name="sky", dtype=String)],
        source=FileSource(path=str(tmp_path / "weather.parquet"), timestamp_field="event_timestamp"),
    )  # fmt: skip
    store.apply([origin, view])
    store.write_to_online_store("origin_weather", frame)
    names = ("wind", "gust", "flights", "sky")
    keys = ["EWR", "JFK", "LGA", "HPN"]
    told = store.get_online_features(
        features=[f"origin_weather:{name}" for name in names], entity_rows=[{"origin": key} for key in keys]
    ).to_dict()
    reader = SqliteOnlineReader(tmp_path / "online.db", "mlops")
    found = reader.read(ViewInput("origin_weather", "origin", 10800, names), keys)
    for position, key in enumerate(keys):
        for name in names:
            ours = found[key].values.get(name) if key in found else None
            assert repr(none_for_nan(ours)) == repr(none_for_nan(told[name][position])), (key, name)
    times = {key: snapshot.at for key, snapshot in found.items()}
    assert times == {row.origin: row.event_timestamp.timestamp() for row in frame.itertuples()}


def none_for_nan(value):
    return None if value is None or value != value else value
