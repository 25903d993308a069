"""The server on Ray Serve: real raylets, a real registry, one log in Postgres, and load throughout."""

import contextlib
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from mlops_assets.adapters.embedded import embedded_services
from mlops_assets.adapters.endpoint import HttpEndpoint
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.postgres_traffic_log import PostgresTrafficLog
from mlops_assets.adapters.settings import Settings
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.configuration import configure
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.own_network import own_network
from mlops_assets_tests.postgres_server import running
from mlops_assets_tests.redis_server import free_port
from mlops_assets_tests.serving.processes import MODEL
from mlops_assets_tests.serving.ray_nodes import BIN, Callers, RayNodes, installed, plain_environment
from mlops_assets_tests.serving.test_processes import start_run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
QUICK = {"look_back_s": 3, "upscale_delay_s": 1, "downscale_delay_s": 4}
TWO = {"least_replicas": 2, "most_replicas": 2, "target_ongoing_requests": 2, "replicas_per_node": 1, **QUICK}
"""On two nodes, one on each."""


class Scene:
    """Everything that stands around the application."""

    def __init__(self, folder: Path, log: str, make_bundle) -> None:
        self.log = PostgresTrafficLog(log)
        self.settings = Settings(
            state=folder,
            registry_uri=f"http://127.0.0.1:{free_port()}",
            endpoint_url=f"http://127.0.0.1:{free_port()}",
        )
        self.endpoint = HttpEndpoint(self.settings.endpoint_url)
        told = {"MLOPS_STATE": str(folder), "MLOPS_REGISTRY_URI": self.settings.registry_uri, "MLOPS_TRAFFIC_LOG": log}
        self.nodes = RayNodes(folder, {**told, "MLOPS_ENDPOINT_URL": self.settings.endpoint_url})
        service = embedded_services(self.settings)[0]
        self._registry = subprocess.Popen(service.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.nodes.start(workers=2)
        self.registry = MlflowRegistry(self.settings.registry_uri)
        self._wait_for_registry()
        self.address = log
        self.digests = [self.registered(make_bundle(seed)) for seed in (1, 2)]

    def _wait_for_registry(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{self.settings.registry_uri}/health", trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.2)

    def registered(self, files, model: str = MODEL) -> str:
        digest = bundle_digest(files)
        run = start_run(self.settings.registry_uri)
        self.registry.register(model, run, files, {}, digest, {"cutoff_day": "2013-03-31"})
        return digest

    def stop(self) -> None:
        self.nodes.stop()
        self._registry.terminate()
        self._registry.wait(20)


@pytest.fixture
def own():
    installed()
    with own_network():
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory, make_bundle):
    installed()
    with own_network(), running() as postgres:
        made = Scene(tmp_path_factory.mktemp("ray"), postgres.address, make_bundle)
        try:
            made.registry.set_alias(MODEL, "champion", 1)
            made.nodes.deploy(least_replicas=1, most_replicas=3, target_ongoing_requests=2, target_p95_ms=20, **QUICK)
            made.nodes.look()
            yield made
        finally:
            made.stop()


def kept_once(scene: Scene, callers: Callers) -> None:
    """Every acknowledged answer is in the log, once, as it was given."""
    kept = {record.request_id: record for record in scene.log.read()}
    assert len(kept) == len(scene.log.read())
    asked = Counter(answer["request_id"] for answer in callers.acknowledged)
    assert set(asked.values()) == {1}
    assert all(kept[answer["request_id"]].score == answer["score"] for answer in callers.acknowledged)


def test_a_step_of_load_brings_replicas_and_its_end_takes_them_away(scene, flight):
    nodes = scene.nodes
    nodes.wait_for(lambda: nodes.running == 1, 20, "one replica")
    assert httpx.get(f"{scene.settings.endpoint_url}/ready", trust_env=False).json() == {"ready": True, "problems": []}
    assert scene.endpoint.predict(MODEL, [flight()])[0]["digest"] == scene.digests[0]
    with Callers(scene.settings.endpoint_url, flight, threads=24) as callers:
        up_s = nodes.wait_for(lambda: nodes.running >= 2, 60, "more replicas")
    down_s = nodes.wait_for(lambda: nodes.running == 1, 90, "one replica again")
    print(f"up in {up_s:.1f} s to {nodes.most_running}, down in {down_s:.1f} s, {len(callers.acknowledged)} answers")
    assert callers.failures == []
    assert nodes.most_running <= 3
    kept_once(scene, callers)


def test_every_protocol_speaks_on_ray(scene, flight):
    url = scene.settings.endpoint_url
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get(f"/v2/models/{MODEL}").json()["name"] == MODEL
        frame = {"dataframe_records": [flight()]}
        assert len(client.post("/invocations", json=frame).json()["predictions"]) == 1
        refused = client.post("/predict", json={"model": "another", "rows": [flight()]})
        assert (refused.status_code, "no such model" in refused.text) == (404, True)
        assert "mlops_request_seconds_bucket" in client.get("/metrics").text


def test_a_new_version_and_a_new_release_under_load_fail_nobody(scene, flight):
    nodes = scene.nodes
    two = {**TWO, "replicas_per_node": 2}
    nodes.deploy(**two)
    nodes.wait_for(lambda: nodes.running == 2, 60, "two replicas")
    with Callers(scene.settings.endpoint_url, flight, threads=4) as callers:
        scene.registry.set_alias(MODEL, "champion", 2)
        nodes.wait_for(lambda: callers.acknowledged[-1:] and callers.acknowledged[-1]["version"] == 2, 20, "version 2")
        before = {answer["version"] for answer in callers.acknowledged}
        nodes.deploy(release="two", **two)
        nodes.wait_for(lambda: nodes.seen.get("model-server") == {"RUNNING": 2}, 60, "two new replicas")
        time.sleep(1)
    print(f"{len(callers.acknowledged)} answers, slowest {callers.slowest_s:.2f} s, again {callers.again}")
    assert before >= {2}
    assert callers.failures == callers.again == []
    kept_once(scene, callers)


def test_who_shows_another_token_is_not_let_in(scene):
    assert scene.nodes.connects_with("0123456789abcdef" * 4)
    assert not scene.nodes.connects_with("fedcba9876543210" * 4)


def test_a_replica_loads_the_models_that_it_is_asked_for(scene, make_bundle, flight):
    other, nodes = "departure_delay", scene.nodes
    digests = {MODEL: scene.digests[1], other: scene.registered(make_bundle(3, model=other), other)}
    scene.registry.set_alias(other, "champion", 1)
    config = configure(replace(scene.settings, traffic_log=scene.address), USE_CASES)
    (facts,) = config.models
    both = (facts, msgspec.structs.replace(facts, name=other))
    nodes.deploy_models(msgspec.structs.replace(config, models=both), models_per_replica=1)
    nodes.wait_for(lambda: nodes.seen.get("model-server") == {"RUNNING": 1}, 60, "one new replica")
    with httpx.Client(base_url=scene.settings.endpoint_url, trust_env=False, timeout=30) as client:

        def asked(model: str) -> httpx.Response:
            headers = {"serve_multiplexed_model_id": model}
            return client.post("/predict", json={"model": model, "rows": [flight()]}, headers=headers)

        def ask(model: str) -> dict:
            told = asked(model)
            assert told.status_code == 200, told.text
            return told.json()["predictions"][0]

        # The replica of before knows one model; it may be the one that runs for a moment longer.
        nodes.wait_for(lambda: asked(other).status_code == 200, 60, "a replica that knows both")
        for model in (MODEL, other, MODEL, other, other):
            assert ask(model)["digest"] == digests[model]
            loaded = [entry["model"] for entry in client.get("/metadata").json()["models"]]
            assert loaded == [model]
        refused = client.post("/predict", json={"model": MODEL, "rows": [flight()]})
        assert (refused.status_code, "no such model" in refused.text) == (404, True)


def answering(scene: Scene) -> set[int]:
    """Processes that answer now. Ray's status is not asked: after a node's death it may tell of a while ago."""
    found = set()
    for _ in range(20):
        with contextlib.suppress(httpx.HTTPError, KeyError):
            told = httpx.get(f"{scene.settings.endpoint_url}/metadata", trust_env=False, timeout=5).json()
            found.add(told["server"]["pid"])
    return found


def test_a_node_that_is_killed_under_load_is_noticed_by_nobody_who_may_ask_again(scene, flight):
    nodes = scene.nodes
    nodes.deploy(release="three", **TWO)
    nodes.wait_for(lambda: nodes.seen.get("model-server") == {"RUNNING": 2}, 60, "two replicas")
    with Callers(scene.settings.endpoint_url, flight, threads=4) as callers:
        before = answering(scene)
        assert len(before) == 2
        assert any("ServeReplica:mlops:model-server" in name for name in nodes.kill_worker())
        # As whoever runs the machines would.
        nodes.add_worker()
        back_s = nodes.wait_for(lambda: len(answering(scene) - before) == 1, 90, "a replica in place of the lost one")
        time.sleep(1)
    print(f"{len(callers.acknowledged)} answers, slowest {callers.slowest_s:.2f} s, again {len(callers.again)}")
    print(f"two replicas again after {back_s:.1f} s")
    assert callers.failures == []
    kept_once(scene, callers)


@pytest.mark.parametrize("haproxy", [False, True], ids=["proxy", "haproxy"])
def test_one_command_starts_ray_and_the_server_on_loopback_and_ends_both(haproxy, tmp_path, flight, own):
    port = free_port()
    told = {"MLOPS_STATE": str(tmp_path), "MLOPS_REGISTRY_URI": f"http://127.0.0.1:{free_port()}"}
    told |= {**plain_environment(tmp_path), "MLOPS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    command = [BIN / "mlops", "serve", "--on", "ray", *(["--haproxy"] if haproxy else [])]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=told, cwd="/", stdout=out, stderr=out)
    below = []
    try:
        endpoint, deadline = HttpEndpoint(told["MLOPS_ENDPOINT_URL"]), time.monotonic() + 90
        while not endpoint.ready():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        below = psutil.Process(process.pid).children(recursive=True)
        (answer,) = endpoint.predict(MODEL, [flight()])
        assert answer["arm"] == "fallback"
        held = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
        assert held == {"127.0.0.1"}
        assert (tmp_path / "serving" / "ray-token").stat().st_mode & 0o777 == 0o600
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, log.read_text()[-3000:]
    _, left = psutil.wait_procs(below, timeout=20)
    assert not left
