"""Several workers as real processes: killed, stopped and swapped under load, and nobody outside notices."""

import concurrent.futures
import os
import random
import signal
import stat
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from mlops_assets.adapters.endpoint import HttpEndpoint
from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.contracts import Arm
from mlops_assets.serving.frames import SOCKET_FILE
from mlops_assets_tests.serving.processes import MODEL, Server, storm

pytestmark = pytest.mark.integration

KILLS_ITSELF = """
import os, signal, sys
if "mlops_assets.serving.worker" in sys.orig_argv:
    from mlops_assets.serving.data_plane import DataPlane
    predict = DataPlane.predict

    def poisoned(self, requests):
        entities = {row.entity_id for request in requests for row in request.rows}
        if "poison" in entities:
            os.kill(os.getpid(), signal.SIGKILL)
        outcomes = predict(self, requests)
        if "killed once" in entities and not os.path.exists(__file__ + ".killed"):
            open(__file__ + ".killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes

    DataPlane.predict = poisoned
"""


@pytest.fixture
def server(tmp_path, make_bundle, put_bundle):
    made = Server(tmp_path, workers=2)
    made.desire(champion=(1, put_bundle(made.config.bundles, make_bundle(1))))
    yield made
    made.stop()


def logged(server: Server) -> dict[str, float]:
    records = SqliteTrafficLog(server.config.traffic).read()
    assert set(Counter(record.request_id for record in records).values()) <= {1}
    return {record.request_id: record.score for record in records}


def metric(server: Server, start: str) -> float:
    text = httpx.get(f"{server.endpoint.url}/metrics", trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


def test_killed_workers_lose_no_request_and_are_replaced(server, flight):
    server.start()
    moments = random.Random(1)
    server.wait_for_workers()
    with storm(server, flight(), 24) as heard:
        for kill in range(6):
            time.sleep(moments.uniform(0.05, 0.4))
            pid = server.wait_for_workers()[kill % 2]
            os.kill(pid, signal.SIGKILL)
            server.wait_for_workers(but=pid)
        retried = metric(server, "mlops_retried_requests_total")
        assert metric(server, "mlops_workers_lost_total") == 6
    assert (heard.lost, heard.refused) == (0, [])
    kept = logged(server)
    assert len(heard.acknowledged) > 500
    assert all(kept[request_id] == score for request_id, score in heard.acknowledged)
    assert retried > 0


def test_rows_without_an_id_are_logged_once_too_when_their_worker_is_killed(server, flight):
    server.start()
    server.wait_for_workers()
    with storm(server, flight(), 16, "none") as heard:
        for kill in range(4):
            time.sleep(0.2)
            pid = server.wait_for_workers()[kill % 2]
            os.kill(pid, signal.SIGKILL)
            server.wait_for_workers(but=pid)
    assert (heard.lost, heard.refused) == (0, [])
    kept = logged(server)
    answers = Counter(request_id for request_id, _ in heard.acknowledged)
    assert set(answers.values()) == {1}
    assert set(answers) == set(kept), "what was committed before a kill was found again, not scored again"


def test_a_stopped_worker_is_noticed_and_replaced_and_its_requests_are_answered(server, flight):
    server.start()
    pid = server.wait_for_workers()[0]
    with storm(server, flight(), 16) as heard:
        time.sleep(0.5)
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        pids = server.wait_for_workers(but=pid)
        took_s = time.monotonic() - began
    assert (heard.lost, heard.refused) == (0, [])
    assert pid not in pids.values()
    assert took_s < 5
    assert heard.slowest(0, time.monotonic()) < 2.5
    logged(server)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_or_killed_process_that_listens_is_replaced(workers, server, flight, tmp_path):
    server = Server(tmp_path, workers=workers)
    try:
        server.start()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            before = server.worker_pid()
            os.kill(before, number)
            deadline = time.monotonic() + 15
            while server.worker_pid() in (before, 0) or not server.endpoint.ready():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert server.endpoint.predict(MODEL, [flight()])[0]["version"] == 1
    finally:
        server.stop()


def spawn_with(server: Server, folder: Path, code: str) -> None:
    (folder / "sitecustomize.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, sys.path)]))
        server.start()
    server.wait_for_workers()


def test_a_request_that_kills_takes_two_workers_and_no_other_request_with_it(server, flight, tmp_path):
    spawn_with(server, tmp_path, KILLS_ITSELF)
    with storm(server, flight(), 16) as heard:
        time.sleep(0.3)
        body = {"model": MODEL, "rows": [flight(flight_id="poison")]}
        answer = httpx.post(f"{server.endpoint.url}/predict", json=body, trust_env=False, timeout=20)
        time.sleep(0.2)
        server.wait_for_workers()
    assert (answer.status_code, "two workers" in answer.text) == (503, True)
    assert (heard.lost, heard.refused) == (0, [])
    assert metric(server, "mlops_workers_lost_total") == 2
    logged(server)


def test_an_answer_that_was_logged_and_not_given_is_given_from_the_log(server, flight, tmp_path):
    spawn_with(server, tmp_path, KILLS_ITSELF)
    (answer, other) = server.endpoint.predict(MODEL, [flight(flight_id="killed once"), flight(2)])
    assert (tmp_path / "sitecustomize.py.killed").exists()
    assert logged(server) == {told["request_id"]: told["score"] for told in (answer, other)}
    assert metric(server, "mlops_repeated_requests_total") == 2


def test_of_one_id_sent_to_all_workers_at_once_there_is_one_record_and_one_answer(server, flight):
    server.start()
    server.wait_for_workers()
    with storm(server, flight(carrier="CARRIER"), 16, "shared") as heard:
        time.sleep(1.5)
    assert (heard.lost, heard.refused) == (0, [])
    kept = logged(server)
    assert len(heard.acknowledged) > 4 * len(kept)
    assert all(kept[request_id] == score for request_id, score in heard.acknowledged)
    assert len(set(kept.values())) > 1, "the callers did not ask alike"


def test_a_swap_is_told_when_every_worker_has_made_it(server, make_bundle, put_bundle, flight):
    digests = [put_bundle(server.config.bundles, make_bundle(seed, rounds=60)) for seed in (1, 2, 3)]
    server.start()
    server.wait_for_workers()
    with storm(server, flight(), 16) as heard, concurrent.futures.ThreadPoolExecutor(8) as callers:
        for swap in range(1, 16):
            server.desire(champion=(swap % 3 + 1, digests[swap % 3]))
            server.endpoint.wait_for(MODEL, Arm.CHAMPION, digests[swap % 3], timeout=5)
            answers = callers.map(lambda n: HttpEndpoint(server.endpoint.url).predict(MODEL, [flight(n)]), range(8))
            assert {answer[0]["digest"] for answer in answers} == {digests[swap % 3]}
    assert (heard.lost, heard.refused) == (0, [])
    assert heard.digests >= set(digests)


def test_what_the_workers_count_is_summed_and_never_falls(server, flight):
    server.start()
    server.wait_for_workers()
    with concurrent.futures.ThreadPoolExecutor(8) as callers:
        for _ in callers.map(lambda n: HttpEndpoint(server.endpoint.url).predict(MODEL, [flight(n)]), range(40)):
            pass
    assert metric(server, "mlops_predictions_total") == 40
    assert metric(server, 'mlops_requests_total{path="/predict",status="200"}') == 40
    assert metric(server, 'mlops_request_seconds_count{path="/predict"}') == 40
    assert metric(server, "mlops_workers ") == 2
    pids = server.pids()
    os.kill(pids[0], signal.SIGKILL)
    server.wait_for_workers(but=pids[0])
    server.endpoint.predict(MODEL, [flight()])
    assert metric(server, "mlops_predictions_total") == 41
    assert metric(server, "mlops_in_flight_requests ") == 0


def test_only_the_owner_reaches_the_workers_and_all_end_together(server, flight):
    server.start()
    pids = server.wait_for_workers()
    assert stat.S_IMODE((server.config.home / SOCKET_FILE).stat().st_mode) == 0o600
    with storm(server, flight(), 8) as heard:
        time.sleep(0.3)
        front = server.worker_pid()
        server.process.terminate()
        assert server.process.wait(20) == 0
    assert heard.refused == []
    kept = logged(server)
    assert all(kept[request_id] == score for request_id, score in heard.acknowledged)
    for pid in (front, *pids.values()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
