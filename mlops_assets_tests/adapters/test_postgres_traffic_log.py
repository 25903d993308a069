"""What a shared log promises beyond the contract: several writers, a server that goes away, no password told."""

import multiprocessing
import signal
import threading
import time

import psycopg
import pytest

from mlops_assets.adapters.postgres_traffic_log import PostgresTrafficLog
from mlops_assets.adapters.traffic_log import TrafficLogError
from mlops_assets_tests.adapters.test_traffic_log import DIGEST, FEATURES, record
from mlops_assets_tests.postgres_server import running

integration = pytest.mark.integration


def write(address: str, writer: int, ready, told) -> None:
    """Batches of ids that the other writer sends too, in the opposite order; tell what was there already."""
    log, others = PostgresTrafficLog(address), {}
    ready.wait()
    for first in range(0, 600, 30):
        ids = range(first, first + 30) if writer else reversed(range(first, first + 30))
        batch = [record(n, score=float(writer)) for n in ids]
        others |= log.append(batch, {DIGEST: FEATURES})
    told.put((writer, {key: was.score for key, was in others.items()}))


@integration
def test_two_writers_of_the_same_ids_keep_each_once_and_both_know_what_was_answered(postgres_address):
    context = multiprocessing.get_context("fork")
    ready, told = context.Barrier(2), context.Queue()
    writers = [context.Process(target=write, args=(postgres_address, number, ready, told)) for number in (0, 1)]
    for writer in writers:
        writer.start()
    others = dict(told.get(timeout=60) for _ in writers)
    for writer in writers:
        writer.join(10)
        assert writer.exitcode == 0
    kept = PostgresTrafficLog(postgres_address).read()
    assert sorted(r.request_id for r in kept) == sorted({f"r{n}" for n in range(600)})
    for number in (0, 1):
        mine = {r.request_id for r in kept if r.score == number}
        assert set(others[number]) == {r.request_id for r in kept} - mine
        assert set(others[number].values()) <= {1.0 - number}


@integration
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_goes_away_loses_nothing_acknowledged_and_is_found_again(how):
    with running() as server:
        log = PostgresTrafficLog(server.address)
        log.append([record(1)], {DIGEST: FEATURES})
        server.stop(how)
        with pytest.raises(TrafficLogError, match="cannot open"):
            log.append([record(2), record(3)])
        with pytest.raises(TrafficLogError, match="cannot read"):
            log.read()
        server.start()
        log.append([record(4)])
        assert [r.request_id for r in log.read()] == ["r1", "r4"]
        assert log.features(DIGEST) == FEATURES
        server.stop(how)
        server.start()
        # The connection of before is dead and nobody has noticed yet: this is one batch that does not fail for it.
        log.append([record(5)])
        assert sorted(log.find(["r1", "r4", "r5"])) == ["r1", "r4", "r5"]
        log.close()


@integration
def test_a_server_that_crashes_again_and_again_under_writes_loses_nothing_acknowledged():
    with running() as server:
        acknowledged, stop = [], threading.Event()

        def append() -> None:
            log, number = PostgresTrafficLog(server.address), 0
            while not stop.is_set():
                batch = [record(n) for n in range(number, number + 5)]
                number += 5
                try:
                    log.append(batch)
                except TrafficLogError:
                    time.sleep(0.01)
                else:
                    acknowledged.extend(r.request_id for r in batch)

        writer = threading.Thread(target=append)
        writer.start()
        for pause_s in (0.3, 0.2, 0.4):
            time.sleep(pause_s)
            server.stop(signal.SIGQUIT)
            server.start()
        time.sleep(0.3)
        stop.set()
        writer.join(20)
        kept = [r.request_id for r in PostgresTrafficLog(server.address).read()]
        assert len(acknowledged) > 50
        assert set(acknowledged) <= set(kept)
        assert len(kept) == len(set(kept))


@integration
def test_a_batch_that_cannot_be_written_keeps_nothing_and_the_next_one_is(postgres_address):
    log = PostgresTrafficLog(postgres_address)
    log.append([record(1)])
    with psycopg.connect(postgres_address, autocommit=True) as other:
        other.execute("ALTER TABLE mlops_traffic ADD CONSTRAINT full_disk CHECK (request_id <> 'r3')")
        with pytest.raises(TrafficLogError, match="full_disk"):
            log.append([record(2), record(3)])
        other.execute("ALTER TABLE mlops_traffic DROP CONSTRAINT full_disk")
    log.append([record(4)])
    assert [r.request_id for r in log.read()] == ["r1", "r4"]


@integration
def test_the_disk_is_asked_to_keep_every_commit_whatever_the_server_s_default(postgres_address):
    with psycopg.connect(postgres_address, autocommit=True) as other:
        other.execute("ALTER DATABASE postgres SET synchronous_commit = off")
    try:
        log = PostgresTrafficLog(postgres_address)
        log.open()
        assert log._writer.execute("SHOW synchronous_commit").fetchone() == ("on",)
        log.close()
    finally:
        with psycopg.connect(postgres_address, autocommit=True) as other:
            other.execute("ALTER DATABASE postgres RESET synchronous_commit")


@integration
def test_a_wrong_password_is_told_and_not_shown(postgres_server):
    wrong = postgres_server.address.replace("not-a-secret", "shown-nowhere")
    with pytest.raises(TrafficLogError, match="password authentication failed") as told:
        PostgresTrafficLog(wrong).append([record(1)])
    assert "shown-nowhere" not in str(told.value)


def test_an_address_that_cannot_be_read_is_not_shown():
    with pytest.raises(TrafficLogError, match="MLOPS_TRAFFIC_LOG") as told:
        PostgresTrafficLog("postgresql://u:shown%zznowhere@h/d")
    assert "shown" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(TrafficLogError, match="cannot open the traffic log at 127.0.0.1/d.*refused"):
        PostgresTrafficLog("postgresql://u:p@127.0.0.1:9/d").append([record(1)])
