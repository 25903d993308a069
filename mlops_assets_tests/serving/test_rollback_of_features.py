"""Going back across a changed feature view: model, feature service and preprocessing move as one, to the last bit.

Version 1 is trained on the shipped service. Then the repo changes: a service ``arrival_delay_v2`` whose view of the
origin's delays has a window more, and which leaves the destinations out; version 2 is trained on it and becomes
champion. Rolled back, version 1 says again of the same decisions what it said before. Feast's own store holds the
values, the server's own data plane reads, scores and logs.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_specs import REPO
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.online_reader import open_online_reader
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.scorers import scorer_of
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.adapters.traffic_log import TrafficRecord, vector
from mlops_assets.contracts import Arm, ModelVersion, UseCase
from mlops_assets.ml.bundles import Inputs, bundle_digest
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.on_demand import TRANSFORMATIONS
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.in_process import InProcessEndpoint
from mlops_assets.use_cases import ARRIVAL_DELAY
from mlops_assets_tests.conftest import small
from mlops_assets_tests.ml.made_rows import day_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
NAME = ARRIVAL_DELAY.name
AT = pd.Timestamp("2013-04-01T12:00Z")
KEYS = {"origin": ("EWR", "JFK", "LGA"), "carrier": ("AA", "B6", "UA"), "dest": ("IAH", "LAX", "ORD")}
CHANGE = """

origin_delays_v2 = FeatureView(
    name="origin_delays_v2",
    entities=[origin],
    ttl=TIME_TO_LIVE,
    source=snapshots("origin_delays_v2"),
    schema=trailing({"mean_arr_delay": ARRIVAL_DELAY, "late_share": LATE_SHARE}, (1, 24, 168)),
    description="The same, also over a week.",
    tags=tags(0.2),
    owner=OWNER,
)
arrival_delay_v2 = FeatureService(
    name="arrival_delay_v2",
    features=[origin_weather, origin_delays_v2, carrier_delays, schedule_features],
    description="With a week of the origin's delays.",
    tags={"use_case": "arrival_delay"},
    owner="team:machine-learning",
)
"""


@dataclass
class House:
    """A feature store, a registry and a server."""

    folder: Path
    registry: MemoryRegistry
    releases: Releases
    log: SqliteTrafficLog
    store: FeastFeatureStore
    server: InProcessEndpoint

    def change_the_repo(self) -> None:
        """The declarations get the new view and the new service; the running server is not touched."""
        changed = self.folder / "repo"
        (changed / "flights.py").write_text((changed / "flights.py").read_text() + CHANGE)
        self.store = FeastFeatureStore(settings(self.folder), changed)
        self.store.apply()

    def publish(self, seed: int) -> None:
        """Values of every view for every key, an hour before the decisions."""
        for view in self.store.spec.views:
            random = np.random.default_rng([seed, *view.name.encode()])
            columns = {field.name: random.normal(size=3) for field in view.fields}
            stamp = {"event_timestamp": [AT - pd.Timedelta(hours=1)] * 3}
            frame = pd.DataFrame({view.join_key: KEYS[view.join_key], **stamp, **columns})
            self.store.write_online(view.name, frame)

    def train(self, service: str, seed: int) -> ModelVersion:
        """A version on one service, registered."""
        use_case, inputs = replace(small(ARRIVAL_DELAY), feature_service=service), self.store.inputs(service)
        _, bundle = fit_bundle(made_rows(use_case, inputs, seed), use_case, use_case.training, inputs)
        return self.registry.register(NAME, service, bundle, {}, bundle_digest(bundle), {"cutoff_day": day_of(34)})

    def enthrone(self, version: ModelVersion) -> None:
        """Champion, past everything."""
        cause = Cause(id=f"in/{version.version}", day="2013-04-01", by="operator:test", reason="to set the stage")
        self.releases.enter(NAME, version.version, version.digest, Arm.CHAMPION, cause=cause, kind="override")

    def ask(self, when: str) -> list[TrafficRecord]:
        """The same thirty decisions, each time under ids of their own; what is on record of the answers."""
        rows = [{**flight, "request_id": f"{when}/{n}"} for n, flight in enumerate(FLIGHTS)]
        answers = self.server.predict(NAME, rows)
        known = self.log.find([answer["request_id"] for answer in answers])
        return [known[answer["request_id"]] for answer in answers]


FLIGHTS = [
    {
        "flight_id": f"2013-04-01_UA{n}_EWR_IAH",
        "origin": KEYS["origin"][n % 3],
        "carrier": KEYS["carrier"][n % 2],
        "dest": KEYS["dest"][n // 2 % 3],
        "distance": 700 + 40 * n,
        "sched_dep_minute": 300 + 30 * n,
        "day_of_week": 1,
        "sched_elapsed_minutes": 120 + 5 * n,
        "event_time": "2013-04-01T12:00:00Z",
    }
    for n in range(30)
]


def made_rows(use_case: UseCase, inputs: Inputs, seed: int) -> pd.DataFrame:
    """Decisions whose label depends on every numeric feature of the service."""
    random, size = np.random.default_rng(seed), 35 * 120
    numbers = {f.name: random.normal(size=size) for f in inputs.features if f.kind == "number"}
    levels = {f.name: random.choice(KEYS[f.name], size) for f in inputs.features if f.kind == "category"}
    late = sum(numbers.values()) / np.sqrt(len(numbers)) + random.normal(size=size) > 0.8
    facts = {"flight_id": [f"f{n:05d}" for n in range(size)], "day": np.repeat([day_of(n) for n in range(35)], 120)}
    return pd.DataFrame({**facts, **numbers, **levels, use_case.label: late.astype(int)})


def settings(folder: Path) -> Settings:
    return Settings(state=folder / "state", start_services=False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(REPO, folder / "repo", ignore=shutil.ignore_patterns("__pycache__"))
    registry, log = MemoryRegistry(), SqliteTrafficLog(folder / "traffic.db")
    reader = open_online_reader(settings(folder).online_address, "mlops_assets")
    facts = ServedModel(name=NAME, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)
    server = InProcessEndpoint(registry, [facts], folder / "serving", log, reader, TRANSFORMATIONS)
    store = FeastFeatureStore(settings(folder), folder / "repo")
    yield House(folder, registry, Releases(registry, Promotions(MemoryTables())), log, store, server)
    log.close()
    reader.close()


@dataclass(frozen=True)
class Told:
    """What was said of the same decisions by the first champion, by the second, and after going back."""

    first: list[TrafficRecord]
    second: list[TrafficRecord]
    back: list[TrafficRecord]
    versions: tuple[ModelVersion, ModelVersion]


@pytest.fixture(scope="module")
def told(house: House) -> Told:
    house.publish(seed=1)
    one = house.train("arrival_delay_v1", seed=1)
    house.enthrone(one)
    house.server.nudge()
    first = house.ask("first")
    house.change_the_repo()
    house.publish(seed=1)
    two = house.train("arrival_delay_v2", seed=2)
    house.enthrone(two)
    house.server.nudge()
    second = house.ask("second")
    cause = Cause(id="back", day="2013-04-02", by="sensor:remediation", reason="worse on the same rows")
    house.releases.roll_back(NAME, cause=cause)
    house.server.nudge()
    return Told(first, second, house.ask("back"), (one, two))


def bits(records: list[TrafficRecord]) -> list[bytes]:
    return [np.float64(record.score).tobytes() + record.features for record in records]


def test_the_changed_view_was_really_another_model_with_other_inputs(house: House, told: Told) -> None:
    names = [{f.name for f in house.log.features(version.digest)} for version in told.versions]
    assert "origin_delays_v2__late_share_168h" in names[1] - names[0]
    assert any(name.startswith("destination_delays__") for name in names[0] - names[1])
    assert {record.digest for record in told.second} == {told.versions[1].digest}
    assert {view for record in told.second for view in record.feature_times} == {
        "origin_weather", "origin_delays_v2", "carrier_delays"
    }  # fmt: skip
    assert not set(bits(told.second)) & set(bits(told.first))
    assert {record.missing for record in (*told.first, *told.second)} == {0}


def test_the_same_decisions_get_the_answers_that_were_logged_before(told: Told) -> None:
    assert {record.digest for record in told.back} == {told.versions[0].digest}
    assert bits(told.back) == bits(told.first)
    assert [record.feature_times for record in told.back] == [record.feature_times for record in told.first]


def test_model_service_and_preprocessing_moved_as_one(house: House, told: Told) -> None:
    signature = house.server.plane.states[NAME].arms[Arm.CHAMPION].bundle.signature
    assert signature.feature_service == "arrival_delay_v1"
    assert {view.name for view in signature.views} == {
        "origin_weather", "origin_delays", "carrier_delays", "destination_delays"
    }  # fmt: skip
    assert signature == scorer_of(house.registry, NAME, told.versions[0].version).signature


def test_golden_predictions_are_those_of_the_training(house: House, told: Told) -> None:
    bundle = house.server.plane.states[NAME].arms[Arm.CHAMPION].bundle
    golden = bundle.signature.golden
    matrix = np.array([[np.nan if value is None else value for value in row.values] for row in golden])
    assert bundle.engine.predict(matrix).tobytes() == np.array([row.score for row in golden]).tobytes()


@pytest.mark.parametrize("which", ["first", "second"])
def test_logged_vectors_give_the_logged_answers_again(house: House, told: Told, which: str) -> None:
    records: list[TrafficRecord] = getattr(told, which)
    version = told.versions[0 if which == "first" else 1]
    features = house.log.features(version.digest)
    matrix = np.array([list(vector(record, features).values()) for record in records])
    scores = scorer_of(house.registry, NAME, version.version).engine.predict(matrix)
    assert scores.tobytes() == np.array([record.score for record in records]).tobytes()


def test_a_server_that_starts_after_the_rollback_says_the_same(house: House, told: Told) -> None:
    again = InProcessEndpoint(
        house.registry,
        [ServedModel(name=NAME, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)],
        house.folder / "another",
        house.log,
        open_online_reader(settings(house.folder).online_address, "mlops_assets"),
        TRANSFORMATIONS,
    )
    house.server = again
    assert bits(house.ask("after a restart")) == bits(told.first)
