"""What cannot be loaded changes nothing for the callers, and is told."""

import msgspec
import numpy as np
import pytest

from mlops_assets.ml.bundles import MODEL_FILE, SIGNATURE_FILE, GoldenRow, ViewInput, decode_signature
from mlops_assets.serving.arms import BundleRefused, load_bundle
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState, write_desired
from mlops_assets.serving.follower import Follower

FACTS = ServedModel(name="arrival_delay", entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)


def versions(rig) -> dict[str, int]:
    return {str(arm): held.version for arm, held in rig.plane.states["arrival_delay"].arms.items()}


def problems(rig) -> str:
    return "; ".join(rig.plane.status("arrival_delay").problems)


def damage(files, **changes):
    """The same files with parts of the signature replaced."""
    signature = msgspec.structs.replace(decode_signature(files[SIGNATURE_FILE]), **changes)
    return {**files, SIGNATURE_FILE: msgspec.json.encode(signature)}


def test_a_champion_that_cannot_be_loaded_leaves_the_last_good_one_answering(rig, make_bundle, flight):
    good = rig.serve(champion=(1, make_bundle(1)))
    golden = (GoldenRow((1.0, None, 2.0, 3.0, 4.0, 5.0), 0.5),)
    rig.serve(champion=(2, damage(make_bundle(2), golden=golden)))
    assert rig.ask(flight())[0]["digest"] == good["champion"]
    assert "champion version 2 is not loaded: golden rows are not reproduced" in problems(rig)
    assert rig.plane.ready()[0] is True
    assert rig.plane.metrics.value("mlops_load_failures_total") == 1


@pytest.mark.parametrize("arm", ["canary", "shadow"])
def test_a_canary_or_shadow_that_cannot_be_loaded_steps_aside(rig, make_bundle, arm):
    rig.serve(share=5000, champion=(1, make_bundle(1)), **{arm: (2, make_bundle(2))})
    rig.serve(share=5000, champion=(1, make_bundle(1)), **{arm: (3, damage(make_bundle(3), golden=()))})
    assert versions(rig) == {"champion": 1}
    assert rig.plane.status("arrival_delay").arm("champion").basis_points == 10_000
    assert f"{arm} version 3 is not loaded: the bundle has no golden rows" in problems(rig)


def test_a_promoted_canary_is_not_loaded_again(rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)), canary=(2, make_bundle(2)))
    before = rig.plane.states["arrival_delay"].arms["canary"].bundle
    rig.serve(champion=(2, make_bundle(2)))
    assert rig.plane.states["arrival_delay"].arms["champion"].bundle is before


def test_a_version_that_asks_for_other_fields_is_refused_beside_the_champion(rig, make_bundle):
    fields = decode_signature(make_bundle(1)[SIGNATURE_FILE]).request_fields
    asks_more = (*fields, msgspec.structs.replace(fields[1], name="tailnum"))
    rig.serve(champion=(1, make_bundle(1)), shadow=(2, damage(make_bundle(2), request_fields=asks_more)))
    assert versions(rig) == {"champion": 1}
    assert "other fields" in problems(rig)


def test_the_follower_reads_the_file_and_tries_again_what_failed(rig, make_bundle, put_bundle):
    follower = Follower(rig.plane, rig.folder / "desired.json", rig.folder / "bundles", retry_s=0)
    digest = put_bundle(rig.folder / "bundles", make_bundle(1))
    place = rig.folder / "bundles" / digest / MODEL_FILE
    whole = place.read_bytes()
    place.write_bytes(whole[:-1])
    entry = DesiredModel(facts=FACTS, arms={"champion": DesiredArm(version=1, digest=digest)})
    write_desired(rig.folder / "desired.json", DesiredState(models=(entry,)))
    follower.look()
    assert versions(rig) == {}
    assert "have digest" in problems(rig)
    assert rig.plane.ready()[0] is False
    place.write_bytes(whole)
    follower.look()
    assert versions(rig) == {"champion": 1}
    assert problems(rig) == ""


def test_a_damaged_desired_state_changes_nothing_and_is_told(rig, make_bundle):
    rig.serve(champion=(1, make_bundle(1)))
    (rig.folder / "desired.json").write_text("{half a fi")
    rig.follower.look()
    assert versions(rig) == {"champion": 1}
    assert "cannot read desired.json" in problems(rig)


def refused(tmp_path, files, digest=None, model="arrival_delay") -> str:
    from mlops_assets.ml.bundles import bundle_digest

    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with pytest.raises(BundleRefused) as error:
        load_bundle(folder, digest or bundle_digest(files), model=model, transformations={})
    return str(error.value)


def test_a_wrong_digest_is_refused_before_anything_is_parsed(tmp_path, make_bundle):
    files = {**make_bundle(1), MODEL_FILE: b"this would crash LightGBM"}
    assert "wanted 000" in refused(tmp_path, files, digest="0" * 64)


def test_a_missing_file_is_refused(tmp_path, make_bundle):
    assert "model.txt" in refused(tmp_path, {SIGNATURE_FILE: make_bundle(1)[SIGNATURE_FILE]})


def test_another_models_bundle_is_refused(tmp_path, make_bundle):
    assert "is of model arrival_delay" in refused(tmp_path, make_bundle(1), model="weather")


def test_a_signature_with_an_unknown_field_is_refused(tmp_path, make_bundle):
    files = {**make_bundle(1), SIGNATURE_FILE: make_bundle(1)[SIGNATURE_FILE].replace(b'"label"', b'"lable"')}
    assert "lable" in refused(tmp_path, files)


def test_an_unknown_transformation_is_refused(tmp_path, make_bundle):
    assert "schedule_features" in refused(tmp_path, make_bundle(1, transformed=True))


def test_a_feature_from_nowhere_is_refused(tmp_path, make_bundle):
    assert "carrier_delays__late_rate" in refused(tmp_path, make_bundle(1, views=()))


def test_a_view_whose_key_nobody_sends_is_refused(tmp_path, make_bundle):
    views = (*decode_signature(make_bundle(1)[SIGNATURE_FILE]).views, ViewInput("aircraft", "tailnum", 0, ("seats",)))
    assert "join key of aircraft" in refused(tmp_path, make_bundle(1, views=views))


def test_one_bit_of_difference_in_a_golden_row_is_refused(tmp_path, make_bundle):
    first, *rest = decode_signature(make_bundle(1)[SIGNATURE_FILE]).golden
    moved = msgspec.structs.replace(first, score=float(np.nextafter(first.score, 1)))
    assert "golden rows are not reproduced" in refused(tmp_path, make_bundle(1, golden=(moved, *rest)))
