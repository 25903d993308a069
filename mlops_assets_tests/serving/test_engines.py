"""The server's choice of an engine, version by version, and what it refuses."""

import msgspec
import numpy as np
import pytest

from mlops_assets.ml.bundles import SIGNATURE_FILE, Calibrator, bundle_digest, decode_signature, encode_signature
from mlops_assets.serving.arms import BundleRefused, load_bundle
from mlops_assets.serving.engines import Trees
from mlops_assets_tests.serving.conftest import MODEL, TRANSFORMATIONS, Rig


def loaded(folder, files, put_bundle):
    digest = put_bundle(folder, files)
    return load_bundle(folder / digest, digest, model=MODEL, transformations=TRANSFORMATIONS)


def changed(files, **parts):
    signature = msgspec.structs.replace(decode_signature(files[SIGNATURE_FILE]), **parts)
    return {**files, SIGNATURE_FILE: encode_signature(signature)}


def test_two_versions_of_two_families_answer_side_by_side(rig: Rig, make_bundle, logistic_bundle, flight) -> None:
    digests = rig.serve(champion=(1, make_bundle(1)), shadow=(2, logistic_bundle))
    (answer,) = rig.ask(flight())
    (record,) = rig.log.read()
    assert answer["digest"] == digests["champion"]
    told = {score.arm: score.score for score in record.scores}
    vector = np.frombuffer(record.features, dtype="<f8")[None]
    engines = {arm: holding.bundle.engine for arm, holding in rig.plane.states[MODEL].arms.items()}
    assert {str(arm): float(engine.predict(vector)[0]) for arm, engine in engines.items()} == told
    assert len(set(told.values())) == 2


def test_a_version_of_another_family_takes_over(rig: Rig, make_bundle, logistic_bundle, flight) -> None:
    rig.serve(champion=(1, make_bundle(1)))
    before = rig.ask(flight(1))[0]["score"]
    digests = rig.serve(champion=(2, logistic_bundle))
    (answer,) = rig.ask(flight(1, request_id="again"))
    assert (answer["version"], answer["digest"]) == (2, digests["champion"])
    assert answer["score"] != before


def test_contributions_in_the_server_are_the_packages(tmp_path, make_bundle, put_bundle) -> None:
    import lightgbm

    files = make_bundle(1)
    bundle = loaded(tmp_path, files, put_bundle)
    values = np.random.default_rng(2).normal(size=(50, len(bundle.signature.features)))
    package = lightgbm.Booster(model_str=files["model.txt"].decode())
    wanted = package.predict(values, pred_contrib=True, num_iteration=bundle.signature.trees)
    assert isinstance(bundle.engine, Trees)
    assert bundle.engine.contributions(values).tobytes() == np.asarray(wanted).tobytes()


@pytest.mark.parametrize("wrong", [{"engine": "lightgbm"}, {"features": ()}], ids=["engine", "width"])
def test_a_signature_that_does_not_fit_its_model_is_refused(
    wrong, tmp_path, logistic_bundle, put_bundle, make_bundle
) -> None:
    files = changed(logistic_bundle, **wrong)
    with pytest.raises(BundleRefused):
        loaded(tmp_path, files, put_bundle)


def test_a_calibrator_that_the_golden_rows_do_not_know_is_refused(tmp_path, make_bundle, put_bundle) -> None:
    bent = changed(make_bundle(1), calibrator=Calibrator(method="platt", weights=(0.9, 0.1)))
    with pytest.raises(BundleRefused, match="golden rows are not reproduced"):
        loaded(tmp_path, bent, put_bundle)


def test_an_engine_that_this_server_does_not_know_is_refused(tmp_path, make_bundle, put_bundle) -> None:
    files = make_bundle(1)
    told = msgspec.json.decode(files[SIGNATURE_FILE]) | {"engine": "torch"}
    with pytest.raises(BundleRefused, match="torch"):
        loaded(tmp_path, {**files, SIGNATURE_FILE: msgspec.json.encode(told)}, put_bundle)


@pytest.mark.parametrize("position", [40, 400, -40])
def test_one_flipped_byte_in_an_onnx_model_is_refused(position, tmp_path, logistic_bundle, put_bundle) -> None:
    content = bytearray(logistic_bundle["model.onnx"])
    content[position] ^= 1
    digest = put_bundle(tmp_path, logistic_bundle)
    (tmp_path / digest / "model.onnx").write_bytes(bytes(content))
    with pytest.raises(BundleRefused, match="have digest"):
        load_bundle(tmp_path / digest, digest, model=MODEL, transformations=TRANSFORMATIONS)


def test_a_second_model_file_beside_the_signature_is_refused(
    tmp_path, make_bundle, put_bundle, logistic_bundle
) -> None:
    digest = put_bundle(tmp_path, make_bundle(1))
    (tmp_path / digest / "model.onnx").write_bytes(logistic_bundle["model.onnx"])
    with pytest.raises(BundleRefused, match="have digest"):
        load_bundle(tmp_path / digest, digest, model=MODEL, transformations=TRANSFORMATIONS)


def test_a_bundle_without_a_model_is_refused(tmp_path, make_bundle, put_bundle) -> None:
    files = make_bundle(1)
    digest = put_bundle(tmp_path, files)
    (tmp_path / digest / "model.txt").unlink()
    with pytest.raises(BundleRefused, match=r"model\.onnx or model\.txt"):
        load_bundle(tmp_path / digest, digest, model=MODEL, transformations=TRANSFORMATIONS)
    assert digest == bundle_digest(files)
