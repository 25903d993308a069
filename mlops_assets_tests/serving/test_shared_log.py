"""Servers that share one log in Postgres: real processes."""

import threading
import time

import httpx
import msgspec
import pytest

from mlops_assets.adapters.endpoint import EndpointDown, EndpointRefused, HttpEndpoint
from mlops_assets.adapters.postgres_traffic_log import PostgresTrafficLog
from mlops_assets.adapters.settings import without_password
from mlops_assets_tests.postgres_server import running
from mlops_assets_tests.serving.processes import MODEL, Server

pytestmark = pytest.mark.integration


class Load:
    """Threads that ask as fast as they are answered and remember what was acknowledged."""

    def __init__(self, url: str, flight, threads: int) -> None:
        self.url = url
        self.flight = flight
        self.acknowledged: list[dict] = []
        self.failures: list[str] = []
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        endpoint, count = HttpEndpoint(self.url), 0
        while not self._stop.is_set():
            count += 1
            began = time.perf_counter()
            try:
                self.acknowledged += endpoint.predict(MODEL, [self.flight(count, request_id=f"{number}-{count}")])
            except (EndpointDown, EndpointRefused) as error:
                self.failures.append(str(error))
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """``shared(address)``: a server whose log that is; the password stands in its environment alone."""
    made = []

    def make(address: str) -> Server:
        monkeypatch.setenv("MLOPS_TRAFFIC_LOG", address)
        server = Server(tmp_path / str(len(made)))
        server.config.home.mkdir()
        server.config = msgspec.structs.replace(server.config, traffic_log=without_password(address))
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()


def test_two_servers_answer_a_request_id_alike_and_keep_it_once(
    shared, postgres_address, make_bundle, put_bundle, flight
):
    one, two = shared(postgres_address), shared(postgres_address)
    for server, seed in ((one, 1), (two, 2)):
        server.desire(champion=(seed, put_bundle(server.config.bundles, make_bundle(seed))))
        server.start_worker()
    first = one.endpoint.predict(MODEL, [flight(request_id="a")])
    assert two.endpoint.predict(MODEL, [flight(request_id="a")]) == first
    with Load(one.endpoint.url, flight, threads=4) as load, Load(two.endpoint.url, flight, threads=4) as same:
        while len(load.acknowledged) < 150 or len(same.acknowledged) < 150:
            assert not load.failures + same.failures
    answers = {answer["request_id"]: answer for answer in load.acknowledged}
    both = [answer for answer in same.acknowledged if answer["request_id"] in answers]
    assert len(both) > 100
    assert all(answers[answer["request_id"]] == answer for answer in both)
    kept = {record.request_id: record for record in PostgresTrafficLog(postgres_address).read()}
    assert {answer["version"] for answer in both} == {1, 2}
    assert all(kept[key].score == answer["score"] for key, answer in answers.items())
    assert not one.config.traffic.exists()


def test_a_server_answers_503_while_the_log_is_gone_and_then_again_and_writes_no_password(
    shared, make_bundle, put_bundle, flight
):
    with running() as postgres:
        postgres.stop()
        server = shared(postgres.address)
        server.desire(champion=(1, put_bundle(server.config.bundles, make_bundle(1))))
        server.start()
        with pytest.raises(EndpointRefused, match="503: the answer could not be logged"):
            server.endpoint.predict(MODEL, [flight()])
        told = httpx.get(f"{server.endpoint.url}/ready", trust_env=False).json()["problems"]
        assert any("cannot open the traffic log" in problem for problem in told)
        postgres.start()
        assert server.endpoint.predict(MODEL, [flight()])[0]["arm"] == "champion"
        assert "traffic log" not in httpx.get(f"{server.endpoint.url}/ready", trust_env=False).text
        written = [path for path in server.config.home.rglob("*") if path.is_file()]
        assert (server.config.home / "server.json") in written
        assert not [path for path in written if b"not-a-secret" in path.read_bytes()]
