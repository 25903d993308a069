"""Features that move with each other and in time: what each kind of broken computation does to them is seen."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.contracts import from_json, to_json
from mlops_assets.ml.feature_contract import Breach, FeatureContract, breaches, fit_contract, keys_of

NUMBERS = ("view__delay", "view__share", "wind")
KEYS = {"view__delay": "origin", "view__share": "origin"}


def lived(days: int, first: int = 0, seed: int = 0) -> pd.DataFrame:
    """Three keys, a row each quarter of an hour; delay and share follow one wandering trouble of the key's."""
    random = np.random.default_rng(seed)
    parts = []
    for origin in ("EWR", "JFK", "LGA"):
        trouble = np.cumsum(random.normal(size=days * 96)) * 0.3
        trouble -= pd.Series(trouble).rolling(400, min_periods=1).mean().to_numpy()
        noise = random.normal(size=(3, days * 96))
        parts.append(
            pd.DataFrame(
                {
                    "day": [f"2013-02-{first + n // 96 + 1:02d}" for n in range(days * 96)],
                    "at": np.arange(days * 96),
                    "origin": origin,
                    "view__delay": trouble + 0.2 * noise[0],
                    "view__share": trouble + 0.2 * noise[1],
                    "wind": noise[2],
                }
            )
        )
    return pd.concat(parts).sort_values("at", kind="stable", ignore_index=True)


def foreseen(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, and what the others say of them: delay and share of each other, nobody of the wind."""
    values = frame[list(NUMBERS)].to_numpy(np.float64)
    return values, np.column_stack([np.nan_to_num(values[:, 1]), np.nan_to_num(values[:, 0]), np.zeros(len(frame))])


@pytest.fixture(scope="module")
def contract() -> FeatureContract:
    history = lived(20)
    values, expected = foreseen(history)
    return fit_contract(history, expected, NUMBERS, values, KEYS)


def found(contract: FeatureContract, week: pd.DataFrame) -> list[Breach]:
    values, expected = foreseen(week)
    return breaches(contract, week, expected, NUMBERS, values)


def broken(contract: FeatureContract, week: pd.DataFrame) -> set[tuple[str, str]]:
    return {(breach.feature, breach.statistic) for breach in found(contract, week)}


def week() -> pd.DataFrame:
    return lived(7, first=20, seed=9)


def test_a_clean_week_keeps_the_contract(contract: FeatureContract) -> None:
    assert found(contract, week()) == []


def test_a_flipped_sign_turns_the_slope(contract: FeatureContract) -> None:
    flipped = week()
    last = flipped["day"] == flipped["day"].max()
    flipped.loc[last, "view__delay"] *= -1
    assert {("view__delay", "slope"), ("view__share", "slope")} <= broken(contract, flipped)
    (worst, *_) = found(contract, flipped)
    assert worst.excess > 0
    assert "clean" in str(worst)


def test_a_value_that_is_stuck_goes_no_way(contract: FeatureContract) -> None:
    stuck = week()
    last = stuck["day"] == stuck["day"].max()
    stuck.loc[last, "view__delay"] = stuck.loc[last].groupby("origin")["view__delay"].transform("first")
    assert ("view__delay", "pace") in broken(contract, stuck)


def test_a_longer_window_is_slow(contract: FeatureContract) -> None:
    slow = week()
    means = slow.groupby("origin")["view__delay"].rolling(60, min_periods=1).mean().droplevel(0)
    assert ("view__delay", "pace") in broken(contract, slow.assign(view__delay=means))


def test_values_that_went_missing_are_told_and_hide_nothing_else(contract: FeatureContract) -> None:
    gone = week()
    gone.loc[gone["day"] == gone["day"].max(), "view__share"] = np.nan
    assert ("view__share", "missing") in broken(contract, gone)
    assert ("view__share", "pace") not in broken(contract, gone)


def test_a_storm_that_moves_everything_breaks_nothing(contract: FeatureContract) -> None:
    storm = week()
    last = storm["day"] == storm["day"].max()
    storm.loc[last, ["view__delay", "view__share"]] = storm.loc[last, ["view__delay", "view__share"]] * 2.0 + 5
    assert broken(contract, storm) == set()


def test_a_contract_keeps_its_meaning_as_json(contract: FeatureContract) -> None:
    assert from_json(FeatureContract, to_json(contract)) == contract


def test_features_whose_key_nobody_logs_have_no_pace() -> None:
    views = [("origin_delays", "origin", ["late_share"]), ("crew", "captain", ["hours"])]
    assert keys_of(views, ["origin", "carrier"]) == {"origin_delays__late_share": "origin"}


def test_two_days_are_not_held_against_the_ranges_of_three(contract: FeatureContract) -> None:
    two = week()
    two = two[two["day"] >= sorted(two["day"].unique())[-2]]
    two = two.assign(view__delay=-two["view__delay"])
    assert {breach.days for breach in found(contract, two)} == {1}
