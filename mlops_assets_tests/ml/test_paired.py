"""The paired evidence: live, share by share, and replayed."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.ml.paired import compare_arms, compare_replayed, in_blocks, in_words, is_too_little, replayable
from mlops_assets_tests.ml.made_rows import day_of

FACTS = {"candidate": "candidate", "champion": "champion", "label": "late", "margin": 0.005}


def paired_rows(days: int, shift: float, rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(6)
    champion = random.beta(2, 6, days * rows)
    label = (random.random(days * rows) < champion).astype(int)
    day = np.repeat([day_of(d) for d in range(days)], rows)
    return pd.DataFrame({"day": day, "champion": champion, "candidate": champion + shift, "late": label})


def test_rows_that_both_scored_tell_how_much_worse_a_candidate_is() -> None:
    found = compare_arms(paired_rows(3, 0.2), **FACTS)
    assert found.difference.mean == pytest.approx(0.04, abs=0.01)
    assert found.full_days == 3
    assert found.evidence.rejects(0.05)
    assert found.numbers()["rows"] == 1200


def test_one_day_has_no_interval_and_its_numbers_stay_json() -> None:
    found = compare_arms(paired_rows(1, 0.0), **FACTS)
    assert (found.numbers()["low"], found.numbers()["high"]) == (None, None)
    assert math.isinf(found.difference.high)
    empty = compare_arms(paired_rows(1, 0.0).iloc[:0], **FACTS)
    assert empty.full_days == 0


def test_evidence_runs_on_through_the_shares_and_only_later_days_count_for_the_present_one() -> None:
    rows = paired_rows(5, 0.2)
    whole, later = compare_arms(rows, **FACTS), compare_arms(rows, since=day_of(2), **FACTS)
    assert (whole.step_days, later.step_days, later.full_days) == (5, 2, 5)
    assert later.evidence == whole.evidence
    assert compare_arms(rows, since=day_of(4), **FACTS).step_days == 0


def test_few_rows_a_day_are_taken_together_until_they_fill_one() -> None:
    rows = paired_rows(9, 0.2, rows=40)
    assert compare_arms(rows, **FACTS).full_days == 0
    found = compare_replayed(rows, **FACTS)
    assert (found.full_days, found.difference.days) == (3, 3)
    assert in_words(found).startswith("replayed 360 logged rows of 9 days for want of traffic: Brier ")


@given(st.lists(st.integers(1, 150), min_size=1, max_size=12))
def test_a_block_is_whole_days_in_a_row_and_full_unless_it_is_the_last(counts: list[int]) -> None:
    days = np.repeat([day_of(n) for n in range(len(counts))], counts)
    blocks = in_blocks(days)
    names, sizes = np.unique(blocks, return_counts=True)
    assert (sizes[:-1] >= 100).all()
    assert names[-1] == days[-1]
    assert all(len(set(blocks[days == day])) == 1 for day in set(days))
    assert list(blocks) == sorted(blocks)


def test_nothing_that_was_known_at_the_training_is_replayed() -> None:
    rows = pd.DataFrame(
        {
            "flight": ["known", "asked before", "after", "another champion's"],
            "asked_day": [day_of(2), day_of(2), day_of(3), day_of(3)],
            "day": [day_of(2), day_of(3), day_of(3), day_of(3)],
            "champion_version": [1, 1, 1, 2],
        }
    )
    assert list(replayable(rows, day_of(2), 1)["flight"]) == ["asked before", "after"]


@pytest.mark.parametrize(
    ("by_day", "little"),
    [([30, 40, 20], True), ([900, 40, 30], True), ([900, 900, 30], False), ([900, 30], False), ([0, 0, 0], True)],
)
def test_little_traffic_is_told_from_a_candidate_that_does_not_score(by_day: list[int], little: bool) -> None:
    assert is_too_little(by_day) is little
