"""Other people's clients on the real server, unchanged; and a fuzzer that reads the server's own description."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
import schemathesis
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from schemathesis import GenerationMode, checks

from mlops_assets_tests.serving.conftest import put_bundle
from mlops_assets_tests.serving.processes import MODEL, Server

pytestmark = pytest.mark.integration

VECTOR = {
    "carrier": "UA",
    "distance": 1400.0,
    "sched_dep_minute": 600.0,
    "origin_weather__wind_speed": None,
    "origin_weather__temp": 51.5,
    "carrier_delays__late_rate": 0.25,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory, make_bundle):
    folder = tmp_path_factory.mktemp("server")
    made = Server(folder)
    made.desire(champion=(3, put_bundle(folder / "bundles", make_bundle(1))))
    made.start_worker()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def score(server) -> float:
    """What the server says of VECTOR by its plainest form."""
    client = ScoringServerClient("127.0.0.1", server.config.port)
    (found,) = client.invoke(json.dumps({"dataframe_records": [VECTOR]}))["predictions"]
    return found


def test_mlflows_client_asks_with_a_frame_that_has_gaps(server, score):
    client = ScoringServerClient("127.0.0.1", server.config.port)
    client.wait_server_ready(timeout=10)
    assert client.get_version().startswith("3.")
    frame = pd.DataFrame([VECTOR] * 100).astype({"origin_weather__wind_speed": "float64"})
    found = client.invoke(frame)
    assert found["predictions"] == [score] * 100
    assert found.get_predictions()[0].tolist() == [score] * 100


def test_mlflows_client_is_told_which_field_was_wrong(server):
    client = ScoringServerClient("127.0.0.1", server.config.port)
    with pytest.raises(Exception, match=r"422.*rows\[0\]\.distance"):
        client.invoke(pd.DataFrame([VECTOR | {"distance": "far"}]))


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_asks_in_json_and_in_bytes(server, score, binary):
    client = triton.InferenceServerClient(f"127.0.0.1:{server.config.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "3")
    assert not client.is_model_ready(MODEL, "4")
    told = client.get_model_metadata(MODEL)
    inputs = []
    for column in told["inputs"]:
        value = VECTOR[column["name"]]
        # Bytes have no null: the model's own default for a missing number is not among what they can say.
        values = np.array(
            [6.5 if value is None else value] * 10, dtype=object if column["datatype"] == "BYTES" else float
        )
        inputs.append(triton.InferInput(column["name"], [10], column["datatype"]))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "arm", "version")]
    found = client.infer(MODEL, inputs, request_id="7", outputs=wanted)
    client.close()
    windy = ScoringServerClient("127.0.0.1", server.config.port).invoke(
        pd.DataFrame([VECTOR | {"origin_weather__wind_speed": 6.5}])
    )
    assert found.as_numpy("score").tolist() == windy["predictions"] * 10
    assert found.as_numpy("version").tolist() == [3] * 10
    assert set(found.as_numpy("arm").tolist()) <= {b"champion", "champion"}
    assert found.get_response()["id"] == "7"


def test_tritons_client_is_told_which_input_was_wrong(server):
    client = triton.InferenceServerClient(f"127.0.0.1:{server.config.port}")
    part = triton.InferInput("carrier", [1], "BYTES")
    part.set_data_from_numpy(np.array(["UA"], dtype=object))
    with pytest.raises(triton.InferenceServerException, match="flight_id"):
        client.infer(MODEL, [part])
    client.close()


CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_that_the_description_allows_or_forbids_breaks_the_server(server, mode):
    described = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.config.port}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/predict", "/invocations", "/v2/models/{model}/infer"}
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        def holds(case):
            case.call_and_validate(checks=CHECKS)

        # Some can only be asked right.
        with contextlib.suppress(Unsatisfiable):
            holds()
