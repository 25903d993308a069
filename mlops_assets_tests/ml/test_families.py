"""What every model family promises, whatever it is made of: one suite, every family, offline and in the server."""

from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import SIGNATURE_FILE, ModelFeature, bundle_files, decode_signature, encode_signature
from mlops_assets.ml.calibration import METHODS
from mlops_assets.ml.calibration import apply as calibrate
from mlops_assets.ml.engines import EngineError
from mlops_assets.ml.families import FAMILIES, UnknownFamily, family_of
from mlops_assets.ml.matrices import matrix
from mlops_assets.ml.models import BrokenBundle, Scorer, TrainedModel, make_bundle, train
from mlops_assets.serving.engines import load_engine
from mlops_assets_tests.ml.made_rows import FEATURES, NAMES, TRAINING, made_rows

PARAMS = {"lightgbm": TRAINING.params, "logistic": {"C": 0.1}}
EMPTY = {"feature_service": "v1", "feature_service_digest": "0" * 64}
NOTHING = {"request_fields": (), "views": (), "transformations": ()}


def facts(family: str, **changes: object) -> Training:
    return replace(TRAINING, family=family, params=PARAMS[family], **changes)


def bundle_of(trained: TrainedModel) -> dict[str, bytes]:
    return make_bundle(trained, model="made_up", **NAMES, **EMPTY, **NOTHING)


def served(bundle: dict[str, bytes]):
    """The bundle's engine as the server loads it."""
    signature = decode_signature(bundle[SIGNATURE_FILE])
    engine, _ = load_engine(signature, bundle[signature.model_file])
    return engine


def log_odds(scores: np.ndarray) -> np.ndarray:
    return np.log(scores) - np.log1p(-scores)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Training rows in which a carrier is missing now and then, and one carrier is rare."""
    frame = made_rows(days=42)
    carrier = frame["carrier"].astype(object).mask(frame.index % 11 == 0, None)
    return frame.assign(carrier=carrier.mask(frame.index % 97 == 1, "HA"))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fitted(family: str, rows: pd.DataFrame) -> TrainedModel:
    return train(rows, facts(family), FEATURES, **NAMES)


@pytest.fixture(scope="module")
def files(fitted: TrainedModel) -> dict[str, bytes]:
    return bundle_of(fitted)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bytes_do_not_depend_on_threads_or_on_the_order_of_rows(family, rows, fitted, files, threads) -> None:
    shuffled = rows.sample(frac=1, random_state=threads)
    again = train(shuffled, facts(family), FEATURES, **NAMES, threads=threads)
    assert bundle_of(again) == files
    assert again.validation_log_loss == fitted.validation_log_loss
    pd.testing.assert_frame_equal(again.held_out, fitted.held_out)


def test_another_row_gives_another_model(family, rows, fitted) -> None:
    changed = rows.assign(delay=np.where(rows.index == 5, 99.0, rows["delay"]))
    assert train(changed, facts(family), FEATURES, **NAMES).content != fitted.content


def test_held_out_scores_come_from_a_fit_that_never_saw_those_rows(family, rows, fitted) -> None:
    last = rows["day"] >= fitted.validation_first_day
    relabelled = rows.assign(is_late=np.where(last, 1 - rows["is_late"], rows["is_late"]))
    one_step = facts(family, rounds=1)
    before, after = (train(frame, one_step, FEATURES, **NAMES) for frame in (rows, relabelled))
    np.testing.assert_array_equal(before.held_out["score"], after.held_out["score"])
    assert before.content != after.content


def test_the_signature_names_the_engine_and_the_bundle_holds_its_file_and_nothing_else(family, files) -> None:
    signature = decode_signature(files[SIGNATURE_FILE])
    assert signature.engine == family_of(family).engine
    assert set(files) == set(bundle_files(files[SIGNATURE_FILE]))
    assert signature.calibrator.method == "identity"


def test_offline_and_server_give_the_same_scores_to_the_last_bit_alone_and_together(rows, files) -> None:
    scorer, engine = Scorer(files), served(files)
    values = matrix(rows.iloc[:300], scorer.signature.features)
    together = scorer.score(rows.iloc[:300])
    assert engine.predict(values).tobytes() == together.tobytes()
    assert np.concatenate([engine.predict(values[i : i + 1]) for i in range(300)]).tobytes() == together.tobytes()
    assert engine.predict(values[:0]).shape == (0,)


def test_golden_rows_are_reproduced_and_one_of_them_is_all_missing(fitted, files) -> None:
    golden = [[np.nan if v is None else v for v in row.values] for row in fitted.golden]
    assert list(served(files).predict(np.array(golden))) == [row.score for row in fitted.golden]
    assert np.isnan(golden).all(axis=1).any()
    assert len(golden) == 10


def test_golden_rows_of_another_model_are_refused(family, rows, files) -> None:
    other = bundle_of(train(rows.assign(is_late=1 - rows["is_late"]), facts(family), FEATURES, **NAMES))
    with pytest.raises(BrokenBundle):
        Scorer({**files, SIGNATURE_FILE: other[SIGNATURE_FILE]})


def test_every_missing_value_gets_a_probability(rows, files) -> None:
    scorer = Scorer(files)
    for name in (feature.name for feature in FEATURES):
        scores = scorer.score(rows.iloc[:50].assign(**{name: None if name == "carrier" else np.nan}))
        assert ((scores > 0) & (scores < 1)).all(), name


def test_an_unknown_category_is_answered_as_a_missing_one(rows, files) -> None:
    scorer, some = Scorer(files), rows.iloc[:200]
    unknown, missing = scorer.score(some.assign(carrier="ZZ")), scorer.score(some.assign(carrier=None))
    assert unknown.tobytes() == missing.tobytes()
    assert "ZZ" not in scorer.signature.features[-1].levels


def test_contributions_sum_to_the_margin_offline_and_in_the_server(rows, files) -> None:
    scorer, engine, some = Scorer(files), served(files), rows.iloc[:200]
    offline = scorer.contributions(some)
    assert offline.shape == (200, len(FEATURES) + 1)
    np.testing.assert_allclose(offline.sum(axis=1), log_odds(scorer.score(some)), rtol=0, atol=1e-9)
    in_server = engine.contributions(matrix(some, scorer.signature.features))
    assert in_server.tobytes() == offline.tobytes()
    assert engine.contributions(np.empty((0, len(FEATURES)))).shape == (0, len(FEATURES) + 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibrator_travels_in_the_signature_and_is_applied_everywhere_alike(family, rows, method) -> None:
    trained = train(rows, facts(family, calibration=method), FEATURES, **NAMES)
    files = bundle_of(trained)
    scorer, engine, some = Scorer(files), served(files), rows.iloc[:200]
    calibrator = scorer.signature.calibrator
    values = matrix(some, scorer.signature.features)
    margins = engine.contributions(values).sum(axis=1)
    assert calibrator.method == method
    np.testing.assert_allclose(calibrate(calibrator, 1 / (1 + np.exp(-margins))), scorer.score(some), atol=1e-9)
    assert engine.predict(values).tobytes() == scorer.score(some).tobytes()
    assert np.concatenate([engine.predict(v[None]) for v in values]).tobytes() == scorer.score(some).tobytes()
    if method != "identity":
        assert calibrator.rows > len(trained.held_out)
        assert calibrator.first_day < trained.validation_first_day


@pytest.mark.parametrize("wrong", [np.zeros(4), np.zeros((2, 3)), np.zeros((2, 4), dtype=np.float32)])
def test_a_matrix_of_another_shape_or_type_is_refused_by_the_server(files, wrong) -> None:
    with pytest.raises(EngineError, match="matrix must"):
        served(files).predict(wrong)


@settings(max_examples=40, deadline=None)
@given(
    values=shapes.arrays(
        np.float64, (5, 4), elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6), st.integers(0, 5).map(float))
    )
)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_scores_the_same_whatever_stands_beside_it(small_engines, name, values) -> None:
    engine = small_engines[name]
    together = engine.predict(np.ascontiguousarray(values))
    assert np.isfinite(together).all()
    assert ((together >= 0) & (together <= 1)).all()
    assert together.tobytes() == np.concatenate([engine.predict(values[i : i + 1]) for i in range(5)]).tobytes()


@pytest.fixture(scope="module")
def small_engines(rows: pd.DataFrame) -> dict[str, object]:
    return {name: served(bundle_of(train(rows, facts(name), FEATURES, **NAMES))) for name in FAMILIES}


def test_a_family_that_nobody_knows_is_refused_by_name(rows) -> None:
    with pytest.raises(UnknownFamily, match="'prophet'.*lightgbm, logistic"):
        train(rows, replace(TRAINING, family="prophet"), FEATURES, **NAMES)


def test_a_signature_from_before_there_were_engines_is_one_of_trees(files) -> None:
    told = msgspec.json.decode(files[SIGNATURE_FILE])
    old = {name: value for name, value in told.items() if name not in ("engine", "calibrator")}
    signature = decode_signature(msgspec.json.encode(old))
    assert (signature.engine, signature.model_file, signature.calibrator.method) == (
        "lightgbm",
        "model.txt",
        "identity",
    )


def test_a_search_begins_at_parameters_that_every_family_knows() -> None:
    for name in FAMILIES:
        assert family_of(name).space.keys() <= family_of(name).defaults.keys()


def test_a_signature_survives_its_bytes(files) -> None:
    assert encode_signature(decode_signature(files[SIGNATURE_FILE])) == files[SIGNATURE_FILE]


def test_a_feature_without_a_known_level_is_no_obstacle(family, rows) -> None:
    empty = (*FEATURES, ModelFeature(name="gate", kind="category"))
    files = bundle_of(train(rows.assign(gate=None), facts(family), empty, **NAMES))
    assert np.isfinite(Scorer(files).score(rows.iloc[:5].assign(gate="B12"))).all()
