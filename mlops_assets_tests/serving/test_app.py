"""What every request meets: statuses, headers, limits; a bad request is never the server's fault."""

import json
import threading

import pytest

from mlops_assets.serving.batching import Batcher
from mlops_assets_tests.serving.web import Web, request


def test_a_prediction_comes_back_as_json(web, served, flight):
    response = web("POST", "/predict", request(flight(1, request_id="r1"), flight(2)))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    told = response.json()
    assert told["model"] == "arrival_delay"
    assert [p["entity_id"] for p in told["predictions"]] == ["2013-04-01_UA1_EWR_IAH", "2013-04-01_UA2_EWR_IAH"]
    assert told["predictions"][0]["digest"] == served["champion"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"\xff\xfe", 400, "body"),
        ({"model": "arrival_delay", "rows": []}, 422, "rows"),
        ({"model": "arrival_delay", "rows": [{}]}, 422, "rows[0].flight_id"),
        ({"model": "weather", "rows": [{}]}, 404, "model"),
        ({"model": "arrival_delay", "rows": [{}] * 51}, 422, "rows[0].flight_id"),
        (b'{"model": "arrival_delay", "rows": [{"distance": NaN}]}', 422, "rows[0].distance"),
        (b" " * 20_001, 413, "body"),
    ],
)
def test_bad_input_is_answered_by_name_and_never_as_the_servers_fault(web, served, body, status, field):
    response = web("POST", "/predict", body)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["field"] == field
    assert error["message"]
    assert "Traceback" not in response.text


def test_too_many_rows_are_refused(web, served, flight):
    response = web("POST", "/predict", request(*(flight(n) for n in range(51))))
    assert (response.status_code, response.json()["error"]["field"]) == (422, "rows")


def test_a_body_without_a_length_is_cut_off_at_the_limit(web, served):
    sent = []

    async def endless():
        for _ in range(100):
            sent.append(1)
            yield b"x" * 1000

    response = web("POST", "/predict", content=endless())
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/predict", "POST"),
        ("POST", "/metadata", "GET"),
        ("GET", "/admin/nudge", "POST"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(web, method, path, allowed):
    response = web(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_an_unknown_path_is_404_as_json(web):
    response = web("GET", "/../../etc/passwd")
    assert (response.status_code, response.json()["error"]["field"]) == (404, "path")


def test_before_anything_is_desired_the_server_lives_but_is_not_ready(web, flight):
    assert web("GET", "/live").status_code == 200
    assert web("GET", "/ready").status_code == 503
    refused = web("POST", "/predict", request(flight()))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


def test_ready_metadata_and_metrics_agree(web, served, flight):
    web("POST", "/predict", request(flight()))
    assert web("GET", "/ready").json() == {"ready": True, "problems": []}
    (model,) = web("GET", "/metadata").json()["models"]
    assert model["arms"][0]["digest"] == served["champion"]
    metrics = web("GET", "/metrics").text
    assert 'mlops_predictions_total{model="arrival_delay",arm="champion",version="1"} 1' in metrics
    assert f'digest="{served["champion"]}"}} 10000' in metrics
    assert 'mlops_requests_total{path="/predict",status="200"} 1' in metrics
    assert "mlops_in_flight_requests 0" in metrics
    assert 'mlops_request_seconds_count{path="/predict"} 1' in metrics
    answered = 'model="arrival_delay",arm="champion",version="1"'
    assert f"mlops_answer_seconds_count{{{answered}}} 1" in metrics
    assert f"mlops_score_count{{{answered}}} 1" in metrics
    assert f'mlops_score_bucket{{{answered},le="1.0"}} 1' in metrics


def test_a_nudge_reaches_the_server(web):
    assert web("POST", "/admin/nudge").status_code == 202
    assert web.nudges == 1


def test_requests_that_come_together_are_answered_together(web, rig, served, flight):
    requests = [("POST", "/predict", {"content": json.dumps(request(flight(n)))}) for n in range(40)]
    responses = web.together(*requests)
    assert [r.json()["predictions"][0]["entity_id"] for r in responses] == [flight(n)["flight_id"] for n in range(40)]
    assert rig.plane.metrics.value("mlops_batches_total") < 40


def test_a_failure_inside_is_500_without_its_insides(rig, served, flight):
    def broken(requests):
        raise RuntimeError("secret of the house")

    web = Web(rig, Batcher(broken))
    response = web("POST", "/predict", request(flight()))
    web.batcher.stop()
    assert response.status_code == 500
    assert "secret" not in response.text


def test_more_than_the_queue_holds_is_429(rig, served, flight):
    web = Web(rig, Batcher(rig.plane.predict, max_queued_rows=1))
    body = json.dumps(request(flight(1), flight(2)))
    statuses = [r.status_code for r in web.together(*[("POST", "/predict", {"content": body})] * 20)]
    web.batcher.stop()
    assert set(statuses) == {200, 429}


def test_a_request_whose_caller_stopped_waiting_is_dropped_and_not_logged(rig, served, flight):
    held = threading.Event()

    def slow(requests):
        held.wait(5)
        return rig.plane.predict(requests)

    web = Web(rig, Batcher(slow))
    threading.Timer(0.2, held.set).start()
    bodies = [{"content": json.dumps(request(flight(n)))} for n in range(3)]
    for body, patience in zip(bodies, ("50", "60000", None), strict=True):
        body["headers"] = {"x-request-timeout-ms": patience} if patience else {}
    responses = web.together(*(("POST", "/predict", body) for body in bodies))
    web.batcher.stop()
    assert [response.status_code for response in responses] == [504, 200, 200]
    assert responses[0].json()["error"]["field"] == "x-request-timeout-ms"
    assert len(rig.log.read()) == 2
    assert rig.plane.metrics.value("mlops_late_requests_total") == 1


@pytest.mark.parametrize("told", ["0", "-1", "soon", "1.5", "600001", "1" * 5000])
def test_a_patience_that_cannot_be_read_is_refused(web, served, flight, told):
    response = web("POST", "/predict", request(flight()), headers={"x-request-timeout-ms": told})
    assert (response.status_code, response.json()["error"]["field"]) == (422, "x-request-timeout-ms")
