"""History, first model, first champion and live days, by the shipped jobs on twins: what each leaves behind."""

from mlops_assets.assets.files import decision_of, inputs_of
from mlops_assets.assets.models.workbench import evaluation_at, manifest_at
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import digest_of
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, checks_of


def test_every_run_of_the_life_succeeds(life):
    assert all(run.success for run in life.runs.values())


def test_history_lands_every_day_and_its_features_as_one_run(life):
    tables = life.twins.memory.tables
    for name in ("datasets/flights", "datasets/arrivals", "datasets/weather", "features/carrier_delays"):
        days = tables.days(f"flights/{name}")
        assert (days[0], days[-1], len(days)) == (FIRST, LIVE[-1], 23), name


def test_the_first_version_goes_from_registered_to_champion_and_nowhere_else(life):
    history = life.twins.promotions.all(life.twins.use_case.name)
    assert [line.kind for line in history] == ["registered", "promoted"]
    assert [line.to_arm for line in history] == [None, "champion"]
    assert {line.day for line in history} == {LAST}
    assert history[1].by == "asset:arrival_delay/releases/champion"


def test_registry_server_manifest_and_history_name_the_same_bytes(life):
    twins, name = life.twins, life.twins.use_case.name
    version = twins.memory.registry.by_alias(name, Arm.CHAMPION)
    served = twins.endpoint.status(name).arm(Arm.CHAMPION)
    manifest = manifest_at(twins.memory.artifacts, twins.use_case, LAST)
    evaluation = evaluation_at(twins.memory.artifacts, twins.use_case, LAST)
    told = {version.digest, served.digest, manifest.model_digest, evaluation.model_digest}
    assert told == {twins.promotions.all(name)[-1].digest}
    assert served.basis_points == 10_000


def test_the_manifest_names_the_training_set_by_its_digest_and_its_tables_by_version(life):
    memory = life.twins.memory
    manifest = manifest_at(memory.artifacts, life.twins.use_case, LAST)
    rows = memory.artifacts.get(f"arrival_delay/training/training_set/{LAST}/rows.parquet")
    assert manifest.training_set_digest == digest_of(rows)
    assert manifest.training == life.twins.use_case.training
    assert manifest.training_config["invert_label_share"] == 0.0
    assert manifest.packages["lightgbm"].startswith("4.")
    assert {pin.table for pin in manifest.tables} > {"flights/datasets/flights", "flights/features/origin_weather"}
    assert manifest.dagster_run_id == life.runs["train"].run_id
    assert manifest.fault_injected is None


def test_every_decision_of_a_live_day_is_answered_by_the_champion_with_its_digest(life):
    tables, name = life.twins.memory.tables, life.twins.use_case.name
    traffic = tables.read(f"{name}/monitoring/traffic", LIVE[0], LIVE[0])
    planned = tables.read("flights/datasets/flights", LIVE[0], LIVE[0])
    assert len(traffic) == len(planned)
    assert set(traffic["arm"]) == {"champion"}
    assert set(traffic["digest"]) == {life.twins.promotions.all(name)[-1].digest}


def test_outcomes_stand_beside_the_answer_they_belong_to(life):
    outcomes = life.twins.memory.tables.read("arrival_delay/monitoring/outcomes", LIVE[0], LIVE[1])
    assert outcomes["flight_id"].is_unique
    assert (outcomes["is_late"] == (outcomes["arr_delay"] >= 15)).all()
    late = outcomes[outcomes["asked_day"] < outcomes["day"]]
    assert set(late["asked_day"]) == {LIVE[0]}


def test_served_vectors_are_the_recomputed_ones(life):
    events = life.runs[LIVE[0]].asset_materializations_for_node("arrival_delay__monitors")
    verdicts = {event.asset_key.path[-1]: event.metadata["verdict"].value for event in events}
    assert verdicts["feature_skew"] == "ok"
    assert verdicts["data_contract"] == "ok"
    assert len(verdicts) == 12


def test_every_check_of_history_training_and_release_passes(life):
    for run in ("history", "train", "conclude"):
        failed = [check for check, passed in checks_of(life.runs[run]).items() if not passed]
        assert not failed, run


def test_a_live_day_is_decided_and_nothing_is_done_without_cause(life):
    made = life.twins.memory.tables.read("arrival_delay/monitoring/decision", LIVE[0], LIVE[1])
    assert list(made["day"]) == list(LIVE)
    assert set(made["action"]) <= {"nothing", "watch"}
    assert life.twins.memory.alerts.sent() == []


def test_what_was_decided_about_a_live_day_is_decided_again_from_what_was_kept(life):
    artifacts, use_case = life.twins.memory.artifacts, life.twins.use_case
    for day in LIVE:
        inputs = inputs_of(artifacts, use_case, day)
        assert inputs is not None
        assert inputs.situation.judgements
        assert inputs.decide() == decision_of(artifacts, use_case, day)
