"""Keeping tables small: what is needed stays readable to the last row, what is not goes, nobody at work is hurt."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.tables import DeltaTables, TableMissing, Tables

D1, D2 = "2013-01-01", "2013-01-02"
NAME = "flights/datasets/weather"


@pytest.fixture(params=["memory", "delta"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    return MemoryTables() if request.param == "memory" else DeltaTables(tmp_path)


def rows(day: str, *values: float) -> pd.DataFrame:
    return pd.DataFrame({"day": [day] * len(values), "value": np.array(values, dtype="float64")})


def write(tables: Tables, values: range, day: str = D1) -> list[int]:
    """One version for each value."""
    return [tables.replace(NAME, rows(day, value, value + 0.5), [day], {}).version for value in values]


def readable(tables: Tables, versions: list[int]) -> list[int]:
    found = []
    for version in versions:
        try:
            tables.read(NAME, version=version)
        except TableMissing:
            assert not tables.is_whole(NAME, version)
        else:
            assert tables.is_whole(NAME, version)
            found.append(version)
    return found


def test_a_pinned_version_stays_and_the_other_old_ones_go(tables: Tables) -> None:
    versions = write(tables, range(12))
    pinned = [versions[3], versions[7]]
    before = [tables.read(NAME, version=version) for version in (*pinned, versions[-1])]
    assert tables.vacuum(NAME, pinned, older_than_hours=0) > 0
    assert readable(tables, versions) == [*pinned, versions[-1]]
    after = [tables.read(NAME, version=version) for version in (*pinned, versions[-1])]
    for old, new in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(old, new)
    pd.testing.assert_frame_equal(tables.read(NAME), after[-1])


def test_what_became_old_within_the_retention_stays(tables: Tables) -> None:
    versions = write(tables, range(5))
    assert tables.vacuum(NAME, (), older_than_hours=1) == 0
    assert tables.vacuum(NAME, ()) == 0, "the deployment's retention is a week"
    assert readable(tables, versions) == versions


def test_a_second_vacuum_finds_nothing_and_makes_no_version(tables: Tables) -> None:
    write(tables, range(4))
    tables.vacuum(NAME, (), older_than_hours=0)
    version = tables.version(NAME)
    assert tables.vacuum(NAME, (), older_than_hours=0) == 0
    assert tables.compact(NAME) == 0
    assert tables.version(NAME) == version


def test_a_pin_that_was_lost_or_never_was_stands_in_nobodys_way(tables: Tables) -> None:
    versions = write(tables, range(3))
    tables.vacuum(NAME, (), older_than_hours=0)
    more = write(tables, range(5, 8))
    tables.vacuum(NAME, (versions[0], more[0], 999), older_than_hours=0)
    assert readable(tables, [*versions, *more]) == [more[0], more[-1]]
    assert not tables.is_whole(NAME, 999)
    assert not tables.is_whole("nobody/wrote/it", 0)


def test_all_tables_are_named(tables: Tables) -> None:
    assert tables.names() == []
    write(tables, range(1))
    tables.append_once("model/releases/promotions", pd.DataFrame({"event_id": ["a"]}), "event_id")
    assert tables.names() == [NAME, "model/releases/promotions"]


def test_small_files_become_one_and_rows_stay_what_they_are(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    for name in "abcdef":
        tables.append_once("history", pd.DataFrame({"event_id": [name]}), "event_id")
    before = tables.version("history")
    assert tables.compact("history") == 6
    assert len(DeltaTable(tmp_path / "history").file_uris()) == 1
    assert sorted(tables.read("history")["event_id"]) == list("abcdef")
    assert sorted(tables.read("history", version=before)["event_id"]) == list("abcdef")


def test_what_a_dead_writer_left_goes_after_the_retention(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    write(tables, range(2))
    orphan = tmp_path / NAME / f"day={D1}" / "part-00000-dead.parquet"
    orphan.write_bytes(b"half a file")
    assert tables.read(NAME)["value"].tolist() == [1.0, 1.5]
    tables.vacuum(NAME, (), older_than_hours=1)
    assert orphan.exists()
    os.utime(orphan, (time.time() - 7200,) * 2)
    assert tables.vacuum(NAME, (), older_than_hours=1) == 1
    assert not orphan.exists()


@pytest.mark.parametrize("made_by", ["us", "another"])
def test_the_log_that_opens_a_pinned_version_is_never_cut(tmp_path: Path, made_by: str) -> None:
    tables = DeltaTables(tmp_path)
    if made_by == "another":
        write_deltalake(tmp_path / NAME, pa.Table.from_pandas(rows(D1, 0)), partition_by=["day"])
        tables.vacuum(NAME, ())
    (pinned,) = write(tables, range(1))
    write(tables, range(1, 130), D2)
    for entry in (tmp_path / NAME / "_delta_log").glob("*"):
        os.utime(entry, (time.time() - 90 * 86400,) * 2)
    tables.vacuum(NAME, (pinned,), older_than_hours=0)
    DeltaTable(tmp_path / NAME).create_checkpoint()
    DeltaTable(tmp_path / NAME).cleanup_metadata()
    assert tables.read(NAME, D1, D1, version=pinned)["value"].tolist() == [0.0, 0.5]
    assert list((tmp_path / NAME / "_delta_log").glob("*.checkpoint.parquet"))


def test_readers_and_writers_work_on_while_the_table_is_kept_small(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    days = [f"2013-02-{day:02d}" for day in range(1, 8)]
    for day in days:
        tables.replace(NAME, rows(day, 0), [day], {})
    done, errors, seen = threading.Event(), [], set()

    def guarded(work) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    def backfill() -> None:
        mine = DeltaTables(tmp_path)
        for value in range(1, 13):
            for day in days:
                write_deltalake(tmp_path / NAME, pa.Table.from_pandas(rows(day, -1)), mode="append")
                mine.replace(NAME, rows(day, value), [day], {})
        done.set()

    def look() -> None:
        mine = DeltaTables(tmp_path)
        while not done.is_set():
            seen.add(len(mine.read(NAME, days[0], days[-1])) >= len(days))

    def tend() -> None:
        mine = DeltaTables(tmp_path)
        while not done.is_set():
            mine.compact(NAME)
            mine.vacuum(NAME, ())

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (backfill, look, tend)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert seen == {True}
    assert tables.read(NAME)["value"].tolist() == [12.0] * len(days)
