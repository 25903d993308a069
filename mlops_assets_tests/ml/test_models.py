"""Promises of training: the same bytes, nothing from the future, a bundle that proves itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.bundles import MODEL_FILE, SIGNATURE_FILE, bundle_digest, decode_signature, encode_signature
from mlops_assets.ml.encoding import MissingColumn
from mlops_assets.ml.models import (
    BrokenBundle,
    Scorer,
    TrainedModel,
    WindowTooShort,
    invert_labels,
    split,
    train,
)
from mlops_assets_tests.ml.made_rows import FEATURES, NAMES, TRAINING, day_of, made_rows


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bytes_do_not_depend_on_threads_or_on_the_order_of_rows(
    history: pd.DataFrame, trained: TrainedModel, threads: int
) -> None:
    again = train(history.sample(frac=1, random_state=threads), TRAINING, FEATURES, **NAMES, threads=threads)
    assert again.content == trained.content
    assert again.golden == trained.golden
    pd.testing.assert_frame_equal(again.held_out, trained.held_out)


def test_the_text_does_not_tell_the_number_of_threads(trained: TrainedModel) -> None:
    assert b"num_threads" not in trained.content
    assert "num_threads" in trained.params


def test_another_row_gives_other_bytes(history: pd.DataFrame, trained: TrainedModel) -> None:
    changed = history.assign(delay=np.where(history.index == 5, 99.0, history["delay"]))
    assert train(changed, TRAINING, FEATURES, **NAMES).content != trained.content


def test_the_last_days_are_held_out_and_their_scores_come_from_a_fit_that_never_saw_them(
    history: pd.DataFrame, trained: TrainedModel
) -> None:
    assert (trained.window_first_day, trained.validation_first_day, trained.cutoff_day) == (
        day_of(0),
        day_of(35),
        day_of(41),
    )
    fitted, held_out = split(history, TRAINING.validation_days)
    assert fitted["day"].max() < held_out["day"].min()
    relabelled = history.assign(
        is_late=np.where(history["day"] >= day_of(35), 1 - history["is_late"], history["is_late"])
    )
    one_tree = replace(TRAINING, rounds=1)
    before, after = (train(frame, one_tree, FEATURES, **NAMES) for frame in (history, relabelled))
    np.testing.assert_array_equal(before.held_out["score"], after.held_out["score"])
    assert before.content != after.content


def test_a_window_without_anything_to_fit_or_to_hold_out_is_refused() -> None:
    with pytest.raises(WindowTooShort, match="no rows"):
        train(made_rows().iloc[:0], TRAINING, FEATURES, **NAMES)
    with pytest.raises(WindowTooShort, match="nothing is left to fit"):
        train(made_rows(days=7), TRAINING, FEATURES, **NAMES)


def test_a_missing_feature_is_named(history: pd.DataFrame) -> None:
    with pytest.raises(MissingColumn, match="gust"):
        train(history.drop(columns="gust"), TRAINING, FEATURES, **NAMES)


def test_a_loaded_bundle_scores_every_row_and_reproduces_its_golden_rows(
    history: pd.DataFrame, bundle: dict[str, bytes], trained: TrainedModel
) -> None:
    scorer = Scorer(bundle)
    scores = scorer.score(history)
    assert scores.shape == (len(history),)
    assert ((scores > 0) & (scores < 1)).all()
    assert len(trained.golden) == 10
    assert any(all(value is None for value in row.values) for row in trained.golden)
    assert len(Scorer(bundle).score(history.iloc[:0])) == 0


def test_a_bundle_whose_golden_rows_do_not_fit_its_model_is_broken(
    bundle: dict[str, bytes], history: pd.DataFrame
) -> None:
    other = train(invert_labels(history, "is_late", 0.5, 1), TRAINING, FEATURES, **NAMES)
    with pytest.raises(BrokenBundle):
        Scorer({**bundle, MODEL_FILE: other.content})


def test_equal_models_have_one_digest_and_the_signature_survives_its_bytes(bundle: dict[str, bytes]) -> None:
    signature = decode_signature(bundle[SIGNATURE_FILE])
    assert encode_signature(signature) == bundle[SIGNATURE_FILE]
    assert bundle_digest(dict(bundle)) == bundle_digest(bundle)
    assert signature.features[-1].levels == ("AA", "B6", "UA")


def test_an_unknown_or_missing_category_is_answered_as_missing(scorer: Scorer, history: pd.DataFrame) -> None:
    row = history.iloc[:1]
    unknown, missing = scorer.score(row.assign(carrier="ZZ")), scorer.score(row.assign(carrier=None))
    assert unknown == missing


def test_inverting_labels_turns_the_share_that_was_asked_for_and_leaves_the_rest(history: pd.DataFrame) -> None:
    bad = invert_labels(history, "is_late", 0.3, seed=1)
    assert (bad["is_late"] != history["is_late"]).mean() == pytest.approx(0.3, abs=0.03)
    pd.testing.assert_frame_equal(bad.drop(columns="is_late"), history.drop(columns="is_late"))
    pd.testing.assert_frame_equal(bad, invert_labels(history, "is_late", 0.3, seed=1))
