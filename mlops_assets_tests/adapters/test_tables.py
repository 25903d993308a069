"""Tables: one contract, kept by the twin and by Delta."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.tables import DeltaTables, TableMismatch, TableMissing, Tables
from mlops_assets.ml.datasets import content_digest

D1, D2, D3, D4 = "2013-01-01", "2013-01-02", "2013-01-03", "2013-01-04"
NAME = "flights/datasets/weather"


@pytest.fixture(params=["memory", "delta"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    return MemoryTables() if request.param == "memory" else DeltaTables(tmp_path)


def rows(day: str, *values: float) -> pd.DataFrame:
    return pd.DataFrame({"day": [day] * len(values), "value": np.array(values, dtype="float64")})


def many(*frames: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def test_a_table_nobody_wrote_is_missing(tables: Tables) -> None:
    with pytest.raises(TableMissing, match="materialize"):
        tables.read(NAME)
    assert tables.version(NAME) is None
    assert tables.days(NAME) == []
    assert tables.commits(NAME) == []


def test_a_write_replaces_exactly_its_days(tables: Tables) -> None:
    tables.replace(NAME, many(rows(D1, 1, 2), rows(D2, 3), rows(D3, 4)), [D1, D2, D3], {})
    tables.replace(NAME, many(rows(D1, 9)), [D1, D2], {})
    assert tables.read(NAME).to_dict("list") == {"day": [D1, D3], "value": [9.0, 4.0]}
    assert tables.days(NAME) == [D1, D3]


def test_the_same_write_twice_leaves_the_same_rows(tables: Tables) -> None:
    for _ in range(2):
        tables.replace(NAME, rows(D1, 1, 2), [D1], {})
    assert tables.read(NAME)["value"].tolist() == [1.0, 2.0]


def test_a_day_without_rows_is_emptied(tables: Tables) -> None:
    tables.replace(NAME, many(rows(D1, 1), rows(D2, 2)), [D1, D2], {})
    tables.replace(NAME, rows(D1), [D1], {})
    assert tables.days(NAME) == [D2]


def test_a_first_write_without_rows_makes_the_table(tables: Tables) -> None:
    tables.replace(NAME, rows(D1), [D1], {})
    assert tables.read(NAME).dtypes.astype(str).to_dict() == {"day": "object", "value": "float64"}
    assert tables.days(NAME) == []


def test_a_row_outside_the_named_days_is_refused_and_nothing_is_written(tables: Tables) -> None:
    tables.replace(NAME, rows(D1, 1), [D1], {})
    with pytest.raises(TableMismatch, match=D2):
        tables.replace(NAME, many(rows(D1, 5), rows(D2, 6)), [D1], {})
    assert tables.read(NAME)["value"].tolist() == [1.0]


def test_a_lost_column_or_another_type_is_refused(tables: Tables) -> None:
    tables.replace(NAME, rows(D1, 1), [D1], {})
    with pytest.raises(TableMismatch, match=r"missing: \['value'\]"):
        tables.replace(NAME, pd.DataFrame({"day": [D1]}), [D1], {})
    with pytest.raises(TableMismatch, match=r"another type: \['value'\]"):
        tables.replace(NAME, rows(D1, 1).assign(value="x"), [D1], {})


def test_a_new_column_is_missing_in_older_rows(tables: Tables) -> None:
    tables.replace(NAME, rows(D1, 1), [D1], {})
    tables.replace(NAME, rows(D2, 2).assign(note="new"), [D2], {})
    frame = tables.read(NAME)
    assert list(frame.columns) == ["day", "value", "note"]
    assert frame["note"].tolist() == [None, "new"]


def test_many_days_are_read_in_the_order_in_which_they_were_written(tables: Tables) -> None:
    days = [(pd.Timestamp(D1) + pd.Timedelta(days=n)).strftime("%Y-%m-%d") for n in range(120)]
    value = np.random.default_rng(1).permutation(120 * 2_000).astype("float64")
    frame = pd.DataFrame({"day": np.repeat(days, 2_000), "value": value, "text": value.astype(str)})
    tables.replace(NAME, frame.iloc[::-1].sort_values("day", kind="stable", ascending=False), days, {})
    tables.replace(NAME, rows(days[7], 3, 1, 2).assign(text="x"), [days[7]], {})
    backwards = frame.iloc[::-1].sort_values("day", kind="stable").reset_index(drop=True)
    found = tables.read(NAME)
    for day in (days[0], days[40], days[-1]):
        here, there = (whole[whole["day"] == day]["value"].tolist() for whole in (found, backwards))
        assert here == there
    assert found["day"].is_monotonic_increasing
    assert found[found["day"] == days[7]]["value"].tolist() == [3.0, 1.0, 2.0]
    assert (
        tables.read(NAME, days[1], days[-2], columns=["value"])["value"].tolist()
        == found["value"][2_000:-2_000].tolist()
    )


def test_an_old_version_stays_readable(tables: Tables) -> None:
    first = tables.replace(NAME, rows(D1, 1), [D1], {})
    second = tables.replace(NAME, rows(D1, 2), [D1], {})
    assert second.version > first.version
    assert tables.version(NAME) == second.version
    assert tables.read(NAME, version=first.version)["value"].tolist() == [1.0]
    assert tables.days(NAME, version=first.version) == [D1]
    with pytest.raises(TableMissing):
        tables.read(NAME, version=99)


def test_the_answer_describes_what_was_written(tables: Tables) -> None:
    answer = tables.replace(NAME, many(rows(D1, 1), rows(D2, 2)), [D2, D1], {})
    assert (answer.table, answer.first_day, answer.last_day, answer.rows) == (NAME, D1, D2, 2)


def test_a_table_without_days_is_named_by_all_its_rows(tables: Tables) -> None:
    frame = pd.DataFrame({"tailnum": ["N1", "N2"]})
    assert tables.replace("aircraft", frame, None, {}).digest == content_digest(frame)


def test_the_answer_names_the_rows_of_every_day_it_wrote(tables: Tables) -> None:
    answer = tables.replace(NAME, many(rows(D3, 3), rows(D1, 1, 2)), [D1, D2, D3], {})
    assert list(answer.day_digests) == [D1, D2, D3]
    for day, digest in answer.day_digests.items():
        assert digest == content_digest(tables.read(NAME, day, day))
    assert answer.day_digests == tables.replace(NAME, many(rows(D1, 2, 1), rows(D3, 3)), [D1, D2, D3], {}).day_digests


def test_a_table_without_days_has_no_digests_of_days(tables: Tables) -> None:
    assert tables.replace("aircraft", pd.DataFrame({"tailnum": ["N1"]}), None, {}).day_digests == {}


def test_a_revision_is_made_from_the_rows_that_the_days_hold(tables: Tables) -> None:
    tables.replace(NAME, many(rows(D1, 1), rows(D2, 2), rows(D3, 3)), [D1, D2, D3], {})
    seen = []

    def make(held: pd.DataFrame) -> pd.DataFrame:
        seen.append(held)
        return held.assign(value=held["value"] + 10)

    answer = tables.revise(NAME, [D1, D3], make, {"dagster_run_id": "r"})
    assert seen[-1].to_dict("list") == {"day": [D1, D3], "value": [1.0, 3.0]}
    assert tables.read(NAME)["value"].tolist() == [11.0, 2.0, 13.0]
    assert (answer.version, answer.rows, list(answer.day_digests)) == (tables.version(NAME), 2, [D1, D3])
    assert tables.commits(NAME, 1)[0]["dagster_run_id"] == "r"


def test_a_revision_makes_a_table_that_is_new(tables: Tables) -> None:
    def make(held: pd.DataFrame) -> pd.DataFrame:
        assert held.empty
        return many(held.reindex(columns=["day", "value"]).astype({"value": "float64"}), rows(D1, 1))

    tables.revise(NAME, [D1], make, {})
    assert tables.read(NAME).to_dict("list") == {"day": [D1], "value": [1.0]}


def test_a_revision_with_rows_of_other_days_is_refused(tables: Tables) -> None:
    tables.replace(NAME, rows(D1, 1), [D1], {})
    with pytest.raises(TableMismatch, match=D2):
        tables.revise(NAME, [D1], lambda held: rows(D2, 1), {})
    assert tables.read(NAME)["value"].tolist() == [1.0]


def test_the_days_that_changed_are_those_whose_rows_differ(tables: Tables) -> None:
    first = tables.replace(NAME, many(rows(D1, 1, 2), rows(D2, 2), rows(D3, 3)), [D1, D2, D3], {}).version
    assert tables.changed_days(NAME, first) == []
    tables.replace(NAME, rows(D1, 2, 1), [D1], {})
    assert tables.changed_days(NAME, first) == [], "the same rows again, in another order"
    tables.replace(NAME, many(rows(D2, 9)), [D2, D3], {})
    tables.replace(NAME, rows(D4, 4), [D4], {})
    assert tables.changed_days(NAME, first) == [D2, D3, D4]
    assert tables.changed_days(NAME, first, D3, D3) == [D3]
    assert tables.changed_days(NAME, first, last_day=D2) == [D2]
    tables.replace(NAME, many(rows(D2, 2), rows(D3, 3)), [D2, D3], {})
    assert tables.changed_days(NAME, first) == [D4], "changed back"


def test_a_column_that_came_later_changes_the_days_in_which_it_holds_something(tables: Tables) -> None:
    first = tables.replace(NAME, many(rows(D1, 1), rows(D2, 2)), [D1, D2], {}).version
    tables.replace(NAME, many(rows(D1, 1), rows(D2, 2)).assign(note=[None, "new"]), [D1, D2], {})
    assert tables.changed_days(NAME, first) == [D2]


def test_days_cannot_be_compared_with_a_version_that_is_not_there(tables: Tables) -> None:
    with pytest.raises(TableMissing):
        tables.changed_days(NAME, 0)
    tables.replace(NAME, rows(D1, 1), [D1], {})
    with pytest.raises(TableMissing, match="99"):
        tables.changed_days(NAME, 99)


def test_a_compaction_changes_no_day(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    tables.replace(NAME, many(rows(D1, 1), rows(D2, 2)), [D1, D2], {})
    append_file(tmp_path / NAME, rows(D1, 3))
    before = tables.version(NAME)
    assert before is not None
    done = DeltaTable(tmp_path / NAME).optimize.compact()
    assert done["numFilesRemoved"] == 2
    assert tables.changed_days(NAME, before) == []


def test_a_version_whose_files_are_gone_is_missing(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    first = tables.replace(NAME, rows(D1, 1), [D1], {}).version
    tables.replace(NAME, rows(D1, 2), [D1], {})
    DeltaTable(tmp_path / NAME).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(TableMissing, match="its files are gone"):
        tables.changed_days(NAME, first)
    with pytest.raises(TableMissing, match="its files are gone"):
        tables.read(NAME, version=first)


def append_file(path: Path, frame: pd.DataFrame) -> None:
    """A second file for a day that has one: what a writer of another make may leave."""
    write_deltalake(path, pa.Table.from_pandas(frame, preserve_index=False), mode="append")


def test_a_commit_says_who_wrote_it(tables: Tables) -> None:
    tables.replace(NAME, rows(D1, 1), [D1], {"dagster_run_id": "r1", "code": "abc"})
    version = tables.replace(NAME, rows(D1, 1), [D1], {"dagster_run_id": "r2"}).version
    newest = tables.commits(NAME, 1)
    assert [(commit["version"], commit["dagster_run_id"]) for commit in newest] == [(version, "r2")]
    assert tables.commits(NAME)[1]["code"] == "abc"


def test_reading_takes_days_and_columns(tables: Tables) -> None:
    tables.replace(NAME, many(rows(D1, 1), rows(D2, 2), rows(D3, 3)), [D1, D2, D3], {})
    assert tables.read(NAME, D2)["value"].tolist() == [2.0, 3.0]
    assert tables.read(NAME, None, D2)["value"].tolist() == [1.0, 2.0]
    assert tables.read(NAME, D2, D2, columns=["value"]).to_dict("list") == {"value": [2.0]}


def test_rows_are_counted_by_day(tables: Tables) -> None:
    assert tables.row_counts(NAME) == {}
    tables.replace(NAME, many(rows(D3, 3), rows(D1, 1, 2)), [D1, D2, D3], {})
    assert tables.row_counts(NAME) == {D1: 2, D3: 1}
    assert tables.row_counts(NAME, D2, D3) == {D3: 1}
    tables.replace(NAME, rows(D1, 1), [D1, D3], {})
    assert tables.row_counts(NAME) == {D1: 1}


def test_rows_come_by_day_and_as_they_were_written(tables: Tables) -> None:
    values = np.random.default_rng(1).permutation(500)
    tables.replace(NAME, many(rows(D2, *values[250:]), rows(D1, *values[:250])), [D1, D2], {})
    tables.replace(NAME, rows(D3, 1), [D3], {})
    tables.replace(NAME, rows(D1, *values[:250]), [D1], {})
    assert tables.read(NAME, D1, D2)["value"].tolist() == values.tolist()


def test_types_survive(tables: Tables) -> None:
    frame = pd.DataFrame(
        {
            "day": [D1, D1],
            "text": ["a", None],
            "whole": [1, 2],
            "share": [0.5, np.nan],
            "at": pd.to_datetime(["2013-01-01T05:00:00.123456Z", None], utc=True),
            "yes": [True, False],
            "perhaps": pd.array([1, None], dtype="Int64"),
        }
    )
    tables.replace(NAME, frame, [D1], {})
    found = tables.read(NAME)
    assert found.dtypes.astype(str).to_dict() == {
        "day": "object", "text": "object", "whole": "int64", "share": "float64", "at": "datetime64[us, UTC]",
        "yes": "bool", "perhaps": "float64",
    }  # fmt: skip
    assert found["text"].tolist() == ["a", None]
    assert found["at"][0] == frame["at"][0]
    assert found["perhaps"][0] == 1.0


def test_an_integer_that_may_be_missing_has_one_type_on_all_days(tables: Tables) -> None:
    for day, values in ((D1, [1, 2]), (D2, [1, None])):
        tables.replace(NAME, pd.DataFrame({"day": day, "value": pd.array(values, dtype="Int64")}), [day], {})
    assert str(tables.read(NAME, D1, D1)["value"].dtype) == "float64"


@pytest.mark.parametrize("values", [[1, "a"], [pd.Timestamp("2013-01-01")], [[1]], [b"x"]])
def test_a_value_of_no_type_that_tables_keep_is_refused(tables: Tables, values: list) -> None:
    with pytest.raises(TypeError, match="value"):
        tables.replace(NAME, pd.DataFrame({"day": D1, "value": values}), [D1], {})
    assert tables.version(NAME) is None


def test_a_table_without_days_is_replaced_whole(tables: Tables) -> None:
    tables.replace("flights/datasets/aircraft", pd.DataFrame({"tailnum": ["N2", "N1"]}), None, {})
    tables.replace("flights/datasets/aircraft", pd.DataFrame({"tailnum": ["N3"]}), None, {})
    assert tables.read("flights/datasets/aircraft")["tailnum"].tolist() == ["N3"]
    assert tables.days("flights/datasets/aircraft") == []


def events(*names: str, day: str = D1) -> pd.DataFrame:
    return pd.DataFrame({"event_id": list(names), "day": day})


def test_a_key_is_appended_once(tables: Tables) -> None:
    assert tables.append_once("history", events("a", "b", day=D2), "event_id") == 2
    assert tables.append_once("history", events("b", "c", "c", day=D1), "event_id") == 1
    assert tables.append_once("history", events("a"), "event_id") == 0
    found = tables.read("history").sort_values("event_id", ignore_index=True)
    assert found.to_dict("list") == {"event_id": ["a", "b", "c"], "day": [D2, D2, D1]}


def test_appending_leaves_the_files_that_are_there(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for name in "abc":
        tables.append_once("history", events(name), "event_id", {"dagster_run_id": name})
    paths = [DeltaTable(tmp_path / "history", version=version).file_uris() for version in (1, 2, 3)]
    assert [len(files) for files in paths] == [1, 2, 3]
    assert set(paths[0]) < set(paths[1]) < set(paths[2])
    assert tables.commits("history", 1)[0]["dagster_run_id"] == "c"


def test_an_append_with_a_column_too_few_is_refused(tables: Tables) -> None:
    tables.append_once("history", events("a"), "event_id")
    with pytest.raises(TableMismatch, match=r"missing: \['day'\]"):
        tables.append_once("history", events("b").drop(columns="day"), "event_id")


def test_appending_nothing_new_makes_no_version(tables: Tables) -> None:
    tables.append_once("history", events("a"), "event_id")
    version = tables.version("history")
    tables.append_once("history", events("a"), "event_id")
    assert tables.version("history") == version


def at_once(count: int, write: Callable[[int], object]) -> None:
    """Call ``write`` from many threads that start together; an error of any is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            write(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_writers_of_one_new_day_at_once_end_with_one_winner(tmp_path: Path) -> None:
    at_once(5, lambda n: DeltaTables(tmp_path).replace(NAME, rows(D1, *[n] * 3), [D1], {}))
    values = DeltaTables(tmp_path).read(NAME)["value"].tolist()
    assert len(values) == 3
    assert len(set(values)) == 1


def test_revisions_of_one_day_at_once_all_count(tmp_path: Path) -> None:
    DeltaTables(tmp_path).replace(NAME, rows(D1, 0), [D1], {})
    more = lambda held: held.assign(value=held["value"] + 1)  # noqa: E731
    at_once(5, lambda n: DeltaTables(tmp_path).revise(NAME, [D1], more, {}))
    assert DeltaTables(tmp_path).read(NAME)["value"].tolist() == [5.0]


def test_writers_of_different_days_at_once_all_win(tmp_path: Path) -> None:
    days = [f"2013-01-{n:02d}" for n in range(1, 6)]
    at_once(5, lambda n: DeltaTables(tmp_path).replace(NAME, rows(days[n], n), [days[n]], {}))
    assert DeltaTables(tmp_path).days(NAME) == days


def test_appending_at_once_loses_and_doubles_nothing(tmp_path: Path) -> None:
    at_once(5, lambda n: DeltaTables(tmp_path).append_once("history", events("same", f"e{n}"), "event_id"))
    found = DeltaTables(tmp_path).read("history")["event_id"].tolist()
    assert sorted(found) == ["e0", "e1", "e2", "e3", "e4", "same"]
