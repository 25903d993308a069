"""The log that is not waited for: in order, once, bounded, and honest about what it could not write."""

import threading
import time

import pytest

from mlops_assets.adapters.asynchronous_traffic_log import AsynchronousTrafficLog
from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.adapters.traffic_log import ArmScore, MemoryTrafficLog, TrafficLogError
from mlops_assets_tests.adapters.test_traffic_log import DIGEST, FEATURES, record


class Slow(MemoryTrafficLog):
    """Writes when it may; fails while it must."""

    def __init__(self):
        super().__init__()
        self.may, self.fails, self.batches = threading.Event(), False, []

    def append(self, records, features=None):
        self.may.wait(5)
        if self.fails:
            raise TrafficLogError("the disk is full")
        self.batches.append(len(records))
        return super().append(records, features)


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def log(slow):
    made = AsynchronousTrafficLog(slow, max_records=5)
    yield made
    slow.may.set()
    slow.fails = False
    made.close()


def test_nobody_waits_for_the_disk_and_everything_is_written_in_its_order(log, slow):
    began = time.monotonic()
    for number in range(5):
        log.append([record(number)], {DIGEST: FEATURES})
    assert time.monotonic() - began < 1
    assert MemoryTrafficLog.read(slow) == []
    slow.may.set()
    assert [kept.request_id for kept in log.read()] == [f"r{number}" for number in range(5)]
    assert log.features(DIGEST) == FEATURES
    assert len(slow.batches) < 5


def test_what_is_not_written_yet_is_found_and_answered_once(log, slow):
    log.append([record(1)])
    assert log.find(["r1", "r2"]) == {"r1": record(1)}
    assert log.append([record(1, score=0.9), record(2)]) == {"r1": record(1)}
    slow.may.set()
    assert {kept.request_id: kept.score for kept in log.read()} == {"r1": record(1).score, "r2": record(2).score}
    assert log.find(["r1"]) == {"r1": record(1)}


def test_scores_that_come_later_follow_their_records(log, slow):
    late = ArmScore("shadow", 4, DIGEST, 0.25)
    log.append([record(1, scores=())])
    log.add_scores([("r1", late)])
    slow.may.set()
    assert log.read()[0].scores == (late,)


def test_more_than_it_holds_is_refused(log, slow):
    log.append([record(number) for number in range(5)])
    with pytest.raises(TrafficLogError, match="5 records wait"):
        log.append([record(9)])
    slow.may.set()
    log.flush()
    log.append([record(9)])
    assert len(log.read()) == 6


def test_a_disk_that_is_full_is_told_and_written_to_again(log, slow):
    slow.fails = True
    slow.may.set()
    log.append([record(number) for number in range(5)])
    with pytest.raises(TrafficLogError, match="the disk is full"):
        log.flush(0.2)
    with pytest.raises(TrafficLogError, match="the disk is full"):
        log.append([record(9)])
    slow.fails = False
    log.flush(5)
    assert len(log.read()) == 5


def test_the_end_waits_for_the_disk(tmp_path):
    log = AsynchronousTrafficLog(SqliteTrafficLog(tmp_path / "traffic.db"))
    log.append([record(number) for number in range(100)])
    log.close()
    assert len(SqliteTrafficLog(tmp_path / "traffic.db").read()) == 100
