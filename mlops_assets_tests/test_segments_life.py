"""A model for each airport, by the shipped jobs on twins: each learns from, answers and is judged on its own rows."""

from dataclasses import dataclass

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.documents import manifest_of, training_set_of
from mlops_assets.adapters.replay import rows_of
from mlops_assets.adapters.scorers import reference_of, scorer_of
from mlops_assets.assets.address import DATASETS, MONITORING, TRAINING, key, table
from mlops_assets.assets.files import training_set_of as frozen_at
from mlops_assets.contracts import Arm, UseCase
from mlops_assets.ml.segments import of_segment
from mlops_assets.ml.training import thaw
from mlops_assets.use_cases import USE_CASES
from mlops_assets.use_cases.segments import segmented
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, Twins, checks_of, new_twins, small

AIRPORTS = ("EWR", "JFK", "LGA")
PARENT = small(USE_CASES[0])
SEGMENTS = segmented(PARENT, "origin", AIRPORTS)
HOUR = pd.Timestamp(f"{LIVE[0]} 15:00", tz="UTC")
each = pytest.mark.parametrize("segment", SEGMENTS, ids=AIRPORTS)


@dataclass(frozen=True)
class Divided:
    """A system that has lived with segments; its runs, by name."""

    twins: Twins
    runs: dict[str, dg.ExecuteInProcessResult]

    def frozen(self, use_case: UseCase) -> pd.DataFrame:
        return thaw(frozen_at(self.twins.memory.artifacts, use_case, LAST)[1])

    def rows(self, use_case: UseCase, name: str, day: str = LIVE[0]) -> pd.DataFrame:
        return self.twins.memory.tables.read(table(use_case, MONITORING, name), day, day)


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Divided:
    """History, a champion for each airport, and one live day. The parent has a training set, and no model."""
    twins = new_twins(tmp_path_factory.mktemp("segments"), SEGMENTS)
    twins.materialize([key(twins.domain, DATASETS, name) for name in ("aircraft", "airports")], LAST)
    runs = {"history": twins.run("flights__history", FIRST, LAST)}
    runs["whole"] = twins.materialize([key(PARENT, TRAINING, "training_set")], LAST)
    for segment in SEGMENTS:
        runs[f"{segment.name} train"] = twins.run(f"{segment.name}__train", LAST)
        runs[f"{segment.name} conclude"] = twins.run(f"{segment.name}__conclude", LAST)
    runs["day"] = twins.run("flights__day", LIVE[0])
    return Divided(twins, runs)


def test_every_run_succeeds_and_no_check_of_a_segment_fails(divided: Divided):
    assert all(run.success for run in divided.runs.values())
    for name, run in divided.runs.items():
        failed = [check for check, passed in checks_of(run).items() if not passed]
        assert not failed, name


@each
def test_it_learns_from_its_own_rows_alone_and_they_are_all_of_them(divided: Divided, segment: UseCase):
    whole, own = divided.frozen(PARENT), divided.frozen(segment)
    assert set(own["origin"]) == {segment.segment.value}
    pd.testing.assert_frame_equal(own, of_segment(whole, segment.segment).reset_index(drop=True))


def test_together_they_learn_from_every_row_once(divided: Divided):
    parts = pd.concat([divided.frozen(segment)["flight_id"] for segment in SEGMENTS])
    assert parts.is_unique
    assert set(parts) == set(divided.frozen(PARENT)["flight_id"])


@each
def test_registry_manifests_and_card_name_the_segment(divided: Divided, segment: UseCase):
    registry, told = divided.twins.memory.registry, f"origin is {segment.segment.value}"
    frozen, manifest = training_set_of(registry, segment.name, 1), manifest_of(registry, segment.name, 1)
    assert frozen.use_case == manifest.use_case == segment.name
    assert frozen.query.segment == segment.segment
    assert told in frozen.query.text
    assert manifest.training_rows == len(divided.frozen(segment))
    card = registry.document(segment.name, 1, "card.md").decode()
    assert f"| Segment | decisions whose `origin` is {segment.segment.value}, and no others |" in card
    assert "origin by `origin`" not in card
    assert told in registry.document(segment.name, 1, "annex_iv.md").decode()


@each
def test_its_drift_reference_is_made_of_its_own_rows(divided: Divided, segment: UseCase):
    reference = reference_of(divided.twins.memory.registry, segment.name, 1)
    (origin,) = [feature for feature in reference.facts.inputs.features if feature.name == "origin"]
    assert origin.levels == (segment.segment.value,)


def test_the_server_answers_for_each_with_its_own_bytes(divided: Divided):
    twins, found = divided.twins, {}
    flights = twins.memory.tables.read("flights/datasets/flights", LIVE[0], LIVE[0])
    for segment in SEGMENTS:
        version = twins.memory.registry.by_alias(segment.name, Arm.CHAMPION)
        assert twins.endpoint.status(segment.name).arm(Arm.CHAMPION).digest == version.digest
        asked = rows_of(segment, twins.memory.feature_store, flights, HOUR)
        assert asked
        assert {row["origin"] for row in asked} == {segment.segment.value}
        answers = twins.endpoint.predict(segment.name, asked)
        assert {answer["digest"] for answer in answers} == {version.digest}
        found[segment.name] = version.digest
        logged = divided.rows(segment, "traffic").set_index("entity_id")
        scored = scorer_of(twins.memory.registry, segment.name, 1).score(logged.loc[[a["entity_id"] for a in answers]])
        assert [answer["score"] for answer in answers] == list(scored)
    assert len(set(found.values())) == len(SEGMENTS)


@each
def test_it_is_asked_about_its_own_decisions_and_about_all_of_them(divided: Divided, segment: UseCase):
    flights = divided.twins.memory.tables.read("flights/datasets/flights", LIVE[0], LIVE[0])
    traffic, outcomes = (divided.rows(segment, name) for name in ("traffic", "outcomes"))
    assert set(traffic["entity_id"]) == set(of_segment(flights, segment.segment)["flight_id"])
    assert set(outcomes["origin"]) == {segment.segment.value}
    assert len(divided.rows(PARENT, "traffic")) == len(flights)
    (event,) = divided.runs["day"].asset_materializations_for_node(f"{segment.name}__monitoring__outcomes")
    arrived = divided.twins.memory.tables.read("flights/datasets/arrivals", LIVE[0], LIVE[0])
    own = of_segment(arrived, segment.segment)
    # Flights of the day before landed after midnight: nobody was asked about them.
    assert event.metadata["without_an_answer"].value == len(own) - len(outcomes)


@each
def test_its_monitors_measure(divided: Divided, segment: UseCase):
    events = divided.runs["day"].asset_materializations_for_node(f"{segment.name}__monitors")
    verdicts = {event.asset_key.path[-1]: event.metadata["verdict"].value for event in events}
    reasons = [event.metadata["reason"].value for event in events]
    assert verdicts["feature_skew"] == verdicts["data_contract"] == "ok"
    assert not [reason for reason in reasons if "could not be measured" in reason]


def test_an_answer_about_another_segment_stays_on_record_and_counts_nowhere(divided: Divided):
    ewr, jfk, _ = SEGMENTS
    twins = divided.twins
    flights = twins.memory.tables.read("flights/datasets/flights", LIVE[0], LIVE[0])
    strange, *_ = rows_of(jfk, twins.memory.feature_store, flights, HOUR)
    twins.endpoint.predict(ewr.name, [{**strange, "request_id": "strange"}])
    before = divided.rows(ewr, "outcomes")
    wanted = ("traffic", "outcomes", "label_drift", "data_drift")
    run = twins.materialize([key(ewr, MONITORING, name) for name in wanted], LIVE[0])
    assert checks_of(run)["traffic/answers_are_of_its_segment"] is False
    assert checks_of(run)["traffic/answers_are_unique"] is True
    assert "strange" in set(divided.rows(ewr, "traffic")["request_id"])
    pd.testing.assert_frame_equal(divided.rows(ewr, "outcomes"), before)
