"""Two processes write one table at once: one winner or another try, never a row lost or doubled."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_assets.adapters.tables import DeltaTables
from mlops_assets_tests.adapters import writers
from mlops_assets_tests.adapters.writers import NAME, ROUNDS, rows

pytestmark = pytest.mark.integration


def at_once(root: Path, work: Callable[..., None], count: int = 2) -> None:
    """The work in so many processes that begin together; an error of any is one here."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([writers.__name__])
    start = context.Barrier(count)
    processes = [context.Process(target=work, args=(root, start, number)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * count


def test_writers_of_one_day_leave_the_rows_of_one_of_them(tmp_path: Path) -> None:
    at_once(tmp_path, writers.replace_one_day, count=3)
    tables = DeltaTables(tmp_path)
    versions = [int(commit["version"]) for commit in tables.commits(NAME)]
    assert len(versions) == 3 * ROUNDS + 1, "the one by which the table was made, and every write"
    for version in versions[:-1]:
        values = tables.read(NAME, version=version)["value"].tolist()
        assert len(values) == 3
        assert len(set(values)) == 1
    last = tables.read(NAME)["value"].iloc[0]
    assert last in {writer * 100 + ROUNDS - 1 for writer in range(3)}, "nobody's earlier write came back"


def test_writers_of_neighbouring_days_all_keep_their_rows(tmp_path: Path) -> None:
    at_once(tmp_path, writers.replace_own_days)
    found = DeltaTables(tmp_path).read(NAME)
    assert found.groupby("day").size().to_dict() == {f"2013-01-{day + 1:02d}": 2 for day in range(2 * ROUNDS)}
    assert sorted(found["value"]) == sorted([float(w) for w in (0, 1)] * ROUNDS + [float(n) for n in range(ROUNDS)] * 2)


def test_makers_of_one_table_both_find_their_rows_in_it(tmp_path: Path) -> None:
    at_once(tmp_path, writers.make_the_table)
    for number in range(ROUNDS):
        found = DeltaTables(tmp_path).read(f"{NAME}_{number}")
        assert found.to_dict("list") == {"day": ["2013-01-01", "2013-01-02"], "value": [number, number]}


def test_a_key_that_both_append_is_there_once(tmp_path: Path) -> None:
    at_once(tmp_path, writers.append)
    found = sorted(DeltaTables(tmp_path).read("history")["event_id"])
    assert found == sorted(f"{who} {number}" for who in ("both", "0", "1") for number in range(ROUNDS))


def test_no_revision_is_built_on_rows_that_another_has_replaced(tmp_path: Path) -> None:
    DeltaTables(tmp_path).replace(NAME, rows("2013-01-01", 0), ["2013-01-01"], {})
    at_once(tmp_path, writers.count_up, count=3)
    assert DeltaTables(tmp_path).read(NAME)["value"].tolist() == [3.0 * ROUNDS]
