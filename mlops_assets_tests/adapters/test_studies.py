"""The store of half-finished searches: what a kill leaves is gone on with, and one search works at a time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from mlops_assets.adapters.studies import SqliteStudies
from mlops_assets_tests.ml.made_rows import made_rows
from mlops_assets_tests.ml.test_parameter_search import MANY, found, in_memory

SEARCH = """
import sys
from pathlib import Path
from mlops_assets.adapters.studies import SqliteStudies
from mlops_assets_tests.ml.made_rows import made_rows
from mlops_assets_tests.ml.test_parameter_search import found
with SqliteStudies(Path(sys.argv[1])).open("made_up") as storage:
    found(storage, made_rows(days=42, rows=60))
"""


def trials_of(storage: optuna.storages.BaseStorage) -> list[optuna.trial.FrozenTrial]:
    return [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]


def losses_in(file: Path) -> int:
    """How many folds have been fitted and told."""
    if not file.exists():
        return 0
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        return sum(len(trial.intermediate_values) for trial in trials_of(storage))
    except Exception:  # the other process is making the tables
        return 0
    finally:
        storage.engine.dispose()


@pytest.mark.integration
def test_a_search_whose_process_is_killed_goes_on_and_ends_as_an_uninterrupted_one(tmp_path) -> None:
    file = tmp_path / "made_up.db"
    process = subprocess.Popen([sys.executable, "-c", SEARCH, str(tmp_path)])
    deadline = time.monotonic() + 120
    while (told := losses_in(file)) < 5:
        assert process.poll() is None, "the search ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert told < 3 * MANY
    rows = made_rows(days=42, rows=60)
    with SqliteStudies(tmp_path).open("made_up") as storage:
        resumed = found(storage, rows)
        trials = trials_of(storage)
    assert resumed == found(in_memory(), rows)
    assert not [trial for trial in trials if trial.state == optuna.trial.TrialState.RUNNING]


def test_a_study_of_one_use_case_is_not_anothers(tmp_path) -> None:
    studies = SqliteStudies(tmp_path)
    for name in ("one", "two"):
        with studies.open(name) as storage:
            optuna.create_study(storage=storage, study_name="search")
    assert sorted(file.name for file in tmp_path.glob("*.db")) == ["one.db", "two.db"]


def test_nothing_in_the_file_is_a_pickle(tmp_path) -> None:
    rows = made_rows(days=42, rows=60)
    with SqliteStudies(tmp_path).open("made_up") as storage:
        found(storage, rows, trials=2)
    content = (tmp_path / "made_up.db").read_bytes()
    assert b"\x80\x04\x95" not in content
    assert b"\x80\x05\x95" not in content
