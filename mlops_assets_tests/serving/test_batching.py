"""The queue: who is let in, and when."""

import asyncio
import contextlib
import threading
import time

import pytest

from mlops_assets.serving import admission
from mlops_assets.serving.admission import Admission
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.refusal import Refusal
from mlops_assets_tests.serving.web import Web, request


class Row:
    rows = (None,)


class Rig:
    """A batcher whose rows are answered when the test says so."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.batcher = Batcher(self.predict, max_batch_rows=1, admission=Admission(queued_s=0.025, grace_s=0.1, few=0))

    def predict(self, requests):
        self.go.acquire(timeout=5)
        return [[] for _ in requests]

    async def ask(self, seconds: float, every: float = 0.01) -> int:
        """Ask for so long; how many were let in."""
        let_in, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            self.batcher.admit()
            self.batcher.submit(Row(), lambda outcome: None)
            let_in += 1
            await asyncio.sleep(every)
        return let_in


def play(scenario) -> None:
    async def together() -> None:
        rig = Rig()
        try:
            await scenario(rig)
        finally:
            rig.go.release(100_000)
            await asyncio.to_thread(rig.batcher.stop)

    asyncio.run(together())


async def standing(rig) -> None:
    """Until a queue that stands is refused."""
    with pytest.raises(Refusal, match="try again") as refused:
        await rig.ask(2)
    assert refused.value.status == 429


def test_a_burst_is_let_in_and_a_queue_that_stands_is_not():
    async def scenario(rig):
        assert await rig.ask(0.05, every=0.0) > 50
        await standing(rig)

    play(scenario)


def test_a_short_queue_may_stand_for_ever():
    async def scenario(rig):
        rig.go.release(1000)
        assert await rig.ask(0.4) > 10

    play(scenario)


def test_a_queue_that_has_gone_lets_in_again_and_is_refused_at_once_when_it_is_back():
    async def scenario(rig):
        await standing(rig)
        rig.go.release(rig.batcher.in_flight + 1)
        while rig.batcher.queued_rows:
            await asyncio.sleep(0.005)
        assert await rig.ask(0.005) == 1
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await standing(rig)
        assert time.monotonic() - began < 0.1

    play(scenario)


def test_after_a_while_a_burst_is_only_a_burst_again(monkeypatch):
    monkeypatch.setattr(admission, "RELAPSE_S", 0.05)

    async def scenario(rig):
        await standing(rig)
        rig.go.release(rig.batcher.in_flight)
        while rig.batcher.queued_rows:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.06)
        assert await rig.ask(0.08) > 3

    play(scenario)


def test_few_large_requests_are_no_queue():
    judge = Admission(queued_s=0.01, grace_s=0.0, few=4)

    async def ask() -> None:
        for _ in range(3):
            judge.require(4, queued_s=1.0)
        judge.require(5, queued_s=1.0)
        time.sleep(0.001)
        with pytest.raises(Refusal):
            judge.require(5, queued_s=1.0)

    asyncio.run(ask())


def test_of_rounds_that_are_too_long_the_first_part_is_let_in():
    judge, let_in = Admission(queued_s=10.0, unread_s=0.02, grace_s=0.05, few=0), []

    async def rounds(count: int, callers: int) -> None:
        let_in.clear()
        for _ in range(count):
            let_in.append(0)
            for _ in range(callers):
                with contextlib.suppress(Refusal):
                    judge.require(1, queued_s=0.0)
                    let_in[-1] += 1
                time.sleep(0.005)
            await asyncio.sleep(0)

    asyncio.run(rounds(5, callers=12))
    assert let_in[0] == 12, "a burst waits"
    assert 3 <= let_in[-1] <= 6, "what stands is cut off"
    asyncio.run(rounds(5, callers=2))
    assert let_in == [2] * 5


def test_who_asks_one_after_the_other_is_never_refused(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    web = Web(rig, Batcher(rig.plane.predict, admission=Admission(0.0, 0.0, 0.0)))
    for _ in range(20):
        assert web("POST", "/predict", request(*(flight(n) for n in range(40)))).status_code == 200
    web.batcher.stop()


def test_what_is_refused_is_not_read(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    web = Web(rig, Batcher(rig.plane.predict, admission=Admission(-1.0, -1.0, -1.0, few=-1)))
    web.batcher.queued_rows = 1
    for body in (b"no JSON", request(flight(1))):
        refused = web("POST", "/predict", body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert web("GET", "/live").status_code == 200
    web.batcher.stop()
