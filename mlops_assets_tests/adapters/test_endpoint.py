"""What is special to one endpoint; the contract of all of them is in serving/test_endpoint_contract.py."""

import socket

import pytest

from mlops_assets.adapters.endpoint import CANARY_SHARE_TAG, EndpointDown, EndpointTimeout, HttpEndpoint, MemoryEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.ml.bundles import bundle_digest

MODEL = "arrival_delay"


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_a_server_that_is_down_says_how_to_start_it(nobody):
    with pytest.raises(EndpointDown, match="mlops serve"):
        HttpEndpoint(nobody).status(MODEL)
    assert HttpEndpoint(nobody).ready() is False


def test_waiting_for_a_server_that_is_down_ends_and_says_so(nobody):
    with pytest.raises(EndpointTimeout, match="does not answer"):
        HttpEndpoint(nobody).wait_for(MODEL, "champion", "0" * 64, timeout=0.2)


def test_the_twin_can_play_a_version_that_does_not_load():
    registry = MemoryRegistry()
    digests = []
    for number in (1, 2):
        files = {"model.txt": b"%d" % number}
        digests.append(bundle_digest(files))
        registry.register(MODEL, f"run{number}", files, {}, digests[-1], {"cutoff_day": "2013-03-31"})
    endpoint = MemoryEndpoint(registry)
    registry.set_alias(MODEL, "champion", 1)
    endpoint.status(MODEL)
    endpoint.refuse(digests[1])
    registry.set_alias(MODEL, "champion", 2)
    registry.set_alias(MODEL, "canary", 2)
    status = endpoint.status(MODEL)
    assert [(arm.arm, arm.version) for arm in status.arms] == [("champion", 1)]
    assert len(status.problems) == 2


def test_the_share_of_a_canary_has_one_name():
    promotions = pytest.importorskip("mlops_assets.adapters.promotions")
    assert promotions.CANARY_BASIS_POINTS == CANARY_SHARE_TAG
