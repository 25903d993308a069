"""Small real bundles, and a data plane that serves them: shared by the tests of the server.

Belongs here: parts that several of these tests need. Does not: assertions.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mlops_assets.adapters.online_reader import MemoryOnlineReader
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.ml.bundles import (
    MODEL_FILE,
    SIGNATURE_FILE,
    GoldenRow,
    ModelFeature,
    RequestField,
    Signature,
    ViewInput,
    bundle_digest,
    encode_signature,
)
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState
from mlops_assets.serving.follower import Follower
from mlops_assets_tests.serving.web import Web

MODEL = "arrival_delay"
FACTS = ServedModel(name=MODEL, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)
REQUEST_FIELDS = (
    RequestField("flight_id", "string", "Day, flight, origin and destination."),
    RequestField("carrier", "string", "Two-letter code."),
    RequestField("origin", "string", "Airport of departure."),
    RequestField("distance", "number", "Miles.", 0, 6000),
    RequestField("sched_dep_minute", "integer", "Local minutes after midnight.", 0, 1439),
)
VIEWS = (
    ViewInput("origin_weather", "origin", 3 * 3600, ("wind_speed", "temp")),
    ViewInput("carrier_delays", "carrier", 24 * 3600, ("late_rate",)),
)
FEATURES = (
    ModelFeature("carrier", "category", ("AA", "B6", "UA")),
    ModelFeature("distance", "number"),
    ModelFeature("sched_dep_minute", "number"),
    ModelFeature("origin_weather__wind_speed", "number"),
    ModelFeature("origin_weather__temp", "number"),
    ModelFeature("carrier_delays__late_rate", "number"),
)
HOUR = ModelFeature("schedule_features__hour", "number")
AT = 1_364_817_600.0
"""2013-04-01T12:00:00Z."""

Files = Mapping[str, bytes]


def schedule_features(fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The hour; fails on the day's last minute, so that a test can have a version that fails at work."""
    if (fields["sched_dep_minute"] == 1439).any():
        raise ArithmeticError("the last minute of a day")
    return {"schedule_features__hour": fields["sched_dep_minute"] // 60}


TRANSFORMATIONS = {"schedule_features": schedule_features}


def train(seed: int, width: int, rounds: int) -> tuple[bytes, np.ndarray, np.ndarray, int]:
    """Text, golden matrix, golden scores and trees of a model that depends on every column."""
    import lightgbm

    random = np.random.default_rng(seed)
    matrix = random.normal(size=(400, width))
    matrix[:, 0] = random.integers(0, 3, size=400)
    matrix[random.random(size=matrix.shape) < 0.1] = np.nan
    label = (np.nansum(matrix, axis=1) + random.normal(size=400) > 1).astype(float)
    params = {"objective": "binary", "num_leaves": 7, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    data = lightgbm.Dataset(matrix, label, categorical_feature=[0], params=params)
    booster = lightgbm.train(params | {"seed": seed}, data, num_boost_round=rounds)
    trees = rounds - 2
    golden = np.vstack([matrix[:4], np.full((1, width), np.nan)])
    text = booster.model_to_string(num_iteration=-1)
    return text.encode(), golden, np.asarray(booster.predict(golden, num_iteration=trees)), trees


def signature_of(golden: np.ndarray, scores: np.ndarray, **own: object) -> Signature:
    """The signature of a bundle of these tests: golden rows with their scores, and what is the bundle's own."""
    return Signature(
        model=MODEL,
        label="is_late",
        entity_id="flight_id",
        feature_service="arrival_delay_v1",
        feature_service_digest="0" * 64,
        request_fields=REQUEST_FIELDS,
        views=VIEWS,
        golden=tuple(
            GoldenRow(tuple(None if np.isnan(v) else float(v) for v in row), float(score))
            for row, score in zip(golden, scores, strict=True)
        ),
        **own,
    )


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Files]:
    """``make_bundle(seed)``: the files of a small real bundle; keyword arguments replace parts of its signature."""
    trained: dict[tuple[int, int, int], tuple[bytes, np.ndarray, np.ndarray, int]] = {}

    def make(seed: int = 1, *, transformed: bool = False, rounds: int = 12, **changes: object) -> Files:
        features = (*FEATURES, HOUR) if transformed else FEATURES
        key = (seed, len(features), rounds)
        if key not in trained:
            trained[key] = train(*key)
        text, golden, scores, trees = trained[key]
        transformations = ("schedule_features",) if transformed else ()
        signature = signature_of(golden, scores, features=features, trees=trees, transformations=transformations)
        return {
            MODEL_FILE: text,
            SIGNATURE_FILE: encode_signature(msgspec.structs.replace(signature, **changes)),
        }

    return make


@pytest.fixture(scope="session")
def logistic_bundle() -> Files:
    """A small real bundle of the other engine, with the same inputs."""
    from mlops_assets.ml.logistic import fit_coefficients, fit_design, to_onnx
    from mlops_assets.ml.onnx_engine import OnnxEngine

    random = np.random.default_rng(3)
    matrix = random.normal(size=(400, len(FEATURES)))
    matrix[:, 0] = random.integers(0, 3, size=400)
    matrix[random.random(size=matrix.shape) < 0.1] = np.nan
    label = (np.nansum(matrix, axis=1) + random.normal(size=400) > 1).astype(float)
    design = fit_design(matrix, FEATURES)
    model = fit_coefficients(design.columns(matrix), label, {"C": 0.1})
    content = to_onnx(design, model.coef_[0], float(model.intercept_[0]))
    golden = np.vstack([matrix[:4], np.full((1, len(FEATURES)), np.nan)])
    scores = OnnxEngine(content, features=len(FEATURES)).predict(golden)
    signature = signature_of(golden, scores, features=FEATURES, trees=0, transformations=(), engine="onnx")
    return {signature.model_file: content, SIGNATURE_FILE: encode_signature(signature)}


def put_bundle(folder: Path, files: Files) -> str:
    """Lay a bundle under its digest; the digest."""
    digest = bundle_digest(files)
    place = folder / digest
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return digest


class Rig:
    """A data plane with everything around it in memory, and bundles in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = MemoryTrafficLog()
        self.online = MemoryOnlineReader()
        self.plane = DataPlane(self.log, self.online, TRANSFORMATIONS, max_rows=50)
        self.follower = Follower(self.plane, folder / "desired.json", folder / "bundles")
        for origin in ("EWR", "JFK", "LGA"):
            self.online.put("origin_weather", origin, AT - 1800, {"wind_speed": 9.2, "temp": 51.5})
        for carrier in ("AA", "B6", "UA"):
            self.online.put("carrier_delays", carrier, AT - 3600, {"late_rate": 0.25})

    def serve(self, *, share: int = 0, facts: ServedModel = FACTS, **arms: tuple[int, Files]) -> dict[str, str]:
        """Let each arm be held by (version, files); the digests."""
        digests = {arm: put_bundle(self.folder / "bundles", files) for arm, (_, files) in arms.items()}
        held = {arm: DesiredArm(version=arms[arm][0], digest=digest) for arm, digest in digests.items()}
        entry = DesiredModel(facts=facts, arms=held, canary_basis_points=share)
        self.follower.apply(DesiredState(models=(entry,)))
        return digests

    def ask(self, *rows: dict[str, object]) -> list[dict[str, object]]:
        """The answers to one request; raises what it was refused with."""
        (outcome,) = self.plane.predict([self.plane.check(msgspec.json.encode({"model": MODEL, "rows": rows}))])
        self.plane.finish()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def flight(number: int = 1, **changes: object) -> dict[str, object]:
    """A well-formed row."""
    row = {
        "flight_id": f"2013-04-01_UA{number}_EWR_IAH",
        "carrier": "UA",
        "origin": "EWR",
        "distance": 1400,
        "sched_dep_minute": 600,
        "event_time": "2013-04-01T12:00:00Z",
    }
    return row | changes


@pytest.fixture(name="flight")
def make_flight() -> Callable[..., dict[str, object]]:
    return flight


@pytest.fixture(name="put_bundle")
def lay_bundle() -> Callable[[Path, Files], str]:
    return put_bundle


@pytest.fixture
def web(rig):
    made = Web(rig)
    yield made
    made.batcher.stop()


@pytest.fixture
def served(rig, make_bundle):
    return rig.serve(champion=(1, make_bundle(1)))
