"""Promises of LightGBM's family that the others cannot make."""

import lightgbm
import numpy as np

from mlops_assets.ml.boosted_trees import canonical_text
from mlops_assets.ml.models import TrainedModel


def test_a_missing_category_goes_where_a_level_that_no_split_names_goes(trained: TrainedModel) -> None:
    booster = lightgbm.Booster(model_str=trained.content.decode())
    known = np.array([[0.3, 0.1, 0.5, code] for code in range(len(trained.features[-1].levels))])
    unseen, missing = known.copy(), known.copy()
    unseen[:, 3], missing[:, 3] = 999, np.nan
    np.testing.assert_array_equal(booster.predict(unseen), booster.predict(missing))


def test_the_text_forgets_the_machines_threads_and_nothing_else() -> None:
    text = "tree\n[num_threads: 2]\n[seed: 3]\n"
    assert canonical_text(text) == b"tree\n[seed: 3]\n"
