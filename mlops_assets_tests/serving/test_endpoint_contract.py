"""One contract for every endpoint: the twin without a server, the data plane in this process, HTTP to a socket."""

from collections.abc import Iterator

import pytest

from mlops_assets.adapters.endpoint import Endpoint, EndpointRefused, EndpointTimeout, HttpEndpoint, MemoryEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.online_reader import MemoryOnlineReader
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.app import App
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.in_process import InProcessEndpoint
from mlops_assets_tests.serving.web import listening

MODEL = "arrival_delay"
FACTS = ServedModel(name=MODEL, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)


class House:
    """An endpoint under test and the registry it follows."""

    def __init__(self, endpoint: Endpoint, registry: MemoryRegistry, make_bundle) -> None:
        self.endpoint = endpoint
        self.registry = registry
        self.make_bundle = make_bundle

    def register(self, seed: int) -> str:
        files = self.make_bundle(seed)
        digest = bundle_digest(files)
        self.registry.register(MODEL, f"run{seed}", files, {}, digest, {"cutoff_day": "2013-03-31"})
        return digest

    def point(self, arm: str, version: int) -> None:
        self.registry.set_alias(MODEL, arm, version)


def in_process(registry, folder) -> InProcessEndpoint:
    return InProcessEndpoint(registry, [FACTS], folder, MemoryTrafficLog(), MemoryOnlineReader(), {})


def over_http(inside: InProcessEndpoint) -> Iterator[HttpEndpoint]:
    """The same data plane behind a real socket."""
    batcher = Batcher(inside.plane.predict)
    app = App(Endpoints(inside.plane, batcher, inside.nudge), inside.plane.metrics)
    with listening(app) as (host, port):
        yield HttpEndpoint(f"http://{host}:{port}")
    batcher.stop()


@pytest.fixture(params=["memory", "in process", pytest.param("http", marks=pytest.mark.integration)])
def house(request, tmp_path, make_bundle) -> Iterator[House]:
    registry = MemoryRegistry()
    if request.param == "memory":
        yield House(MemoryEndpoint(registry), registry, make_bundle)
    elif request.param == "in process":
        yield House(in_process(registry, tmp_path), registry, make_bundle)
    else:
        for endpoint in over_http(in_process(registry, tmp_path)):
            yield House(endpoint, registry, make_bundle)


def test_it_follows_the_registry(house):
    first, second = house.register(1), house.register(2)
    house.point("champion", 1)
    status = house.endpoint.wait_for(MODEL, "champion", first, timeout=5)
    assert (status.ready, status.problems) == (True, ())
    house.point("champion", 2)
    house.endpoint.nudge()
    assert house.endpoint.wait_for(MODEL, "champion", second, timeout=5).arm("champion").version == 2


def test_the_shares_are_told(house):
    house.register(1)
    second = house.register(2)
    house.point("champion", 1)
    house.point("canary", 2)
    house.registry.set_model_tag(MODEL, "canary_basis_points", "2000")
    status = house.endpoint.wait_for(MODEL, "canary", second, timeout=5)
    assert {arm.arm: arm.basis_points for arm in status.arms} == {"champion": 8000, "canary": 2000}


def test_it_answers_row_by_row(house, flight):
    digest = house.register(1)
    house.point("champion", 1)
    house.endpoint.wait_for(MODEL, "champion", digest, timeout=5)
    first, second = house.endpoint.predict(MODEL, [flight(1, request_id="r1"), flight(2)])
    assert (first["request_id"], first["entity_id"]) == ("r1", "2013-04-01_UA1_EWR_IAH")
    assert (first["arm"], first["version"], first["digest"]) == ("champion", 1, digest)
    assert 0 <= second["score"] <= 1
    assert house.endpoint.predict(MODEL, [flight(1, request_id="r1")]) == [first]


def test_without_a_champion_the_fallback_answers(house, flight):
    house.endpoint.nudge()
    (answer,) = house.endpoint.predict(MODEL, [flight()])
    assert (answer["arm"], answer["version"], answer["score"]) == ("fallback", None, 0.24)


def test_the_fallback_is_ready_before_there_is_a_champion_and_not_in_place_of_a_refused_one(house):
    digest = house.register(1)
    house.endpoint.nudge()
    assert house.endpoint.status(MODEL).ready
    house.registry.files[MODEL, 1]["bundle/model.txt"] += b" "
    if isinstance(house.endpoint, MemoryEndpoint):
        house.endpoint.refuse(digest)
    house.point("champion", 1)
    house.endpoint.nudge()
    status = house.endpoint.status(MODEL)
    assert not status.ready
    assert "champion version 1 is not served" in status.problems[0]


def test_a_bad_row_is_refused_by_name(house):
    house.endpoint.nudge()
    with pytest.raises(EndpointRefused, match=r"rows\[0\]\.flight_id") as refused:
        house.endpoint.predict(MODEL, [{"event_time": "2013-04-01T12:00:00Z"}])
    assert (refused.value.status, refused.value.field) == (422, "rows[0].flight_id")


def test_waiting_in_vain_tells_what_was_served_instead(house):
    digest = house.register(1)
    house.point("champion", 1)
    with pytest.raises(EndpointTimeout, match=f"champion version 1 .{digest}") as error:
        house.endpoint.wait_for(MODEL, "champion", "f" * 64, timeout=0.2)
    assert "f" * 64 in str(error.value)


def test_an_arm_can_be_waited_for_to_be_empty(house):
    digest = house.register(1)
    house.point("shadow", 1)
    house.endpoint.wait_for(MODEL, "shadow", digest, timeout=5)
    house.registry.clear_alias(MODEL, "shadow")
    assert house.endpoint.wait_for(MODEL, "shadow", None, timeout=5).arms == ()
