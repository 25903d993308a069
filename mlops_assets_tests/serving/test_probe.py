"""The real server with one bundle: loaded, asked, timed; and seen failing with damaged bytes and a blocked store."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.online_reader import MemoryOnlineReader
from mlops_assets.adapters.settings import Settings
from mlops_assets.ml import gates
from mlops_assets.ml.bundles import ModelFeature, ViewInput, bundle_digest
from mlops_assets.ml.gates import server_gates
from mlops_assets.ml.models import Scorer, make_bundle, train
from mlops_assets.serving.offline import offline_scores
from mlops_assets.serving.probe import ROUNDS, InProcessProbe, ProcessProbe
from mlops_assets.use_cases import ARRIVAL_DELAY
from mlops_assets_tests.ml.made_rows import TRAINING, day_of
from mlops_assets_tests.serving.conftest import REQUEST_FIELDS, flight

LIMITS = replace(ARRIVAL_DELAY.gates, max_latency_ms=240.0)
"""The reader of the store waits 250 ms for a writer; an idle server answers in two."""
FEATURES = (
    ModelFeature("carrier", "category"),
    ModelFeature("distance", "number"),
    ModelFeature("origin_weather__wind_speed", "number"),
)
ROWS = [flight(number, distance=100 + 97 * number) for number in range(10)]


@pytest.fixture(scope="module")
def bundle() -> dict[str, bytes]:
    """A bundle of the request's fields and one view; nothing is online here."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "flight_id": [f"f{n}" for n in range(2000)],
            "day": [day_of(n // 100) for n in range(2000)],
            "carrier": random.choice(["AA", "B6", "UA"], 2000),
            "distance": random.uniform(100, 2000, 2000),
            "origin_weather__wind_speed": random.normal(size=2000),
        }
    )
    frame["is_late"] = (random.random(2000) < frame["distance"] / 2000).astype(int)
    names = {"label": "is_late", "entity_id": "flight_id"}
    return make_bundle(
        train(frame, TRAINING, FEATURES, **names),
        model=ARRIVAL_DELAY.name,
        **names,
        feature_service="s",
        feature_service_digest="0" * 64,
        request_fields=REQUEST_FIELDS,
        views=(ViewInput("origin_weather", "origin", 3600, ("wind_speed",)),),
        transformations=(),
    )


@pytest.fixture(params=["in process", pytest.param("process", marks=pytest.mark.integration)])
def probe(request, tmp_path):
    if request.param == "in process":
        return InProcessProbe(MemoryOnlineReader, {})
    return ProcessProbe(Settings(state=tmp_path, start_services=False))


def offline(bundle) -> list[float]:
    return offline_scores(Scorer(bundle), MemoryFeatureStore(MemoryTables()), ROWS)


def refused(answers, wanted, digest) -> set[str]:
    return {gate.name for gate in server_gates(answers, wanted, digest, LIMITS) if not gate.passed}


def test_it_gives_the_offline_scores_to_the_last_bit_and_in_time(probe, bundle):
    digest = bundle_digest(bundle)
    answers = probe.ask(ARRIVAL_DELAY, bundle, digest, ROWS)
    assert answers.problem is None
    assert answers.digest == digest
    assert len(answers.latencies_ms) == ROUNDS * len(ROWS)
    assert len(set(answers.scores)) > 1
    assert refused(answers, offline(bundle), digest) == set()


def test_one_flipped_byte_is_not_served(probe, bundle):
    digest, damaged = bundle_digest(bundle), bytearray(bundle["model.txt"])
    damaged[len(damaged) // 2] ^= 1
    answers = probe.ask(ARRIVAL_DELAY, {**bundle, "model.txt": bytes(damaged)}, digest, ROWS)
    assert answers.digest is None
    assert "digest" in (answers.problem or "")
    assert refused(answers, offline(bundle), digest) == {gates.SAME_SCORES, gates.IN_TIME}


@pytest.mark.integration
def test_a_text_that_takes_its_server_with_it_leaves_a_reason(tmp_path, bundle):
    text = bundle["model.txt"].replace(b"leaf_value=", b"leaf_value=x", 1)
    damaged = {**bundle, "model.txt": text}
    probe = ProcessProbe(Settings(state=tmp_path, start_services=False))
    answers = probe.ask(ARRIVAL_DELAY, damaged, bundle_digest(damaged), ROWS)
    assert answers.scores == ()
    assert answers.problem


@pytest.mark.integration
def test_a_server_that_waits_for_its_store_is_too_slow(tmp_path, bundle):
    settings = Settings(state=tmp_path, start_services=False)
    store = Path(settings.features / "online.db")
    store.parent.mkdir(parents=True)
    with sqlite3.connect(store) as blocked:
        blocked.execute("CREATE TABLE anything (value)")
        blocked.commit()
        blocked.execute("BEGIN EXCLUSIVE")
        answers = ProcessProbe(settings).ask(ARRIVAL_DELAY, bundle, bundle_digest(bundle), ROWS[:3])
        assert gates.IN_TIME in refused(answers, offline(bundle)[:3], bundle_digest(bundle))
