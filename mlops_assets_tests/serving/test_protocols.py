"""The Open Inference Protocol and MLflow's, without a socket: forms, answers, errors; both give what /predict gives."""

import json
import struct

import numpy as np
import pytest

from mlops_assets.ml.bundles import Missing, decode_signature
from mlops_assets_tests.serving.conftest import AT, FEATURES, VIEWS
from mlops_assets_tests.serving.web import request

MODEL = "arrival_delay"
INFER = f"/v2/models/{MODEL}/infer"
# What the server fetches for a flight of the rig, and what the caller of /predict says of it.
VECTOR = {
    "carrier": "UA",
    "distance": 1400.0,
    "sched_dep_minute": 600,
    "origin_weather__wind_speed": 9.2,
    "origin_weather__temp": 51.5,
    "carrier_delays__late_rate": 0.25,
}
NAMES = list(VECTOR)


@pytest.fixture
def score(web, served, flight):
    """What /predict says of the flight whose features are VECTOR."""
    (prediction,) = web("POST", "/predict", request(flight())).json()["predictions"]
    return prediction["score"]


def tensors(rows: int = 1, **changes: list) -> dict:
    columns = {name: [value] * rows for name, value in VECTOR.items()} | changes
    return {"inputs": [tensor(name, values) for name, values in columns.items() if values is not None]}


def tensor(name: str, values: list) -> dict:
    kind = "BYTES" if any(isinstance(value, str) for value in values) else "FP64"
    return {"name": name, "shape": [len(values)], "datatype": kind, "data": values}


def split(*rows: dict) -> dict:
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def test_features_by_the_open_inference_protocol_give_the_score_of_predict(web, score):
    told = web("POST", INFER, tensors(2) | {"id": "42"}).json()
    assert told == {
        "model_name": MODEL,
        "model_version": "1",
        "id": "42",
        "outputs": [{"name": "score", "datatype": "FP64", "shape": [2], "data": [score, score]}],
    }


def test_an_id_of_the_protocol_is_no_key(web, served):
    first = web("POST", INFER, tensors() | {"id": "1"}).json()
    second = web("POST", INFER, tensors(carrier_delays__late_rate=[-2.0]) | {"id": "1"}).json()
    assert first["outputs"][0]["data"] != second["outputs"][0]["data"]


def test_decisions_by_the_open_inference_protocol_have_their_features_fetched(web, score, flight):
    columns = {name: [value] for name, value in flight(7).items()}
    body = {"inputs": [tensor(name, values) for name, values in columns.items()]}
    assert web("POST", INFER, body).json()["outputs"][0]["data"] == [score]


def test_columns_of_one_value_a_row_are_read_too(web, score):
    body = tensors()
    for part in body["inputs"]:
        part["shape"], part["data"] = [1, 1], [part["data"]]
    assert web("POST", INFER, body).json()["outputs"][0]["data"] == [score]


def test_binary_tensors_go_in_and_come_out(web, score):
    parts, tails = [], []
    for name, value in VECTOR.items():
        text = isinstance(value, str)
        tail = struct.pack("<I", len(value)) + value.encode() if text else struct.pack("<d", value)
        kind = "BYTES" if text else "FP64"
        parts.append({"name": name, "shape": [1], "datatype": kind, "parameters": {"binary_data_size": len(tail)}})
        tails.append(tail)
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in ("score", "digest", "version")]
    head = json.dumps({"inputs": parts, "outputs": wanted}).encode()
    length = {"inference-header-content-length": str(len(head))}
    response = web("POST", INFER, b"".join([head, *tails]), headers=length)
    assert response.headers["content-type"] == "application/octet-stream"
    end = int(response.headers["inference-header-content-length"])
    outputs = json.loads(response.content[:end])["outputs"]
    assert [output["parameters"]["binary_data_size"] for output in outputs] == [8, 68, 8]
    assert struct.unpack("<d", response.content[end : end + 8]) == (score,)
    assert struct.unpack("<q", response.content[-8:]) == (1,)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        (tensors() | {"surprise": 1}, "surprise"),
        (tensors(distance=None), "distance"),
        (tensors(surprise=[1.0]), "surprise"),
        (tensors(distance=["1400"]), "rows[0].distance"),
        (tensors(distance=[True]), "inputs[1].data[0]"),
        (tensors(distance=[7000.0]), "rows[0].distance"),
        (tensors(distance=[None]), "rows[0].distance"),
        (tensors(carrier=[None]), "rows[0].carrier"),
        (tensors(distance=[10**400]), "distance"),
        (tensors(distance=[1.0, 2.0]), "carrier"),
        (tensors(51), "rows"),
        (tensors(distance=[]), "distance"),
        (tensors() | {"outputs": [{"name": "margin"}]}, "outputs[0].name"),
        ({"inputs": [{"name": "x", "shape": [1, 6], "datatype": "FP64", "data": [1] * 6}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "x", "shape": [3], "datatype": "FP64", "data": [1]}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "BOOL", "data": [True]}]}, "inputs[0].datatype"),
        ({"inputs": [{"name": "x", "shape": [-1], "datatype": "FP64", "data": [1]}]}, "inputs[0].shape[0]"),
        ({"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [[1], 2]}]}, "inputs[0].data"),
        ({"inputs": [tensor("carrier", ["UA"])] * 2}, "inputs[1].name"),
        ({"inputs": [tensor("carrier", ["UA"])]}, "rows[0].flight_id"),
    ],
)
def test_a_bad_inference_request_is_refused_by_name(web, served, body, field):
    response = web("POST", INFER, body)
    assert response.status_code in (400, 422)
    assert response.json()["error"].startswith(f"{field}: ")


@pytest.mark.parametrize("size", [0, 7, 16, -1, "8", 2**70])
def test_a_binary_tensor_is_never_read_out_of_bounds(web, served, size):
    part = {"name": "distance", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [part]}).encode()
    response = web("POST", INFER, head + bytes(8), headers={"inference-header-content-length": str(len(head))})
    assert response.status_code == 422
    assert response.json()["error"].startswith("inputs[0].")


@pytest.mark.parametrize("length", ["-1", "9999", "x", ""])
def test_a_wrong_length_of_the_header_is_refused(web, served, length):
    response = web("POST", INFER, b"{}", headers={"inference-header-content-length": length})
    assert (response.status_code, "Inference-Header-Content-Length" in response.text) == (400, True)


def test_texts_that_end_within_a_value_are_refused(web, served):
    for tail in (b"\x05\x00\x00\x00UA", b"\x05\x00", struct.pack("<I", 2) + b"\xff\xfe"):
        parameters = {"binary_data_size": len(tail)}
        head = json.dumps(
            {"inputs": [{"name": "carrier", "shape": [1], "datatype": "BYTES", "parameters": parameters}]}
        )
        length = {"inference-header-content-length": str(len(head))}
        assert web("POST", INFER, head.encode() + tail, headers=length).status_code == 422


def test_a_missing_feature_is_null_and_nan_is_refused(web, served, rig):
    known = web("POST", INFER, tensors(origin_weather__temp=[None])).json()["outputs"][0]["data"]
    assert np.isfinite(known).all()
    (record,) = rig.log.read()
    assert np.isnan(np.frombuffer(record.features, "<f8")[4])
    parts = tensors()["inputs"]
    tail = struct.pack("<d", float("nan"))
    parts[4] = {"name": NAMES[4], "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": parts}).encode()
    response = web("POST", INFER, head + tail, headers={"inference-header-content-length": str(len(head))})
    assert (response.status_code, response.json()["error"].partition(":")[0]) == (422, f"rows[0].{NAMES[4]}")


def test_policies_hold_for_features_that_were_sent(web, rig, make_bundle):
    weather, delays = VIEWS
    rules = (Missing("temp", "default", 51.5), Missing("wind_speed", "fail"))
    views = (type(weather)(weather.name, weather.join_key, weather.ttl_seconds, weather.features, rules), delays)
    rig.serve(champion=(1, make_bundle(1, views=views)))
    whole, filled = (
        web("POST", INFER, tensors(origin_weather__temp=[value])).json()["outputs"][0]["data"] for value in (51.5, None)
    )
    assert filled == whole
    refused = web("POST", INFER, tensors(origin_weather__wind_speed=[None]))
    assert refused.json()["error"].startswith("rows[0].origin_weather__wind_speed: ")


def test_metadata_names_what_a_request_needs(web, served):
    assert web("GET", "/v2").json() == {"name": "mlops_assets", "version": "1.2", "extensions": ["binary_tensor_data"]}
    told = web("GET", f"/v2/models/{MODEL}").json()
    assert [column["name"] for column in told["inputs"]] == NAMES
    assert told["inputs"][0]["datatype"] == "BYTES"
    assert told["versions"] == ["1"]
    assert "flight_id" in [column["name"] for column in told["parameters"]["decision_inputs"]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        (f"/v2/models/{MODEL}/ready", 200),
        (f"/v2/models/{MODEL}/versions/1/ready", 200),
        (f"/v2/models/{MODEL}/versions/2/ready", 404),
        (f"/v2/models/{MODEL}/versions/1", 200),
        ("/v2/models/weather/ready", 404),
        ("/v2/models//ready", 404),
        ("/v2/models", 404),
        (f"/v2/models/{MODEL}/surprise", 404),
        ("/ping", 200),
        ("/health", 200),
        ("/version", 200),
    ],
)
def test_paths_of_the_protocols(web, served, path, status):
    response = web("GET", path)
    assert response.status_code == status
    if status == 404:
        assert response.json()["error"]


def test_a_version_in_the_path_does_not_choose_who_answers(web, served):
    response = web("POST", f"/v2/models/{MODEL}/versions/1/infer", tensors())
    assert (response.status_code, response.json()["error"].partition(":")[0]) == (404, "version")


def test_before_there_is_a_model_neither_protocol_says_ready(web):
    assert web("GET", "/ping").status_code == 404
    assert web("GET", "/v2/health/ready").status_code == 503
    assert web("POST", "/invocations", split(VECTOR)).status_code == 503
    assert web("POST", INFER, tensors()).status_code == 503


@pytest.mark.parametrize(
    "body",
    [
        split(VECTOR, VECTOR),
        {"dataframe_split": {**split(VECTOR, VECTOR)["dataframe_split"], "index": [0, 1]}},
        {"dataframe_records": [VECTOR, dict(reversed(VECTOR.items()))]},
        {"instances": [VECTOR, VECTOR]},
        {"instances": [list(VECTOR.values())] * 2},
        {"inputs": {name: [value] * 2 for name, value in VECTOR.items()}},
        {"inputs": [list(VECTOR.values())] * 2, "params": {}},
    ],
)
def test_every_form_of_mlflow_gives_the_score_of_predict(web, score, body):
    response = web("POST", "/invocations", body, headers={"content-type": "application/json"})
    assert response.json() == {"predictions": [score, score]}


def test_csv_gives_the_score_of_predict(web, score):
    line = ",".join(map(str, VECTOR.values()))
    body = "\n".join([",".join(NAMES), line, line, ""]).encode()
    response = web("POST", "/invocations", body, headers={"content-type": "text/csv; charset=utf-8"})
    assert response.json() == {"predictions": [score, score]}
    empty = body.replace(b"51.5", b"")
    told = web("POST", "/invocations", empty, headers={"content-type": "text/csv"}).json()["predictions"]
    assert told == web("POST", INFER, tensors(2, origin_weather__temp=[None] * 2)).json()["outputs"][0]["data"]


def test_decisions_go_to_invocations_too(web, score, flight):
    assert web("POST", "/invocations", {"dataframe_records": [flight(8)]}).json() == {"predictions": [score]}


def test_nan_is_missing_for_mlflow_and_infinity_is_nothing(web, served):
    spelled = json.dumps(split(VECTOR | {"origin_weather__temp": float("nan")})).encode()
    plain = web("POST", INFER, tensors(origin_weather__temp=[None])).json()["outputs"][0]["data"]
    assert web("POST", "/invocations", spelled).json()["predictions"] == plain
    for value in (float("inf"), -float("inf")):
        response = web("POST", "/invocations", json.dumps(split(VECTOR | {"origin_weather__temp": value})).encode())
        assert (response.status_code, response.json()["error"]["field"]) == (422, "rows[0].origin_weather__temp")
    refused = web("POST", "/invocations", json.dumps(split(VECTOR | {"distance": float("nan")})).encode())
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "rows[0].distance")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"[1]", 400, "body"),
        ({}, 400, "body"),
        (split(VECTOR) | {"inputs": []}, 400, "body"),
        (split(VECTOR) | {"surprise": 1}, 400, "body"),
        (split(VECTOR) | {"params": {"temperature": 1}}, 422, "params"),
        ({"dataframe_split": []}, 422, "dataframe_split"),
        ({"dataframe_split": {"columns": NAMES, "data": []}}, 422, "rows"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1]]}}, 422, "dataframe_split.data[0]"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, 422, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, 422, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": [], "data": [], "names": []}}, 422, "dataframe_split.names"),
        ({"dataframe_records": [VECTOR, {"carrier": "UA"}]}, 422, "dataframe_records[1].carrier_delays__late_rate"),
        ({"dataframe_records": {}}, 422, "dataframe_records"),
        ({"instances": [[1, 2]]}, 422, "instances[0]"),
        ({"inputs": {"carrier": ["UA"], "distance": [1, 2]}}, 422, "inputs.carrier"),
        ({"inputs": 7}, 422, "inputs"),
        (split(VECTOR | {"distance": "1400"}), 422, "rows[0].distance"),
        (split(VECTOR | {"distance": True}), 422, "rows[0].distance"),
        (split(VECTOR | {"carrier": 7}), 422, "rows[0].carrier"),
        (split(VECTOR | {"distance": {"a": 1}}), 422, "rows[0].distance"),
        (split(VECTOR | {"event_time": 5}), 422, "rows[0].event_time"),
        (split(VECTOR | {"event_time": "1066-10-14T12:00:00Z"}), 422, "rows[0].event_time"),
        (split(VECTOR | {"request_id": ""}), 422, "rows[0].request_id"),
        (split(*[VECTOR | {"request_id": "r"}] * 2), 422, "rows[1].request_id"),
        (b"[" * 100_00, 400, "body"),
    ],
)
def test_a_bad_invocation_is_refused_by_name(web, served, body, status, field):
    response = web("POST", "/invocations", body)
    told = response.json()
    assert (response.status_code, told["error"]["field"]) == (status, field)
    assert told["error_code"] == "BAD_REQUEST"
    assert told["message"]


@pytest.mark.parametrize(
    "odd", ["10" * 40, "-1e999", '"\\ud800"', '"\\u0000"', "[[]]", "{}", '"' + "x" * 300 + '"', "null", "true", "NaN"]
)
@pytest.mark.parametrize("name", ["flight_id", "carrier", "distance", "event_time", "request_id"])
def test_whatever_a_field_holds_the_server_does_not_fail(web, served, flight, odd, name):
    whole = {"decision": flight(), "features": VECTOR | {"flight_id": "f", "event_time": "2013-04-01T12:00:00Z"}}
    for row in whole.values():
        told = json.dumps([row | {name: "ODD"}]).replace('"ODD"', odd)
        for body in (f'{{"dataframe_records": {told}}}', f'{{"instances": {told}}}'):
            assert web("POST", "/invocations", body.encode()).status_code in (200, 400, 409, 422)
        columns = ({"name": n, "shape": [1], "datatype": "BYTES" if isinstance(v, str) else "FP64", "data": [v]}
                   for n, v in (row | {name: "ODD"}).items())  # fmt: skip
        inputs = json.dumps({"inputs": list(columns)}).replace('"ODD"', odd)
        assert web("POST", INFER, inputs.encode()).status_code in (200, 400, 409, 422)


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "text/plain", "application/json; charset=latin-1"])
def test_another_content_type_is_415(web, served, kind):
    response = web("POST", "/invocations", split(VECTOR), headers={"content-type": kind})
    assert (response.status_code, response.json()["error"]["field"]) == (415, "content-type")


@pytest.mark.parametrize("query", ["?model=weather", "?surprise=1", "?model=%ff"])
def test_an_unknown_model_or_parameter_of_invocations_is_refused(web, served, query):
    assert web("POST", f"/invocations{query}", split(VECTOR)).status_code in (404, 422)
    assert web("POST", f"/invocations?model={MODEL}", split(VECTOR)).status_code == 200


def test_sent_features_are_logged_with_who_answered(web, rig, served):
    row = VECTOR | {"flight_id": "f1", "event_time": "2013-04-01T12:00:00Z", "request_id": "r1"}
    assert web("POST", "/invocations", split(row)).status_code == 200
    (record,) = rig.log.read("2013-04-01")
    assert (record.request_id, record.entity_id, record.arm, record.digest) == (
        "r1",
        "f1",
        "champion",
        served["champion"],
    )
    expected = [2.0, 1400.0, 600.0, 9.2, 51.5, 0.25]
    assert np.frombuffer(record.features, "<f8").tolist() == expected
    assert FEATURES[0].levels[int(expected[0])] == "UA"


def test_a_request_id_that_repeats_gets_its_answer_and_no_other(web, rig, served):
    row = VECTOR | {"request_id": "r1"}
    first = web("POST", "/invocations", split(row)).json()
    assert web("POST", "/invocations", split(row | {"carrier_delays__late_rate": -2.0})).json() == first
    assert len(rig.log.read()) == 1
    other = web("POST", "/invocations", split(row | {"flight_id": "somebody else"}))
    assert (other.status_code, other.json()["error"]["field"]) == (409, "rows[0].request_id")


def test_decisions_and_features_in_one_batch_do_not_disturb_each_other(web, rig, score, flight):
    bodies = [("POST", "/predict", request(flight(n))) for n in range(20)]
    bodies += [("POST", "/invocations", split(VECTOR)) for _ in range(20)]
    responses = web.together(*[(m, p, {"content": json.dumps(b).encode()}) for m, p, b in bodies])
    found = [r.json()["predictions"][0] for r in responses]
    assert [p["score"] for p in found[:20]] + found[20:] == [score] * 40


def test_a_canary_that_eats_more_leaves_sent_features_to_the_champion(web, rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)), canary=(2, make_bundle(2, transformed=True)), share=10_000)
    wanted = [{"name": "arm"}, {"name": "version"}]
    told = web("POST", INFER, tensors() | {"outputs": wanted}).json()["outputs"]
    assert [output["data"] for output in told] == [["champion"], [1]]


def test_without_a_champion_the_fallback_answers_decisions(web, rig, flight):
    rig.serve()
    wanted = [{"name": name} for name in ("score", "arm", "version", "digest")]
    body = {"inputs": [tensor(name, [value]) for name, value in flight().items()], "outputs": wanted}
    told = web("POST", INFER, body).json()
    assert [output["data"] for output in told["outputs"]] == [[0.24], ["fallback"], [0], [""]]
    assert "model_version" not in told


def test_the_openapi_document_knows_the_fields_of_the_model(web, served):
    told = web("GET", "/openapi.json").json()
    row = told["components"]["schemas"][f"{MODEL}_Row"]
    assert row["properties"]["distance"]["maximum"] == 6000
    assert row["additionalProperties"] is False
    assert set(told["paths"]) >= {"/predict", "/v2/models/{model}/infer", "/invocations", "/ready"}
    assert told["info"]["version"] == "1.2"


def test_the_rig_is_what_these_tests_think(make_bundle):
    signature = decode_signature(make_bundle(1)["signature.json"])
    assert [feature.name for feature in signature.features] == NAMES
    assert AT == 1_364_817_600.0
