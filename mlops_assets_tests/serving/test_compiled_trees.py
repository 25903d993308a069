"""Compiled trees say what LightGBM says, to the last bit, or nothing at all."""

import logging

import lightgbm
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.bundles import MODEL_FILE, SIGNATURE_FILE, decode_signature
from mlops_assets.ml.engines import EngineError
from mlops_assets.serving import compiled_trees, engines
from mlops_assets.serving.booster import Booster
from mlops_assets.serving.compiled_trees import CompiledTrees, Unsupported
from mlops_assets_tests.serving.conftest import Rig

WIDTH = 6
KINDS = {
    "plain": {},
    "deep": {"num_leaves": 127, "min_data_in_leaf": 2},
    "stumps": {"num_leaves": 2},
    "categories": {
        "categorical": [0, 3],
        "min_data_per_group": 1,
        "cat_smooth": 0,
        "cat_l2": 0,
        "max_cat_to_onehot": 2,
    },
    "one-hot categories": {"categorical": [0, 3], "max_cat_to_onehot": 500, "min_data_per_group": 1},
    "nothing missing": {"use_missing": False},
    "another slope": {"sigmoid": 0.7},
    "unbalanced": {"is_unbalance": True},
    "bagged": {"bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.5},
    "dart": {"boosting": "dart"},
    "no signal": {"min_gain_to_split": 1e9},
}


def trained(rounds: int = 21, **params: object) -> bytes:
    """A model on columns of which two are categories, a fifth of all values missing."""
    random = np.random.default_rng(5)
    matrix = random.normal(size=(1500, WIDTH))
    matrix[:, [0, 3]] = random.integers(0, 70, size=(1500, 2))
    label = (np.sin(matrix).sum(axis=1) + matrix[:, 0] % 3 > 1).astype(float)
    matrix[random.random(size=matrix.shape) < 0.2] = np.nan
    matrix[:200, 1] = 0.0
    categorical = params.pop("categorical", [])
    every = {"objective": "binary", "num_leaves": 15, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1} | params
    data = lightgbm.Dataset(matrix, label, categorical_feature=categorical, params=every)
    return lightgbm.train(every, data, num_boost_round=rounds).model_to_string().encode()


@pytest.fixture(scope="module")
def texts():
    return {name: trained(**params) for name, params in KINDS.items()}


ODD = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 5e-324, np.inf, -np.inf, 1e308, -1e308, 69.0, 70.0, 1e10, -1.0, -0.5, 2.7]
VALUES = st.one_of(st.floats(-3, 3), st.integers(-2, 75).map(float), st.sampled_from(ODD))


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(VALUES, min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=9))
def test_every_kind_of_model_says_the_same(texts, name, rows):
    matrix = np.array(rows, dtype=np.float64)
    trees = texts[name].count(b"Tree=")
    for used in {1, trees // 2 or 1, trees}:
        booster = Booster(texts[name], features=WIDTH, trees=used)
        compiled = CompiledTrees(texts[name], features=WIDTH, trees=used)
        assert compiled.predict(matrix).tobytes() == booster.predict(matrix).tobytes()


@pytest.mark.parametrize(
    "params",
    [
        {"zero_as_missing": True},
        {"linear_tree": True},
        {"objective": "regression"},
        {"objective": "cross_entropy"},
        {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
    ],
    ids=str,
)
def test_what_is_not_read_is_refused(params):
    text = trained(**params)
    with pytest.raises(Unsupported):
        CompiledTrees(text, features=WIDTH, trees=5)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_text_is_refused_or_harmless(texts, data):
    text = texts[data.draw(st.sampled_from(["plain", "categories"]))]
    kind = data.draw(st.sampled_from(["cut", "number", "line"]))
    at = data.draw(st.integers(0, len(text) - 1))
    if kind == "cut":
        damaged = text[:at]
    elif kind == "number":
        new = data.draw(st.sampled_from([b"9", b"-", b"99999", b"nan", b"inf", b"1e400", b"-7 "]))
        damaged = text[:at] + new + text[at + 1 :]
    else:
        lines = text.split(b"\n")
        del lines[data.draw(st.integers(0, len(lines) - 1))]
        damaged = b"\n".join(lines)
    try:
        made = CompiledTrees(damaged, features=WIDTH, trees=20)
    except EngineError:
        return
    assert made.predict(np.full((3, WIDTH), 1.5)).shape == (3,)


def test_an_infinite_number_of_a_categorical_split_is_damage(texts):
    text = texts["categories"]
    start = text.index(b"threshold=") + len(b"threshold=")
    end = text.index(b"\n", start)
    count = len(text[start:end].split())
    with pytest.raises(EngineError, match="cannot be read"):
        CompiledTrees(text[:start] + b" ".join([b"inf"] * count) + text[end:], features=WIDTH, trees=20)


@pytest.mark.parametrize("matrix", [np.zeros((2, WIDTH - 1)), np.zeros((2, WIDTH), order="F"), np.zeros(WIDTH)])
def test_a_matrix_that_would_be_read_out_of_bounds_is_refused(texts, matrix):
    with pytest.raises(EngineError):
        CompiledTrees(texts["plain"], features=WIDTH, trees=3).predict(matrix)


def test_a_model_that_does_not_fit_its_signature_is_refused(texts):
    for features, trees in ((WIDTH + 1, 3), (WIDTH, 0), (WIDTH, 99)):
        with pytest.raises(EngineError, match="signature"):
            CompiledTrees(texts["plain"], features=features, trees=trees)
    assert CompiledTrees(texts["plain"], features=WIDTH, trees=3).predict(np.zeros((0, WIDTH))).shape == (0,)


def arm(rig: Rig):
    (told,) = rig.plane.status("arrival_delay").arms
    return told.computed_by


def test_the_server_tells_what_computes_a_version(rig, make_bundle, logistic_bundle, flight):
    rig.serve(champion=(1, make_bundle(1)))
    assert arm(rig) == "compiled trees"
    score = rig.ask(flight(1))[0]["score"]
    rig.follower._compiled = False
    rig.serve()
    rig.serve(champion=(1, make_bundle(1)))
    assert arm(rig) == "lightgbm"
    assert rig.ask(flight(1, request_id="again"))[0]["score"] == score
    rig.serve(champion=(2, logistic_bundle))
    assert arm(rig) == "onnx"


def test_a_version_on_which_the_two_differ_is_computed_by_lightgbm(rig, make_bundle, monkeypatch, caplog):
    exact = CompiledTrees.predict
    monkeypatch.setattr(CompiledTrees, "predict", lambda self, matrix: exact(self, matrix) + 1e-16)
    with caplog.at_level(logging.ERROR):
        rig.serve(champion=(1, make_bundle(1)))
    assert arm(rig) == "lightgbm"
    assert "say something else" in caplog.text


@pytest.mark.parametrize("error", [Unsupported("linear trees"), ImportError("no llvmlite")])
def test_a_version_that_cannot_be_compiled_is_computed_by_lightgbm(rig, make_bundle, monkeypatch, caplog, error):
    def fail(*_: object, **__: object):
        raise error

    monkeypatch.setattr(compiled_trees, "CompiledTrees", fail)
    rig.serve(champion=(1, make_bundle(1)))
    assert arm(rig) == "lightgbm"
    assert "LightGBM itself computes this version" in caplog.text


def test_the_rows_that_are_compared_reach_gaps_levels_and_extremes(make_bundle):
    files = make_bundle(1)
    signature = decode_signature(files[SIGNATURE_FILE])
    rows = engines.specimens(signature)
    assert len(rows) == engines.COMPARED_ROWS
    assert {0.0, 1.0, 2.0, 3.0, -1.0} <= set(rows[:, 0])
    assert np.isnan(rows).any(axis=0).all()
    assert (np.abs(rows) > 1e300).any()
    booster = Booster(files[MODEL_FILE], features=len(signature.features), trees=signature.trees)
    leaves = len(np.unique(booster.predict(rows)))
    assert leaves > engines.COMPARED_ROWS / 4
    assert len(engines.specimens(msgspec.structs.replace(signature, golden=()))) == engines.COMPARED_ROWS
