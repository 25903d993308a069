"""Promises of the search for parameters: time order, the same for the same seed, and a kill changes nothing."""

from dataclasses import replace
from typing import Any

import optuna
import pandas as pd
import pytest

from mlops_assets.adapters.studies import MemoryStudies, SqliteStudies
from mlops_assets.contracts import ParameterStudy, from_json, to_json
from mlops_assets.ml.parameter_search import RANDOM_TRIALS, search
from mlops_assets.ml.time_splits import WindowTooShort, rolling_origins
from mlops_assets_tests.ml.made_rows import FEATURES, TRAINING, day_of, made_rows

FACTS = replace(TRAINING, family="logistic", params={"C": 0.05})
TREES = replace(TRAINING, rounds=5)
MANY = RANDOM_TRIALS + 6


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return made_rows(days=42, rows=60)


def found(storage: Any, rows: pd.DataFrame, trials: int = MANY, facts: Any = FACTS, **options: Any) -> ParameterStudy:
    named = {"folds": 3, "seed": 7, "label": "is_late", "training_set_digest": "d" * 64, **options}
    return search(storage, rows, facts, FEATURES, trials=trials, **named)


def in_memory() -> optuna.storages.InMemoryStorage:
    return optuna.storages.InMemoryStorage()


class Killed(BaseException):
    """A process that ends in the middle of a fit."""


class KillingStorage(optuna.storages.InMemoryStorage):
    """A storage during whose use the process is killed, once, at the n-th intermediate value."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def set_trial_intermediate_value(self, *arguments: Any) -> None:
        super().set_trial_intermediate_value(*arguments)
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture(scope="module")
def study(rows: pd.DataFrame) -> ParameterStudy:
    return found(in_memory(), rows)


def test_the_first_trial_has_the_parameters_of_the_use_case(study) -> None:
    assert study.trials[0].params == {"C": 0.05}
    assert not study.trials[0].pruned
    assert (study.family, study.seed, study.training_set_digest) == ("logistic", 7, "d" * 64)


def test_present_parameters_outside_the_search_space_are_tried_as_they_are(rows) -> None:
    far = replace(FACTS, params={"C": 1e6})
    (trial,) = found(in_memory(), rows, trials=1, facts=far).trials
    near = found(in_memory(), rows, trials=1, facts=replace(FACTS, params={"C": 10.0})).trials[0]
    assert trial.losses != near.losses


def test_what_is_found_is_the_best_complete_trial_and_better_than_the_first(study) -> None:
    complete = [trial for trial in study.trials if not trial.pruned]
    best = min(complete, key=lambda trial: trial.loss)
    assert len(study.trials) == MANY
    assert study.params == ({} if best is complete[0] else best.params)


def test_a_search_that_finds_nothing_better_leaves_the_parameters_alone(rows) -> None:
    assert found(in_memory(), rows, trials=1).params == {}


def test_trials_that_lag_behind_are_given_up_before_their_last_fold(study) -> None:
    pruned = [trial for trial in study.trials if trial.pruned]
    assert pruned
    assert all(len(trial.losses) < 3 for trial in pruned)
    assert all(len(trial.losses) == 3 for trial in study.trials if not trial.pruned)
    assert not any(trial.pruned for trial in study.trials[:RANDOM_TRIALS])


def test_the_same_seed_gives_the_same_study_and_another_seed_another(rows, study) -> None:
    assert found(in_memory(), rows) == study
    assert found(in_memory(), rows, seed=8).trials[1:] != study.trials[1:]


def test_the_study_does_not_depend_on_threads(rows) -> None:
    one, two = (found(in_memory(), rows, trials=3, facts=TREES, threads=threads) for threads in (1, 2))
    assert one == two


@pytest.mark.parametrize("at", [1, 2, 3 * RANDOM_TRIALS + 1])
def test_a_killed_search_goes_on_and_ends_as_it_would_have_ended(rows, study, at: int) -> None:
    storage = KillingStorage(at)
    with pytest.raises(Killed):
        found(storage, rows)
    assert found(storage, rows) == study


def test_a_finished_study_is_told_again_without_another_fit(rows, study) -> None:
    storage = in_memory()
    found(storage, rows)
    before = len(storage.get_all_trials(0))
    assert found(storage, rows) == study
    assert len(storage.get_all_trials(0)) == before


def test_more_trials_go_on_from_those_there_are(rows, study) -> None:
    storage = in_memory()
    found(storage, rows, trials=4)
    assert found(storage, rows) == study


@pytest.mark.parametrize(
    "other", [{"training_set_digest": "e" * 64}, {"folds": 2}, {"facts": replace(FACTS, rounds=9)}]
)
def test_other_rows_folds_or_facts_are_another_study(rows, other: dict[str, Any]) -> None:
    storage = in_memory()
    found(storage, rows, trials=2)
    found(storage, rows, trials=1, **other)
    assert len(storage.get_all_studies()) == 2


def test_folds_are_fitted_on_earlier_days_only(rows, study) -> None:
    assert study.fold_first_days == (day_of(21), day_of(28), day_of(35))
    for before, inside in rolling_origins(rows, 3, 7):
        assert before["day"].max() < inside["day"].min()
        assert inside["day"].nunique() == 7


def test_a_window_without_room_for_a_fold_is_refused(rows) -> None:
    with pytest.raises(WindowTooShort, match="7 days"):
        found(in_memory(), rows[rows["day"] < day_of(10)])


def test_a_study_survives_its_json(study) -> None:
    assert from_json(ParameterStudy, to_json(study)) == study


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_storage_keeps_a_study_between_two_processes(kind: str, rows, study, tmp_path) -> None:
    studies = MemoryStudies() if kind == "memory" else SqliteStudies(tmp_path)
    with studies.open("made_up") as storage:
        found(storage, rows, trials=RANDOM_TRIALS + 1)
    again = studies if kind == "memory" else SqliteStudies(tmp_path)
    with again.open("made_up") as storage:
        assert found(storage, rows) == study
