"""Other people's clients on the real server, unchanged; and a fuzzer that reads the server's own description."""

import contextlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

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


# The packages of others are imported where they are used: whoever runs other tests need not wait for them.
@pytest.fixture
def mlflow_client(server):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    return ScoringServerClient("127.0.0.1", server.config.port)


@pytest.fixture
def triton_client(server):
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{server.config.port}")
    yield client
    client.close()


@pytest.fixture
def score(mlflow_client) -> float:
    """What the server says of VECTOR by its plainest form."""
    client = mlflow_client
    (found,) = client.invoke(json.dumps({"dataframe_records": [VECTOR]}))["predictions"]
    return found


def test_mlflows_client_asks_with_a_frame_that_has_gaps(mlflow_client, score):
    client = mlflow_client
    client.wait_server_ready(timeout=10)
    assert client.get_version().startswith("3.")
    frame = pd.DataFrame([VECTOR] * 100).astype({"origin_weather__wind_speed": "float64"})
    found = client.invoke(frame)
    assert found["predictions"] == [score] * 100
    assert found.get_predictions()[0].tolist() == [score] * 100


def test_mlflows_client_is_told_which_field_was_wrong(mlflow_client):
    with pytest.raises(Exception, match=r"422.*rows\[0\]\.distance"):
        mlflow_client.invoke(pd.DataFrame([VECTOR | {"distance": "far"}]))


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_asks_in_json_and_in_bytes(triton_client, mlflow_client, binary):
    import tritonclient.http as triton

    client = triton_client
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
    windy = mlflow_client.invoke(pd.DataFrame([VECTOR | {"origin_weather__wind_speed": 6.5}]))
    assert found.as_numpy("score").tolist() == windy["predictions"] * 10
    assert found.as_numpy("version").tolist() == [3] * 10
    assert set(found.as_numpy("arm").tolist()) <= {b"champion", "champion"}
    assert found.get_response()["id"] == "7"


def test_tritons_client_is_told_which_input_was_wrong(triton_client):
    import tritonclient.http as triton

    part = triton.InferInput("carrier", [1], "BYTES")
    part.set_data_from_numpy(np.array(["UA"], dtype=object))
    with pytest.raises(triton.InferenceServerException, match="flight_id"):
        triton_client.infer(MODEL, [part])


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_that_the_description_allows_or_forbids_breaks_the_server(server, mode):
    import schemathesis
    from schemathesis import checks

    held = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.negative_data_rejection,
    ]
    described = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.config.port}/openapi.json")
    operations = [found.ok() for found in described.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/predict", "/invocations", "/v2/models/{model}/infer"}
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
        @settings(
            max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        def holds(case):
            case.call_and_validate(checks=held)

        # Some can only be asked right.
        with contextlib.suppress(Unsatisfiable):
            holds()
