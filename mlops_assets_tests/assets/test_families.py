"""Every model family through the same graph: from a training set to a registered version, and into the server."""

from dataclasses import replace

import numpy as np
import pytest

from mlops_assets.adapters.registry import read_files
from mlops_assets.adapters.scorers import reference_of, scorer_of
from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.models.model import TrainingConfig, facts_of
from mlops_assets.assets.models.parameter_study import STUDY
from mlops_assets.assets.models.workbench import evaluation_at, explanations_at, manifest_at, place
from mlops_assets.contracts import Arm, ParameterStudy, from_json, to_json
from mlops_assets.ml.bundles import SIGNATURE_FILE, bundle_digest
from mlops_assets_tests.conftest import LAST, Twins, checks_of, why
from mlops_assets_tests.serving.conftest import put_bundle
from mlops_assets_tests.serving.processes import MODEL, Server


def train(twins: Twins, study: dict | None = None, **knobs: object):
    """The shipped training job with those knobs of the model and of the search."""
    named = {"model": knobs, "parameter_study": study or {}}
    ops = {key(twins.use_case, MODELS, name).to_python_identifier(): {"config": own} for name, own in named.items()}
    return twins.run("arrival_delay__train", LAST, config={"ops": ops}, fails=True)


def bundle_of_version(twins: Twins, version: int, folder) -> dict[str, bytes]:
    return read_files(twins.memory.registry.download(MODEL, version, folder))


def metadata_of(run, name: str) -> dict:
    (event,) = [e for e in run.get_asset_materialization_events() if e.asset_key.path[-1] == name]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_logistic_model_goes_through_gates_card_reference_and_registry_by_the_same_code(lived, tmp_path):
    run = train(lived, family="logistic", because="to have another family")
    assert run.success, why(run)
    assert all(checks_of(run).values())
    version = lived.memory.registry.versions(MODEL)[-1]
    bundle = bundle_of_version(lived, version.version, tmp_path / "bundle")
    artifacts, use_case = lived.memory.artifacts, lived.use_case
    manifest = manifest_at(artifacts, use_case, LAST)
    assert set(bundle) == {"model.onnx", SIGNATURE_FILE}
    assert bundle_digest(bundle) == version.digest == manifest.model_digest
    assert evaluation_at(artifacts, use_case, LAST).model_digest == version.digest
    assert (manifest.training.family, manifest.training_config["family"]) == ("logistic", "logistic")
    assert manifest.params["C"] == 0.01
    scorer = scorer_of(lived.memory.registry, MODEL, version.version)
    assert scorer.signature.engine == "onnx"
    assert explanations_at(artifacts, use_case, LAST).mean_contribution
    assert len(reference_of(lived.memory.registry, MODEL, version.version).sample)
    card = lived.memory.registry.document(MODEL, version.version, "card.md").decode()
    assert "scikit-learn" in card
    assert "LightGBM" not in card


@pytest.mark.integration
def test_old_files_of_another_family_do_not_enter_the_bundle(lived, tmp_path):
    """The first training of that day left a model.txt in the same folder."""
    train(lived, family="logistic")
    train(lived, because="back to trees")
    first, _, third = lived.memory.registry.versions(MODEL)
    assert set(bundle_of_version(lived, third.version, tmp_path / "third")) == {"model.txt", SIGNATURE_FILE}
    assert third.digest == first.digest


def test_an_unknown_family_fails_before_anything_is_fitted(lived):
    run = train(lived, family="prophet")
    assert not run.success
    assert "no model family named 'prophet': choose one of lightgbm, logistic" in why(run)


@pytest.mark.integration
def test_the_knobs_of_a_run_stand_in_the_manifest_and_decide_the_model(lived):
    run = train(lived, params={"num_leaves": 5.0, "lambda_l2": 2.5}, validation_days=4, calibration="platt", rounds=20)
    assert run.success, why(run)
    manifest = manifest_at(lived.memory.artifacts, lived.use_case, LAST)
    assert (manifest.params["num_leaves"], manifest.params["lambda_l2"], manifest.params["rounds"]) == (5, 2.5, 20)
    assert manifest.training.calibration == manifest.params["calibration"] == "platt"
    assert manifest.validation_first_day == "2013-03-18"
    scorer = scorer_of(lived.memory.registry, MODEL, lived.memory.registry.versions(MODEL)[-1].version)
    assert scorer.signature.calibrator.method == "platt"


def test_a_whole_number_of_the_launchpad_stays_whole(lived):
    params = facts_of(lived.use_case, TrainingConfig(params={"num_leaves": 31.0, "lambda_l2": 0.5})).params
    assert [type(params[name]) for name in ("num_leaves", "lambda_l2")] == [int, float]


def test_without_a_switch_nothing_is_searched(life):
    metadata = metadata_of(life.runs["train"], "parameter_study")
    assert metadata["trials"] == 0
    assert "no search" in metadata["found"]


@pytest.mark.integration
def test_a_search_is_an_artifact_and_its_finding_goes_into_model_and_manifest(lived):
    run = train(lived, {"trials": 10, "folds": 2, "family": "logistic"}, family="logistic")
    assert run.success, why(run)
    study = from_json(
        ParameterStudy, lived.memory.artifacts.get(f"{place(lived.use_case, 'parameter_study', LAST)}/{STUDY}")
    )
    manifest = manifest_at(lived.memory.artifacts, lived.use_case, LAST)
    assert len(study.trials) == 10
    assert study.params, "none of nine draws was better than C = 0.01 on three weeks"
    assert manifest.params["C"] == study.params["C"]
    assert manifest.training.params == study.params
    shown = metadata_of(run, "parameter_study")
    assert shown["best_loss"] < shown["own_loss"]
    assert shown["study"].count("\n") == 11


def test_a_study_of_another_family_is_not_the_models(lived):
    train(lived, {"trials": 2, "folds": 2, "family": "logistic"})
    assert "C" not in manifest_at(lived.memory.artifacts, lived.use_case, LAST).params


def test_a_study_of_other_rows_than_the_training_sets_stops_the_training(lived):
    where = f"{place(lived.use_case, 'parameter_study', LAST)}/{STUDY}"
    study = from_json(ParameterStudy, lived.memory.artifacts.get(where))
    stale = replace(study, training_set_digest="0" * 64, params={"num_leaves": 20})
    lived.memory.artifacts.put(where, to_json(stale).encode())
    run = lived.materialize([key(lived.use_case, MODELS, "model")], LAST, fails=True)
    assert not run.success
    assert "materialize parameter_study again" in why(run)


def test_a_model_without_any_study_takes_the_facts_of_the_use_case(lived):
    lived.memory.artifacts._files.pop(f"{place(lived.use_case, 'parameter_study', LAST)}/{STUDY}")
    before = manifest_at(lived.memory.artifacts, lived.use_case, LAST)
    assert lived.materialize([key(lived.use_case, MODELS, "model")], LAST).success
    assert manifest_at(lived.memory.artifacts, lived.use_case, LAST).model_digest == before.model_digest


@pytest.mark.integration
def test_the_real_server_answers_with_both_families_bit_for_bit_as_offline(lived, tmp_path):
    """Golden rows are compared by the worker itself at each load; the answers here."""
    assert train(lived, family="logistic").success
    versions = lived.memory.registry.versions(MODEL)
    server = Server(tmp_path)
    flights = lived.memory.tables.read("flights/datasets/flights").head(40)
    rows = [
        {name: getattr(flight, name) for name in ("flight_id", "carrier", "origin", "dest")}
        | {name: int(getattr(flight, name)) for name in ("sched_dep_minute", "day_of_week")}
        | {"distance": float(flight.distance), "sched_elapsed_minutes": int(flight.sched_elapsed_minutes)}
        | {"event_time": "2013-03-22T12:00:00Z"}
        for flight in flights.itertuples()
    ]
    rows[0]["carrier"] = "ZZ"
    try:
        for version in versions:
            files = bundle_of_version(lived, version.version, tmp_path / f"download-{version.version}")
            assert put_bundle(server.config.bundles, files) == version.digest
        server.desire(champion=(versions[0].version, versions[0].digest))
        server.start_worker()
        for version in versions:
            server.desire(champion=(version.version, version.digest))
            server.endpoint.wait_for(MODEL, Arm.CHAMPION, version.digest, timeout=20)
            answers = server.endpoint.predict(MODEL, rows)
            logged = {r.request_id: r for r in SqliteTrafficLog(server.config.traffic).read()}
            engine = scorer_of(lived.memory.registry, MODEL, version.version).engine
            for answer in answers:
                vector = np.frombuffer(logged[answer["request_id"]].features, dtype="<f8")
                assert float(engine.predict(vector[None].copy())[0]) == answer["score"]
                assert answer["digest"] == version.digest
        assert {v.version for v in versions} == {1, 2}
    finally:
        server.stop()
