"""The rows divided: by value, by steps, at a threshold; small parts are left out, missing values belong nowhere."""

import numpy as np
import pandas as pd

from mlops_assets.contracts import Slice
from mlops_assets.ml.slices import SMALLEST_SLICE, differences, divide, measures

FRAME = pd.DataFrame(
    {
        "day": [f"2013-01-{1 + n % 10:02}" for n in range(1000)],
        "carrier": ["AA"] * 600 + ["UA"] * 301 + ["YV"] * (SMALLEST_SLICE - 1),
        "minute": [60 * (5 + n % 3) + 59 for n in range(1000)],
        "share": [np.nan] * 200 + [0.5] * 300 + [0.49] * 500,
    }
)


def sizes(*slices: Slice) -> dict[str, int]:
    return {name: len(rows) for name, rows in divide(FRAME, slices).items()}


def test_every_value_with_enough_rows_is_a_slice() -> None:
    assert sizes(Slice(name="carrier", column="carrier")) == {"carrier=AA": 600, "carrier=UA": 301}


def test_numbers_are_taken_together_in_steps_and_in_order() -> None:
    found = sizes(Slice(name="hour", column="minute", width=60))
    assert list(found) == ["hour=5", "hour=6", "hour=7"]
    assert sum(found.values()) == 1000


def test_a_threshold_makes_two_and_missing_belongs_to_neither() -> None:
    assert sizes(Slice(name="storm", column="share", at_least=0.5)) == {"storm=no": 500, "storm=yes": 300}


def test_positions_are_those_of_the_frame_whatever_its_index() -> None:
    moved = FRAME.set_axis(range(5000, 6000))
    parts = divide(moved, [Slice(name="carrier", column="carrier")])
    assert (moved.iloc[parts["carrier=UA"]]["carrier"] == "UA").all()


def test_a_slice_with_one_label_alone_has_no_auc() -> None:
    labels, scores = np.repeat([1.0, 0.0], [600, 400]), np.linspace(0, 1, 1000)
    told = measures(divide(FRAME, [Slice(name="carrier", column="carrier")]), scores, labels)
    assert "auc" not in told["carrier=AA"]
    assert all(np.isfinite(list(values.values())).all() for values in told.values())


def test_a_slice_is_measured_and_compared_on_its_own_rows() -> None:
    parts = divide(FRAME, [Slice(name="carrier", column="carrier")])
    labels = np.tile([1.0, 0.0], 500)
    scores = np.where(FRAME["carrier"] == "UA", 1 - labels, labels) * 0.8 + 0.1
    told = measures(parts, scores, labels)
    assert told["carrier=AA"]["auc"] == 1.0
    assert told["carrier=UA"]["auc"] == 0.0
    losses = np.where(FRAME["carrier"] == "UA", 1.0, 0.0)
    keep = (FRAME["day"] > "2013-01-05").to_numpy()
    beside = differences(parts, FRAME["day"].to_numpy(), losses, np.zeros(1000), keep)
    assert (beside["carrier=UA"].mean, beside["carrier=UA"].days) == (1.0, 5)
    assert beside["carrier=AA"].mean == 0.0
