"""A front and its workers without processes: who gets what, what is told when workers differ, and what is counted."""

import asyncio
import os
import time
from collections import Counter

import msgspec
import pytest
import uvloop

from mlops_assets.contracts import ArmStatus, ServerStatus
from mlops_assets.serving import behind, pool
from mlops_assets.serving.affinity import first_with_room, model_guessed, order
from mlops_assets.serving.app import App
from mlops_assets.serving.behind import Reporter
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.frames import LONGEST_ADDRESS, Beat, Framed, Hello, Kind, Report, connect_in, listen_in
from mlops_assets.serving.front import FrontEndpoints
from mlops_assets.serving.messages import Asked
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.pool import Link, Pool
from mlops_assets.serving.union import Counts, Union, added

BODY = {"model": "arrival_delay", "rows": []}


# Affinity.


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        (Asked("POST", "/predict", body=b'{"model": "weather", "rows": []}'), b"weather"),
        (Asked("POST", "/predict", body=b'{"rows": [' + b"1, " * 1000 + b'], "model":"late"}'), b"late"),
        (Asked("POST", "/v2/models/x/infer", model="x"), b"x"),
        (Asked("POST", "/invocations", query=b"model=y"), b"y"),
        (Asked("POST", "/predict", body=b"nonsense"), b""),
    ],
)
def test_the_model_is_seen_from_outside(asked, model):
    assert model_guessed(asked) == model


def test_a_model_stays_with_its_worker_and_models_spread():
    idle = {place: [] for place in range(4)}
    homes = Counter(first_with_room(b"model %d" % n, idle) for n in range(400))
    assert min(homes.values()) > 60
    assert first_with_room(b"a", idle) == order(b"a", (0, 1, 2, 3))[0]


def test_a_worker_that_goes_moves_only_its_own_models():
    models = [b"model %d" % n for n in range(200)]
    for model in models:
        before, after = order(model, (0, 1, 2)), order(model, (0, 1))
        assert [place for place in before if place != 2] == list(after)


def test_one_model_alone_uses_every_worker_and_none_has_more_than_its_share():
    loads: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for n in range(60):
        loads[first_with_room(b"one", loads)].append(n)
    assert max(map(len, loads.values())) <= 1.25 * 20 + 1
    assert min(map(len, loads.values())) > 0


# Workers that differ.


def report(version: int, since: float, *problems: str, ready: bool = True) -> Report:
    arm = ArmStatus(arm="champion", version=version, digest=f"{version}" * 64, basis_points=10_000, loaded_at="2026")
    status = ServerStatus(model="m", ready=ready, arms=(arm,), problems=problems)
    return Report((status,), (), {"m": since}, "", "2026")


def test_workers_that_agree_are_one_server():
    union = Union({0: (10, report(1, 5.0)), 1: (11, report(1, 6.0))}, 2)
    assert union.ready() == (True, [])
    assert union.statuses[0].arm("champion").version == 1


@pytest.mark.parametrize("newer", [0, 1])
def test_while_workers_differ_the_older_state_is_told_and_who_differs(newer):
    told = {place: (10 + place, report(2 if place == newer else 1, 9.0 if place == newer else 5.0)) for place in (0, 1)}
    union = Union(told, 2)
    assert union.statuses[0].arm("champion").version == 1
    ready, problems = union.ready()
    assert not ready
    assert f"worker {newer} serves champion version 2 (222222222222, 10000)" in problems[0]


def test_a_worker_that_is_not_there_or_knows_nothing_yet_is_told_and_stops_nobody():
    empty = Report((), (), {}, "", "2026")
    assert Union({0: (10, report(1, 5.0))}, 2).ready() == (True, ["worker 1 is not there: it is being started"])
    assert Union({0: (10, report(1, 5.0)), 1: (11, empty)}, 2).ready() == (
        True,
        ["worker 1 does not know yet what to serve"],
    )
    assert Union({0: (10, None), 1: (11, report(1, 5.0))}, 2).ready() == (True, ["worker 0 does not answer"])
    assert not Union({}, 2).ready()[0]


def test_problems_of_any_worker_are_problems_of_the_server():
    union = Union({0: (10, report(1, 5.0, "a")), 1: (11, report(1, 6.0, "b", "a"))}, 2)
    assert union.statuses[0].problems == ("a", "b")


# Metrics.


def text(scored: float, waiting: float, age: float) -> str:
    metrics = Metrics()
    metrics.count("mlops_scores_total", scored, model="m")
    metrics.set("mlops_feature_age_seconds", {(("model", "m"),): age})
    metrics.observe_each("mlops_score", (("model", "m"),), [0.2] * int(scored))
    return metrics.render({("mlops_queued_rows", ()): waiting})


def test_counts_are_added_and_of_ages_the_largest_is_told():
    lines = added([text(3, 2, 10.5), text(1_234_567, 5, 7)]).splitlines()
    assert 'mlops_scores_total{model="m"} 1234570' in lines
    assert "mlops_queued_rows 7" in lines
    assert 'mlops_feature_age_seconds{model="m"} 10.5' in lines
    assert 'mlops_score_bucket{model="m",le="0.2"} 1234570' in lines
    assert len([line for line in lines if line.startswith("# TYPE")]) == 4


def test_what_a_dead_worker_counted_stays_in_the_sum():
    counts, one, other = Counts(), Report((), (), {}, text(5, 3, 1), ""), Report((), (), {}, text(2, 1, 1), "")
    wanted = ((7, 4), (7, 1), (9, 2), (9, 2))
    for told, (scored, waiting) in zip(
        (
            {0: (10, one), 1: (11, other)},
            {1: (11, other)},
            {0: (12, other), 1: (11, other)},
            {0: (12, None), 1: (11, other)},
        ),
        wanted,
        strict=True,
    ):
        lines = counts.together(told, "").splitlines()
        assert f'mlops_scores_total{{model="m"}} {scored}' in lines
        assert f"mlops_queued_rows {waiting}" in lines


# Request ids.


def test_a_request_that_comes_again_makes_the_same_ids(rig, served, flight):
    body = msgspec.json.encode({**BODY, "rows": [flight(1), flight(2, request_id="mine"), flight(3)]})
    first = rig.plane.check(body).under("seed", again=False, arrived=1.0)
    again = rig.plane.check(body).under("seed", again=True, arrived=1.0)
    assert [row.request_id for row in first.rows] == ["seed-0", "mine", "seed-2"]
    assert [row.given_id for row in first.rows] == [False, True, False], "nothing is looked up the first time"
    assert [row.given_id for row in again.rows] == [True] * 3
    (answer,), (later,) = rig.plane.predict([first]), rig.plane.predict([again])
    assert answer == later
    assert len(rig.log.read()) == 3


# Front and workers, joined by the real socket in one event loop.


class Joined:
    """A front application whose workers answer by a rig."""

    def __init__(self, rig, folder, limit_s: float = 5.0) -> None:
        self.rig, self.folder = rig, folder
        self.metrics = Metrics()
        self.pool = Pool(self.metrics, limit_s)
        self.app = App(FrontEndpoints(self.pool, self.metrics, 2, lambda: None), self.metrics)
        self.fronts: list[behind._Front] = []

    async def start(self) -> None:
        self.listening = listen_in(self.folder)
        self.server = await asyncio.get_running_loop().create_unix_server(lambda: Link(self.pool), sock=self.listening)

    async def work(self, place: int, batcher) -> asyncio.Task:
        app = App(Endpoints(self.rig.plane, batcher, lambda: None), Metrics())
        front = behind._Front(app, Reporter(self.rig.plane, batcher), lambda: None)
        self.fronts.append(front)
        await asyncio.get_running_loop().create_unix_connection(lambda: front, sock=connect_in(self.folder))
        beating = asyncio.ensure_future(behind._beat(front, front._reporter, place))
        while place not in self.pool.links or not front.there:
            await asyncio.sleep(0.005)
        return beating

    def ask(self, *rows: dict, path: str = "/predict", **headers: str) -> asyncio.Future:
        body = msgspec.json.encode({**BODY, "rows": rows})
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        asked = Asked("POST" if rows else "GET", path, b"", sent, body if rows else b"", "t", time.perf_counter())
        return asyncio.ensure_future(replied(self.app, asked))


async def replied(app, asked: Asked):
    if (refused := app.refusal(asked)) is not None:
        return refused
    future = asyncio.get_running_loop().create_future()
    app.answer(asked, future.set_result)
    return await future


def run(rig, tmp_path, scenario, **more):
    async def together():
        joined = Joined(rig, tmp_path, **more)
        await joined.start()
        return await asyncio.wait_for(scenario(joined), 20)

    return uvloop.run(together())


def test_a_worker_answers_for_its_front_and_the_front_counts(rig, served, web, flight, tmp_path):
    async def scenario(joined):
        await joined.work(0, web.batcher)
        replies = [await joined.ask(flight()), await joined.ask(flight(distance="far"))]
        replies += [
            await joined.ask(path=path) for path in ("/v2/models/arrival_delay", "/nowhere", "/metadata", "/metrics")
        ]
        return replies

    answered, refused, model, nowhere, metadata, metrics = run(rig, tmp_path, scenario)
    assert [reply.status for reply in (answered, refused, model, nowhere, metadata)] == [200, 422, 200, 404, 200]
    assert msgspec.json.decode(refused.body)["error"]["field"] == "rows[0].distance"
    assert msgspec.json.decode(metadata.body)["server"]["workers"][0]["pid"] == os.getpid()
    assert b'mlops_requests_total{path="/predict",status="200"} 1\n' in metrics.body
    assert b"mlops_predictions_total" in metrics.body


def test_a_request_waits_for_a_worker_and_not_for_ever(rig, served, web, flight, tmp_path):
    async def scenario(joined):
        waiting, patient = joined.ask(flight()), joined.ask(flight(2), **{"x-request-timeout-ms": "1"})
        await asyncio.sleep(0.05)
        joined.pool.turn()
        assert (await patient).status == 504
        await joined.work(0, web.batcher)
        assert (await waiting).status == 200
        joined.fronts[0].abort()
        await asyncio.sleep(0.05)
        late = joined.ask(flight(3))
        await asyncio.sleep(0.3)
        joined.pool.turn()
        return await late

    late = run(rig, tmp_path, scenario, limit_s=0.25)
    assert (late.status, dict(late.headers)[b"retry-after"]) == (503, b"1")


def test_nobody_is_refused_while_the_only_worker_is_still_loading(rig, make_bundle, web, flight, tmp_path, monkeypatch):
    async def scenario(joined):
        await joined.work(0, web.batcher)
        waiting = joined.ask(flight())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        rig.serve(champion=(1, make_bundle(1)))
        loaded = await waiting
        rig.plane.adopt({})
        monkeypatch.setattr(pool, "KNOWS_S", 0.0)
        await asyncio.sleep(0.25)
        return loaded.status, (await joined.ask(flight())).status

    assert run(rig, tmp_path, scenario) == (200, 503)


class Silent(Framed):
    """A worker that takes requests and answers none."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def received(self, kind, number, payload):
        self.asked += kind == Kind.ASK


def test_suspects_are_sent_one_at_a_time_and_a_second_death_is_the_last(rig, served, web, flight, tmp_path):
    async def silent(joined, place: int) -> Silent:
        worker = Silent()
        await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=connect_in(joined.folder))
        worker.send(Kind.HELLO, 0, Hello(place, os.getpid()))
        worker.send(Kind.BEAT, 0, Beat(knows=True, busy_s=0.0))
        await asyncio.sleep(0.02)
        return worker

    async def scenario(joined):
        first = await silent(joined, 0)
        waiting = [joined.ask(flight(n)) for n in range(4)]
        await asyncio.sleep(0.02)
        assert first.asked == 4
        second = await silent(joined, 1)
        first.abort()
        await asyncio.sleep(0.02)
        assert second.asked == 1, "the other suspects wait"
        second.abort()
        await asyncio.sleep(0.02)
        refused = [reply for reply in waiting if reply.done()]
        assert [reply.result().status for reply in refused] == [503]
        await joined.work(0, web.batcher)
        return [(await reply).status for reply in waiting]

    assert sorted(run(rig, tmp_path, scenario)) == [200, 200, 200, 503]


def test_a_worker_that_says_nothing_is_killed(rig, served, web, flight, tmp_path, monkeypatch):
    killed: list[int] = []
    monkeypatch.setattr(pool, "_kill", killed.append)

    async def scenario(joined):
        beating = await joined.work(0, web.batcher)
        await asyncio.sleep(0.02)
        beating.cancel()
        for _ in range(pool.HUNG_TURNS + 2):
            joined.pool._turned_at = time.perf_counter()
            joined.pool.turn()
        assert set(killed) == {os.getpid()}
        await asyncio.sleep(0.02)
        return joined.pool.links

    assert run(rig, tmp_path, scenario) == {}


def test_a_pause_of_the_whole_machine_is_nobodys_fault(rig, served, web, flight, tmp_path, monkeypatch):
    killed: list[int] = []
    monkeypatch.setattr(pool, "_kill", killed.append)

    async def scenario(joined):
        await joined.work(0, web.batcher)
        for _ in range(pool.HUNG_TURNS + 2):
            joined.pool._turned_at = time.perf_counter() - 5
            joined.pool.turn()

    run(rig, tmp_path, scenario)
    assert killed == []


def test_a_worker_that_leaves_answers_what_it_has_and_gets_nothing_more(rig, served, web, flight, tmp_path):
    async def scenario(joined):
        await joined.work(0, web.batcher)
        asked = [joined.ask(flight(n)) for n in range(5)]
        await asyncio.sleep(0)
        joined.fronts[0].send(Kind.LEAVING)
        replies = await asyncio.gather(*asked)
        await joined.fronts[0].over.wait()
        return replies

    assert [reply.status for reply in run(rig, tmp_path, scenario)] == [200] * 5
    assert len(rig.log.read()) == 5


def test_the_socket_is_its_owners_alone_also_where_its_path_is_too_long_for_one(tmp_path):
    deep = tmp_path / ("x" * LONGEST_ADDRESS)
    deep.mkdir()
    with listen_in(deep) as listening, connect_in(deep), listening.accept()[0]:
        assert (deep / "workers.sock").stat().st_mode & 0o777 == 0o600
