"""Digests of rows: of a whole frame and of its days."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.datasets import check
from mlops_assets.ml.digests import content_digest, content_digests
from mlops_assets_tests.ml.made_days import REFERENCES, raw_flights

DAY = "2013-04-02"


def good_rows(count: int) -> pd.DataFrame:
    return check("arrivals", {DAY: raw_flights(count)}, REFERENCES).good


def test_the_digest_knows_rows_and_not_their_layout() -> None:
    frame = good_rows(20)
    digest = content_digest(frame)
    assert content_digest(frame.sample(frac=1, random_state=1)[frame.columns[::-1]]) == digest
    assert content_digest(frame.assign(arr_delay=frame["arr_delay"].astype("float64"))) == digest
    for name, value in {"arr_delay": 21, "landed_at": pd.Timestamp("2013-04-02T19:21:00Z"), "carrier": "UA"}.items():
        changed = frame.copy()
        changed.loc[7, name] = value
        assert content_digest(changed) != digest
    assert content_digest(frame.iloc[:-1]) != digest
    assert content_digest(pd.concat([frame, frame.iloc[:1]])) != digest


def test_the_digest_is_the_same_in_every_release() -> None:
    texts = ["x", None, "nan", "", "ä", "x"] * 50
    instants = pd.to_datetime(["2013-01-01", None, "2013-01-02"] * 100, utc=True)
    frame = pd.DataFrame({"a": texts, "b": [*np.arange(299.0), np.nan], "c": instants, "d": np.arange(300)})
    assert content_digest(frame) == "426446284d28e4ac78e016f9d18c0bc2dc56305eefad260f8c305d0059d7e6f4"


def test_texts_that_look_alike_are_not_the_same() -> None:
    digests = {content_digest(pd.DataFrame({"a": [text, "z"], "b": [0, 0]})) for text in ("", None, "None", "nan", "0")}
    assert len(digests) == 5
    joined = [content_digest(pd.DataFrame({"a": pair, "b": [0, 0]})) for pair in (["ab", "c"], ["a", "bc"])]
    assert joined[0] != joined[1]
    swapped = [content_digest(pd.DataFrame({"a": ["x", "y"], "b": pair})) for pair in (["u", "v"], ["v", "u"])]
    assert swapped[0] != swapped[1]


@pytest.mark.parametrize("seed", range(3))
def test_the_digest_of_a_day_is_that_of_its_rows(seed: int) -> None:
    days = np.random.default_rng(seed).choice(["2013-04-04", "2013-04-02", "2013-04-03"], 40)
    frame = good_rows(40).assign(day=days)
    found = content_digests(frame)
    assert list(found) == sorted(set(days))
    assert found == {day: content_digest(frame[frame["day"] == day]) for day in found}


def test_a_frame_without_rows_has_no_days() -> None:
    assert content_digests(good_rows(3).iloc[:0]) == {}


def test_a_value_of_no_kind_has_no_digest() -> None:
    with pytest.raises(TypeError, match="column b"):
        content_digest(pd.DataFrame({"a": [1, 2], "b": ["x", 2]}))
