"""Feast's file read without Feast: the same keys, the same values, never older than the file."""

import datetime as dt
import sqlite3
import struct

import pytest

from mlops_assets.adapters.feast_format import entity_key
from mlops_assets.adapters.online_reader import OnlineStoreError, Snapshot
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


def test_a_reader_that_keeps_nothing_reads_the_same(feast_file):
    feast_file.put("EWR", 9.2)
    reader = SqliteOnlineReader(feast_file.path, "mlops", keep=False)
    for _ in range(2):
        assert reader.read(VIEW, ["EWR", "JFK"]) == {"EWR": Snapshot(NOON, {"wind_speed": 9.2})}
    reader.close()


def test_readers_go_on_while_somebody_writes(feast_file, reader):
    """In WAL mode, which our store sets: a reader sees what was there, and the new value once it is committed."""
    feast_file.put("EWR", 1.0)
    writer = sqlite3.connect(feast_file.path, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("BEGIN IMMEDIATE")
    message = b"\x29" + struct.pack("<d", 2.0)
    writer.execute("UPDATE mlops_origin_weather SET value = ?", (message,))
    assert reader.read(VIEW, ["EWR"])["EWR"].values == {"wind_speed": 1.0}
    writer.execute("COMMIT")
    writer.close()
    assert reader.read(VIEW, ["EWR"])["EWR"].values == {"wind_speed": 2.0}
