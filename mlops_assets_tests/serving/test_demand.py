"""Requests for a model that is not in memory: they wait for it, together, and nobody else does."""

import asyncio
import threading
import time

import pytest

from mlops_assets.serving.demand import Demand
from mlops_assets.serving.refusal import Refusal
from mlops_assets_tests.serving.many import Crowd, names
from mlops_assets_tests.serving.web import Web

A, B, C, D, E = names(5)


@pytest.fixture
def crowd(rig, make_bundle):
    made = Crowd(rig, make_bundle, count=5, room=3.5)
    made.work()
    return made


class Loader:
    """Does the follower's work in a thread, when it is let."""

    def __init__(self, crowd: Crowd, patience_s: float = 10.0) -> None:
        self.crowd, self.go, self.wanted = crowd, threading.Event(), []
        self.demand = Demand(self.want, patience_s)
        crowd.residents.settled = self.demand.settled
        self.web = Web(crowd.rig, demand=self.demand)

    def want(self, model: str) -> None:
        self.wanted.append(model)
        self.crowd.residents.want(model)
        threading.Thread(target=self.run, daemon=True).start()

    lock = threading.Lock()

    def run(self) -> None:
        assert self.go.wait(10)
        with self.lock:
            self.crowd.work()


@pytest.fixture
def loader(crowd):
    made = Loader(crowd)
    yield made
    made.web.batcher.stop()


def predict(model: str, row: dict, **headers: str) -> tuple:
    return ("POST", "/predict", {"json": {"model": model, "rows": [row]}, "headers": headers})


def test_requests_for_one_model_share_a_load_and_others_are_answered_meanwhile(loader, crowd, flight):
    late = [predict(D, flight(number)) for number in range(6)]
    went = {}

    def opened() -> None:
        deadline = time.monotonic() + 5
        while len(loader.wanted) < 6 or crowd.plane.metrics.value("mlops_predictions_total", model=A) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        went["loaded"] = crowd.loaded
        loader.go.set()

    threading.Thread(target=opened, daemon=True).start()
    answers = loader.web.together(*late, predict(A, flight(9)))
    assert [answer.status_code for answer in answers] == [200] * 7
    assert D not in went["loaded"], "the other model was answered before"
    assert {answer.json()["predictions"][0]["version"] for answer in answers} == {1}
    assert crowd.plane.metrics.value("mlops_model_loads_total") == 4, "three before anybody asked, and one for six"
    assert loader.demand.gauges() == {("mlops_requests_waiting_for_models", ()): 0.0}


@pytest.mark.parametrize(
    "asked",
    [
        ("GET", f"/v2/models/{D}", {}),
        ("POST", f"/invocations?model={D}", {"json": {"dataframe_records": []}}),
    ],
)
def test_every_protocol_waits(loader, crowd, asked):
    loader.go.set()
    loader.web.together(asked)
    assert D in crowd.loaded


def test_a_model_that_does_not_come_in_time_is_refused_and_may_be_asked_again(crowd, flight):
    loader = Loader(crowd, patience_s=0.05)
    try:
        (answer,) = loader.web.together(predict(D, flight()))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["error"]["field"] == "model"
        assert "loading takes too long" in answer.json()["error"]["message"]
        loader.go.set()
        deadline = time.monotonic() + 5
        while D not in crowd.loaded:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert loader.web.together(predict(D, flight()))[0].status_code == 200
    finally:
        loader.web.batcher.stop()


def test_a_caller_that_waits_less_is_told_so(loader, flight):
    (answer,) = loader.web.together(predict(D, flight(), **{"x-request-timeout-ms": "30"}))
    assert (answer.status_code, answer.json()["error"]["field"]) == (504, "x-request-timeout-ms")
    loader.go.set()


def test_whether_a_model_is_ready_is_told_without_loading_it(loader, crowd):
    ready, metadata = loader.web.together(("GET", f"/v2/models/{D}/ready", {}), ("GET", "/metadata", {}))
    assert ready.status_code == 200
    told = {model["model"]: model for model in metadata.json()["models"]}
    assert (told[D]["loaded"], told[A]["loaded"]) == (False, True)
    assert (crowd.loaded, loader.wanted) == ([A, B, C], [])
    assert "/v2/models/{model}" in loader.web("GET", "/openapi.json").json()["paths"]


def test_without_anybody_who_loads_it_is_refused(crowd, flight):
    web = Web(crowd.rig)
    assert web("POST", "/predict", {"model": D, "rows": [flight()]}).status_code == 503
    web.batcher.stop()


def test_more_than_can_wait_are_refused():
    async def ask() -> None:
        demand = Demand(lambda model: None, most=1)
        demand.wait("a", 5, Refusal(503, None, "late"), lambda refusal: None)
        with pytest.raises(Refusal, match="too many requests wait"):
            demand.wait("b", 5, Refusal(503, None, "late"), lambda refusal: None)

    asyncio.run(ask())
