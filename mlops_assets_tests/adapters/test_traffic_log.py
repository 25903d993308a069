"""One contract for every log: what was kept is read back bit for bit, once, also while more is being written."""

import math
import multiprocessing
import sqlite3
import struct

import pytest

from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.adapters.traffic_log import (
    BOOK_KEEPING,
    ArmScore,
    MemoryTrafficLog,
    TrafficLogError,
    TrafficRecord,
    open_traffic_log,
    vector,
)
from mlops_assets.ml.bundles import ModelFeature

DIGEST, OTHER = "a" * 64, "b" * 64
FEATURES = (
    ModelFeature("carrier", "category", ("AA", "UA")),
    ModelFeature("distance", "number"),
    ModelFeature("origin_weather__temp", "number"),
)
AWKWARD = (1.0, 0.1 + 0.2, math.nan)


def record(number: int = 1, **changes: object) -> TrafficRecord:
    facts = {
        "request_id": f"r{number}",
        "event_time": "2013-04-01T12:00:00Z",
        "day": "2013-04-01",
        "model": "arrival_delay",
        "entity_id": f"f{number}",
        "arm": "champion",
        "version": 3,
        "digest": DIGEST,
        "score": 0.1 + 0.7,
        "scores": (ArmScore("champion", 3, DIGEST, 0.1 + 0.7), ArmScore("shadow", 4, OTHER, 1 / 3)),
        "request": {"flight_id": f"f{number}", "carrier": "UA", "distance": 1400},
        "features": struct.pack("<3d", *AWKWARD),
        "features_digest": DIGEST,
        "feature_times": {"origin_weather": "2013-04-01T11:00:00Z", "carrier_delays": None},
        "missing": 1,
        "latency_ms": 1.25,
        "received_at": "2026-01-01T00:00:00.000Z",
    }
    return TrafficRecord(**{**facts, **changes})


@pytest.fixture(params=["memory", "sqlite", "not waited for", pytest.param("postgres", marks=pytest.mark.integration)])
def log(request, tmp_path):
    if request.param == "memory":
        yield MemoryTrafficLog()
        return
    postgres = request.param == "postgres"
    address = request.getfixturevalue("postgres_address") if postgres else str(tmp_path / "deep" / "traffic.db")
    opened = open_traffic_log(address, wait=request.param != "not waited for")
    yield opened
    opened.close()


def test_a_score_that_comes_later_is_added_once(log):
    champion = (ArmScore("champion", 3, DIGEST, 0.5),)
    log.append([record(1, scores=champion), record(2, scores=()), record(3)])
    late = ArmScore("shadow", 4, OTHER, 0.1 + 0.2)
    for _ in range(2):
        log.add_scores([("r1", late), ("r2", late), ("r3", late), ("nobody", late)])
    assert log.find(["r1"])["r1"].scores == (*champion, late)
    assert log.find(["r2"])["r2"].scores == (late,)
    assert log.find(["r3"])["r3"] == record(3)
    log.add_scores([])
    assert [kept.request_id for kept in log.read()] == ["r1", "r2", "r3"]


def test_an_empty_log_has_no_records(log):
    assert (log.read(), log.read("2013-04-01"), log.days()) == ([], [], [])
    assert list(log.frame("2013-04-01").columns) == list(BOOK_KEEPING)


def test_what_was_kept_comes_back_equal(log):
    log.append([record(1), record(2, version=None, digest=None, arm="fallback", features_digest=None, features=b"")])
    first, second = log.read("2013-04-01")
    assert first == record(1)
    assert (second.version, second.digest, second.arm) == (None, None, "fallback")


def test_the_vector_comes_back_bit_for_bit_by_name(log):
    log.append([record()], {DIGEST: FEATURES})
    (kept,) = log.read()
    values = vector(kept, log.features(DIGEST))
    assert list(values) == ["carrier", "distance", "origin_weather__temp"]
    assert struct.pack("<3d", *values.values()) == struct.pack("<3d", *AWKWARD)


def test_a_known_request_id_is_kept_once(log):
    log.append([record(1)])
    log.append([record(1, score=0.9), record(2)])
    assert [(r.request_id, r.score) for r in log.read()] == [("r1", 0.1 + 0.7), ("r2", 0.1 + 0.7)]


def test_a_writer_is_told_what_was_there_before_it(log):
    assert log.append([record(1), record(2)], {DIGEST: FEATURES}) == {}
    told = log.append([record(1, score=0.9), record(3), record(2, entity_id="another")])
    assert told == {"r1": record(1), "r2": record(2)}
    assert [r.request_id for r in log.read()] == ["r1", "r2", "r3"]
    assert log.append([]) == {}


@pytest.mark.parametrize(
    "awkward", ["\0", "a\0b\\0", "\\", "\\\\0", "\1\\1", "é\U0001f600", "'; DROP TABLE mlops_traffic; --"]
)
def test_ids_may_be_any_text(log, awkward):
    sent = record(1, request_id=awkward, entity_id=awkward, request={"carrier": awkward})
    log.append([sent])
    assert log.find([awkward]) == {awkward: sent}
    assert log.read() == [sent]
    assert log.forget([awkward]) == 1


def test_records_are_found_by_request_id(log):
    log.append([record(n) for n in range(1200)])
    found = log.find([f"r{n}" for n in range(0, 2400, 2)])
    assert sorted(found) == sorted(f"r{n}" for n in range(0, 1200, 2))


def test_a_day_and_a_model_select(log):
    log.append([record(1), record(2, day="2013-04-02"), record(3, model="weather")])
    assert [r.request_id for r in log.read("2013-04-01", "arrival_delay")] == ["r1"]
    assert [r.request_id for r in log.read(model="weather")] == ["r3"]
    assert log.days() == ["2013-04-01", "2013-04-02"]
    assert log.days("weather") == ["2013-04-01"]


def test_unknown_columns_are_a_key_error(log):
    log.append([record()])
    with pytest.raises(KeyError):
        log.features(OTHER)


def test_the_frame_has_raw_categories_and_one_column_per_arm(log):
    unknown = record(2, request={"carrier": "ZZ"}, features=struct.pack("<3d", math.nan, 1.0, 2.0))
    decoded = record(3, request={"origin": "EWR"})
    log.append([record(1), unknown, decoded], {DIGEST: FEATURES})
    frame = log.frame("2013-04-01")
    assert frame["carrier"].tolist() == ["UA", "ZZ", "UA"]
    assert frame["distance"].tolist() == [0.1 + 0.2, 1.0, 0.1 + 0.2]
    assert frame["shadow_score"].tolist() == [1 / 3] * 3
    assert frame["champion_version"].tolist() == [3] * 3

    assert frame["origin_weather__feature_time"].tolist() == ["2013-04-01T11:00:00Z"] * 3
    assert frame["origin_weather__temp"].isna().tolist() == [True, False, True]


def test_features_that_callers_sent_are_kept_but_are_no_decisions(log):
    log.append([record(1), record(2, request={})], {DIGEST: FEATURES})
    assert log.frame("2013-04-01")["request_id"].tolist() == ["r1"]
    assert [kept.request_id for kept in log.read()] == ["r1", "r2"]


def test_a_log_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path):
    log = SqliteTrafficLog(tmp_path / "traffic.db")
    log.append([record(1)])
    with sqlite3.connect(tmp_path / "traffic.db") as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON traffic BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    with pytest.raises(TrafficLogError, match="disk is full"):
        log.append([record(2), record(3)])
    assert [r.request_id for r in log.read()] == ["r1"]
    with sqlite3.connect(tmp_path / "traffic.db") as other:
        other.execute("DROP TRIGGER full")
    log.append([record(2)])
    assert len(log.read()) == 2


def test_the_disk_is_asked_to_keep_every_commit(tmp_path):
    log = SqliteTrafficLog(tmp_path / "traffic.db")
    log.open()
    writer = log._connection()
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)


def write_many(path, count: int) -> None:
    log = SqliteTrafficLog(path)
    for first in range(0, count, 10):
        log.append([record(n) for n in range(first, first + 10)], {DIGEST: FEATURES})


def test_another_process_reads_whole_batches_while_they_are_written(tmp_path):
    path = tmp_path / "traffic.db"
    writer = multiprocessing.get_context("fork").Process(target=write_many, args=(path, 1000))
    writer.start()
    log, seen = SqliteTrafficLog(path), []
    while writer.is_alive():
        seen.append(len(log.read()))
    writer.join()
    assert len(log.read()) == 1000
    assert seen == sorted(seen)
    assert all(count % 10 == 0 for count in seen)


def write_the_same(path, score: float, told) -> None:
    log = SqliteTrafficLog(path)
    for first in range(0, 300, 5):
        mine = [record(n, score=score) for n in range(first, first + 5)]
        stored = log.append(mine)
        told.put((score, {r.request_id: stored.get(r.request_id, r).score for r in mine}, len(stored)))


def test_of_several_writers_of_an_id_one_writes_and_all_tell_the_same(tmp_path):
    path, context = tmp_path / "traffic.db", multiprocessing.get_context("fork")
    told = context.Queue()
    writers = [context.Process(target=write_the_same, args=(path, 0.25 * n, told)) for n in (1, 2, 3)]
    for writer in writers:
        writer.start()
    heard = [told.get(timeout=60) for _ in range(180)]
    for writer in writers:
        writer.join()
    kept = {r.request_id: r.score for r in SqliteTrafficLog(path).read()}
    assert len(kept) == 300
    assert all(kept[key] == score for _, answers, _ in heard for key, score in answers.items())
    assert sum(len(answers) - found for _, answers, found in heard) == 300, "each id was written by exactly one"


def test_what_is_forgotten_is_gone_and_the_rest_stays(log):
    log.append([record(n) for n in range(1200)])
    assert log.forget([f"r{n}" for n in range(0, 1200, 2)] + ["unknown"]) == 600
    assert [kept.request_id for kept in log.read()] == [f"r{n}" for n in range(1, 1200, 2)]
    log.append([record(0, score=0.5)])
    assert log.read()[-1].score == 0.5


def fill(log: SqliteTrafficLog) -> int:
    """Append until there is no room; how many records there are then."""
    for kept in range(0, 100_000, 10):
        try:
            log.append([record(n) for n in range(kept, kept + 10)])
        except TrafficLogError:
            return kept
    raise AssertionError("the log never became full")


def test_a_log_never_grows_beyond_its_size_and_room_is_made_by_forgetting(tmp_path):
    log = SqliteTrafficLog(tmp_path / "small.db", max_bytes=200_000)
    kept = fill(log)
    with pytest.raises(TrafficLogError, match="full"):
        log.append([record(n) for n in range(kept, kept + 10)])
    assert (tmp_path / "small.db").stat().st_size <= 200_000
    assert len(log.read()) == kept, "all or nothing of a batch"
    assert SqliteTrafficLog(tmp_path / "small.db").forget([f"r{n}" for n in range(50)]) == 50
    log.append([record(n) for n in range(5000, 5010)])
    assert len(log.read()) == kept - 40
