"""Many models in real workers with a budget of memory: each holds its share, and nobody outside notices."""

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter

import httpx
import pytest

from mlops_assets.serving.arms import memory_of
from mlops_assets.serving.desired import DesiredState, write_desired
from mlops_assets_tests.serving.conftest import flight
from mlops_assets_tests.serving.many import FAMILY, desired, entry, names
from mlops_assets_tests.serving.processes import Server

pytestmark = pytest.mark.integration
GROWTH = """
import sys
from pathlib import Path
from mlops_assets.contracts import Arm
from mlops_assets.serving.arms import Holding, ModelState, load_bundle
from mlops_assets.serving.configuration import ServedModel

def grown():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def load(line):
    name, digest = line.split()
    bundle = load_bundle(Path(sys.argv[1]) / digest, digest, model=name, transformations={})
    facts = ServedModel(name=name, entity_id="flight_id", timezone="UTC")
    state = ModelState(facts, {Arm.CHAMPION: Holding(1, bundle)})
    state.warm_up()
    assert bundle.computed_by == "compiled trees"
    return state

lines = sys.stdin.read().splitlines()
kept = [load(line) for line in lines[:20]]
before, held = grown(), sum(state.memory_bytes for state in kept)
kept += [load(line) for line in lines[20:]]
print((grown() - before) / (sum(state.memory_bytes for state in kept) - held))
"""


@pytest.mark.parametrize(("rounds", "count"), [(12, 320), (400, 60)])
def test_a_loaded_model_takes_about_the_memory_that_it_is_accounted_for(tmp_path, make_bundle, rounds, count):
    state = desired(tmp_path, lambda seed, **more: make_bundle(seed, rounds=rounds, **more), names(count))
    lines = "\n".join(f"{e.facts.name} {e.arms['champion'].digest}" for e in state.models)
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    told = subprocess.run(command, input=lines.encode(), capture_output=True, check=True).stdout
    assert 0.3 < float(told) < 1.25, "of what it is accounted for"


def start(folder, make_bundle, count: int, room: float, workers: int) -> Server:
    """A server with so many small models, and memory for ``room`` of them in each worker."""
    each = memory_of(sum(map(len, make_bundle(1, model=names(1)[0]).values())))
    server = Server(folder, models=(FAMILY,), workers=workers, model_memory_bytes=int(each * room))
    write_desired(server.config.desired, desired(server.config.bundles, make_bundle, names(count)))
    return server


def metrics(server: Server) -> dict[str, float]:
    """Metric -> its sum over all series."""
    text = httpx.get(f"{server.endpoint.url}/metrics", trust_env=False, timeout=20).text
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    told: Counter[str] = Counter()
    for series, _, value in lines:
        told[re.split(r"[{ ]", series)[0]] += float(value)
    return told


def ask_all(server: Server, models: list[str], together: int = 8) -> list[tuple[int, str, float]]:
    """Status, model that answered, and seconds, of a request to each model."""

    async def ask() -> list[tuple[int, str, float]]:
        turn = asyncio.Semaphore(together)
        limits = httpx.Limits(max_connections=together)
        async with httpx.AsyncClient(
            base_url=server.endpoint.url, trust_env=False, timeout=30, limits=limits
        ) as client:

            async def one(number: int, model: str) -> tuple[int, str, float]:
                async with turn:
                    began = time.perf_counter()
                    answer = await client.post("/predict", json={"model": model, "rows": [flight(number)]})
                    return answer.status_code, answer.json().get("model", answer.text), time.perf_counter() - began

            return await asyncio.gather(*(one(number, model) for number, model in enumerate(models)))

    return asyncio.run(ask())


def wait_for(server: Server, metric: str, at_least: float) -> dict[str, float]:
    deadline = time.monotonic() + 30
    while (told := metrics(server)).get(metric, 0) < at_least:
        assert time.monotonic() < deadline, told
        time.sleep(0.1)
    return told


def test_a_thousand_models_are_served_by_one_worker_that_holds_a_fifth_of_them(tmp_path, make_bundle):
    server = start(tmp_path, make_bundle, count=1000, room=200.5, workers=1)
    began = time.monotonic()
    server.start_worker()
    try:
        ready_s = time.monotonic() - began
        told = wait_for(server, "mlops_models_loaded", 200)
        filled_s = time.monotonic() - began
        assert told["mlops_models"] == 1000
        assert told["mlops_model_memory_bytes"] <= server.config.model_memory_bytes
        answers = ask_all(server, names(1000))
        assert {(status, model) for status, model, _ in answers} == {(200, name) for name in names(1000)}
        told = metrics(server)
        assert told["mlops_models_loaded"] == 200
        assert told["mlops_arm_info"] == 200 * 10_000
        assert told["mlops_model_loads_total"] - told["mlops_model_evictions_total"] == 200
        began = time.monotonic()
        assert len(server.metadata()["models"]) == 1000
        assert server.endpoint.ready()
        assert httpx.get(f"{server.endpoint.url}/openapi.json", trust_env=False, timeout=20).status_code == 200
        told_s = time.monotonic() - began
        slow = sorted(seconds for *_, seconds in answers)
        print(f"ready {ready_s:.1f} s, filled {filled_s:.1f} s, p50 {slow[500]:.4f} s, p99 {slow[990]:.4f} s")
        print(f"metadata, ready and openapi.json {told_s:.2f} s")
    finally:
        server.stop()


def test_two_workers_hold_their_shares_and_hardly_load_again(tmp_path, make_bundle):
    server = start(tmp_path, make_bundle, count=60, room=36.5, workers=2)
    server.start()
    try:
        server.wait_for_workers()
        told = wait_for(server, "mlops_models_loaded", 60)
        before = told["mlops_model_loads_total"]
        for _ in range(10):
            answers = ask_all(server, names(60))
            assert {status for status, *_ in answers} == {200}
        told = metrics(server)
        again = told["mlops_model_loads_total"] - before
        print(f"600 requests to 60 models, room for 36 in each of two workers: {again:.0f} loads")
        assert 60 <= told["mlops_models_loaded"] <= 72
        assert again <= 30, "of 600 requests"
    finally:
        server.stop()


def test_models_change_and_make_room_under_load_and_no_request_fails(tmp_path, make_bundle):
    server = start(tmp_path, make_bundle, count=60, room=10.5, workers=1)
    server.start_worker()
    try:
        bundles, models = server.config.bundles, names(60)
        for version in (2, 3):
            for number, model in enumerate(models):
                answers = ask_all(server, [model, *models[number : number + 8]], together=9)
                assert {status for status, *_ in answers} == {200}
                if number == 20:
                    made = [entry(bundles, name, make_bundle(version, model=name), version) for name in models]
                    write_desired(server.config.desired, DesiredState(models=tuple(made)))
        told = metrics(server)
        assert told["mlops_model_evictions_total"] > 60
        assert told["mlops_models_loaded"] == 10
        statuses = server.metadata()["models"]
        assert {status["arms"][0]["version"] for status in statuses} == {3}
        assert Counter(status["loaded"] for status in statuses) == {True: 10, False: 50}
    finally:
        server.stop()
