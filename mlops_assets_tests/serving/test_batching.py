"""The queue: who is let in, and when."""

import asyncio
import threading
import time

import pytest

from mlops_assets.serving import batching
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.refusal import Refusal
from mlops_assets_tests.serving.web import Web, request


class Row:
    rows = (None,)


class Rig:
    """A batcher whose rows take 10 ms each, by its own account, and are answered when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.batcher = Batcher(self.predict, max_batch_rows=1, target_s=0.025, grace_s=0.1)
        self.batcher._row_s = 0.01

    def predict(self, requests):
        self.go.acquire(timeout=5)
        self.batcher._row_s = 0.01
        return [[] for _ in requests]

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.batcher.admit()
            self.batcher.submit(Row(), lambda outcome: None)


def play(scenario) -> None:
    async def together() -> None:
        rig = Rig()
        try:
            await scenario(rig)
        finally:
            rig.go.release(1000)
            await asyncio.to_thread(rig.batcher.stop)

    asyncio.run(together())


def test_a_burst_is_let_in_and_a_queue_that_stands_is_not():
    async def scenario(rig):
        rig.ask(50)
        await asyncio.sleep(0.12)
        with pytest.raises(Refusal, match="try again") as refused:
            rig.ask(1)
        assert refused.value.status == 429

    play(scenario)


def test_a_short_queue_may_stand_for_ever():
    async def scenario(rig):
        rig.ask(2)
        await asyncio.sleep(0.15)
        rig.ask(1)

    play(scenario)


def test_a_queue_that_has_gone_lets_in_again_and_is_refused_at_once_when_it_is_back():
    async def scenario(rig):
        rig.ask(20)
        await asyncio.sleep(0.12)
        with pytest.raises(Refusal):
            rig.ask(1)
        rig.go.release(20)
        while rig.batcher.queued_rows:
            await asyncio.sleep(0.005)
        rig.ask(3)
        with pytest.raises(Refusal):
            rig.ask(1)

    play(scenario)


def test_after_a_while_a_burst_is_only_a_burst_again(monkeypatch):
    monkeypatch.setattr(batching, "RELAPSE_S", 0.05)

    async def scenario(rig):
        rig.ask(20)
        await asyncio.sleep(0.12)
        with pytest.raises(Refusal):
            rig.ask(1)
        rig.go.release(20)
        await asyncio.sleep(0.2)
        rig.ask(20)

    play(scenario)


def test_who_asks_one_after_the_other_is_never_refused(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    web = Web(rig, Batcher(rig.plane.predict, target_s=0.0, grace_s=0.0))
    for _ in range(20):
        assert web("POST", "/predict", request(*(flight(n) for n in range(40)))).status_code == 200
    web.batcher.stop()


def test_what_is_refused_is_not_read(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    held = threading.Event()

    def slow(requests):
        held.wait(5)
        return rig.plane.predict(requests)

    batcher = Batcher(slow, target_s=0.001, grace_s=-1.0)
    batcher._row_s = 1.0
    web = Web(rig, batcher)
    threading.Timer(0.5, held.set).start()
    began = time.monotonic()
    answers = web.together(
        ("POST", "/predict", {"json": request(flight(1))}), *[("POST", "/predict", {"content": b"no JSON"})] * 3
    )
    web.batcher.stop()
    assert time.monotonic() - began < 5
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429, 429]
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 429} == {"1"}
