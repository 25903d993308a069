"""The shadow scores what was answered, later, and never at the cost of an answer."""

import threading
import time

import msgspec
import pytest

from mlops_assets.adapters.traffic_log import MemoryTrafficLog, TrafficLogError
from mlops_assets.serving import shadow as module
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.shadow import Shadow
from mlops_assets_tests.serving.web import Web, request

MODEL = "arrival_delay"


def asked(rig, *rows):
    return rig.plane.check(msgspec.json.encode({"model": MODEL, "rows": rows}))


def waiting(rig) -> int:
    return rig.plane.status(MODEL).shadow_rows_waiting


def finish(rig) -> int:
    return rig.plane.finish()


def arms(rig):
    return [[score.arm for score in record.scores] for record in rig.log.read()]


@pytest.fixture
def shadowed(rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)), shadow=(2, make_bundle(2)))
    return rig


def test_an_answer_is_on_record_before_its_shadow_has_scored(shadowed, flight):
    shadowed.plane.predict([asked(shadowed, *(flight(n) for n in range(20)))])
    assert arms(shadowed) == [["champion"]] * 20
    assert waiting(shadowed) == 20
    assert finish(shadowed) == -(-20 // module.PART)
    assert arms(shadowed) == [["champion", "shadow"]] * 20
    assert waiting(shadowed) == 0
    assert shadowed.plane.metrics.value("mlops_scores_total", arm="shadow", version="2") == 20


def test_a_shadow_says_what_it_would_have_said_on_the_path(shadowed, make_bundle, flight):
    row = flight(1, request_id="one")
    shadowed.ask(row)
    (late,) = [score.score for score in shadowed.log.read()[0].scores if score.arm == "shadow"]
    shadowed.serve(champion=(2, make_bundle(2)))
    assert shadowed.ask(row | {"request_id": "two"})[0]["score"] == late


def test_rows_that_were_answered_before_are_not_scored_again(shadowed, flight):
    for _ in range(2):
        shadowed.plane.predict([asked(shadowed, flight(1, request_id="r"))])
    assert waiting(shadowed) == 1


def test_a_shadow_that_is_gone_meanwhile_still_scores_what_was_answered_beside_it(shadowed, make_bundle, flight):
    shadowed.plane.predict([asked(shadowed, flight(1))])
    shadowed.serve(champion=(3, make_bundle(3)))
    finish(shadowed)
    (record,) = shadowed.log.read()
    assert [(score.arm, score.version) for score in record.scores] == [("champion", 1), ("shadow", 2)]


def test_a_shadow_that_cannot_score_is_told_and_answers_go_on(rig, make_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)), shadow=(2, make_bundle(2, transformed=True)))
    rig.ask(flight(1, sched_dep_minute=1439))
    assert any("shadow cannot score" in problem for problem in rig.plane.status(MODEL).problems)
    assert rig.plane.metrics.value("mlops_arm_errors_total", arm="shadow") == 1
    assert (arms(rig), waiting(rig)) == ([["champion"]], 0)
    rig.ask(flight(2))
    assert not any("shadow" in problem for problem in rig.plane.status(MODEL).problems)
    assert arms(rig)[1] == ["champion", "shadow"]


def test_what_does_not_fit_is_dropped_and_counted(shadowed, flight):
    shadowed.plane._shadow = Shadow(shadowed.log, shadowed.plane.metrics, max_rows=5)
    for first in (0, 4, 8):
        shadowed.plane.predict([asked(shadowed, *(flight(first + n) for n in range(4)))])
    assert waiting(shadowed) == 4
    assert shadowed.plane.metrics.value("mlops_shadow_dropped_rows_total", model=MODEL) == 8
    finish(shadowed)
    assert arms(shadowed) == [["champion", "shadow"]] * 4 + [["champion"]] * 8


def test_scores_that_cannot_be_written_are_counted_and_no_longer_waited_for(rig, make_bundle, flight):
    class Full(MemoryTrafficLog):
        def add_scores(self, scores):
            raise TrafficLogError("full")

    rig.log = rig.plane._log = Full()
    rig.plane._shadow = Shadow(rig.log, rig.plane.metrics)
    rig.serve(champion=(1, make_bundle(1)), shadow=(2, make_bundle(2)))
    rig.ask(flight(1))
    assert waiting(rig) == 0
    assert rig.plane.metrics.value("mlops_shadow_dropped_rows_total", model=MODEL) == 1


def test_a_request_goes_before_the_shadows_work(shadowed, flight):
    """While a request waits, not one more part of the backlog is worked on."""
    order, gate = [], threading.Event()

    def predict(requests):
        order.append("request")
        gate.wait(5)
        return shadowed.plane.predict(requests)

    def work():
        order.append("work")
        return shadowed.plane.work()

    web = Web(shadowed, Batcher(predict, work=work))
    bodies = [("POST", "/predict", {"json": request(*(flight(10 * n + m) for m in range(9)))}) for n in range(4)]
    threading.Timer(0.3, gate.set).start()
    assert all(answer.status_code == 200 for answer in web.together(*bodies))
    deadline = time.monotonic() + 5
    while waiting(shadowed) and time.monotonic() < deadline:
        time.sleep(0.01)
    web.batcher.stop()
    first = order.index("request")
    last = len(order) - order[::-1].index("request")
    assert "work" not in order[first:last]
    assert arms(shadowed) == [["champion", "shadow"]] * 36


def test_the_end_of_the_server_leaves_no_score_behind(shadowed, flight):
    web = Web(shadowed)
    web.batcher.stop()
    web = Web(shadowed, Batcher(shadowed.plane.predict, work=shadowed.plane.work))
    web("POST", "/predict", request(*(flight(n) for n in range(50))))
    web.batcher.stop()
    assert arms(shadowed) == [["champion", "shadow"]] * 50


def test_work_that_fails_ends_nothing(shadowed, flight):
    def broken():
        raise RuntimeError("of the house")

    web = Web(shadowed, Batcher(shadowed.plane.predict, work=broken))
    assert [web("POST", "/predict", request(flight(n))).status_code for n in range(3)] == [200] * 3
    web.batcher.stop()


def test_the_metrics_tell_how_far_behind_it_is(shadowed, flight):
    shadowed.plane.predict([asked(shadowed, flight(1), flight(2))])
    assert f'mlops_shadow_rows_waiting{{model="{MODEL}"}} 2' in shadowed.plane.render_metrics({})
