"""One child tries many bundles; a bundle that crashes it is refused, and no other one for it."""

import os
import subprocess

import pytest

from mlops_assets.ml.bundles import MODEL_FILE
from mlops_assets.serving.arms import BundleRefused
from mlops_assets.serving.trial import Trials

MODEL = "arrival_delay"


@pytest.fixture
def trials():
    made = Trials()
    yield made
    made.close()


@pytest.fixture
def children(monkeypatch):
    """Those that were started."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*arguments, **more):
        started.append(real(*arguments, **more))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def crashing(files):
    """LightGBM ends the process on this."""
    return {**files, MODEL_FILE: files[MODEL_FILE].replace(b"left_child=", b"left_child=9999 ", 1)}


@pytest.mark.integration
def test_one_child_tries_many_and_a_crash_blames_the_bundle_that_was_tried(
    tmp_path, make_bundle, put_bundle, trials, children
):
    good = [put_bundle(tmp_path, make_bundle(seed)) for seed in range(1, 6)]
    bad = put_bundle(tmp_path, crashing(make_bundle(1)))
    refused = {}
    for digest in (*good[:3], bad, *good[3:], bad):
        try:
            trials(tmp_path / digest, digest, MODEL)
        except BundleRefused as error:
            refused[digest] = str(error)
    assert list(refused) == [bad]
    assert "trial load: its engine crashed on it (signal" in refused[bad]
    # One for the first, a fresh one that the bad one crashed too, and the same again.
    assert len(children) <= 5


@pytest.mark.integration
def test_a_refusal_is_told_with_its_reason_and_the_child_goes_on(tmp_path, make_bundle, put_bundle, trials, children):
    for wrong in (put_bundle(tmp_path, make_bundle(1, golden=())), put_bundle(tmp_path, make_bundle(2, model="other"))):
        with pytest.raises(BundleRefused, match=r"trial load: the bundle (has no golden rows|is of model other)"):
            trials(tmp_path / wrong, wrong, MODEL)
    right = put_bundle(tmp_path, make_bundle(1))
    trials(tmp_path / right, right, MODEL)
    assert len(children) == 1


@pytest.mark.integration
def test_a_child_that_died_between_two_bundles_is_nobody_s_fault(tmp_path, make_bundle, put_bundle, trials, children):
    digest = put_bundle(tmp_path, make_bundle(1))
    trials(tmp_path / digest, digest, MODEL)
    os.kill(children[0].pid, 9)
    trials(tmp_path / digest, digest, MODEL)
    assert len(children) == 2


@pytest.mark.integration
def test_a_load_that_does_not_end_is_given_up(tmp_path, make_bundle, put_bundle):
    digest = put_bundle(tmp_path, make_bundle(1))
    with pytest.raises(BundleRefused, match="did not end in 0 s"):
        Trials(patience_s=0)(tmp_path / digest, digest, MODEL)


@pytest.mark.integration
def test_a_child_without_work_is_let_go(tmp_path, make_bundle, put_bundle, children):
    trials, digest = Trials(idle_s=0), put_bundle(tmp_path, make_bundle(1))
    trials(tmp_path / digest, digest, MODEL)
    trials.rest()
    assert children[0].returncode is not None
