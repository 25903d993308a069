"""Reading a version of a Delta table: the rows of a span to the microsecond, whatever its files are like."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake

from mlops_assets.adapters.delta_scan import Span, scan
from mlops_assets.adapters.tables import DeltaTables, TableMissing

NOON = pd.Timestamp("2013-04-01T12:00Z")
LATER = NOON + pd.Timedelta(microseconds=500)


@pytest.fixture
def table(tmp_path: Path) -> DeltaTable:
    """Two versions: the second has a column and a row more."""
    path = tmp_path / "a table"
    instants = pa.array([NOON, LATER], pa.timestamp("us", tz="UTC"))
    write_deltalake(path, pa.table({"key": ["a", "b"], "at": instants}))
    write_deltalake(
        path, pa.table({"key": ["c"], "at": instants[:1], "value": [1.5]}), mode="append", schema_mode="merge"
    )
    return DeltaTable(path)


def found(table: DeltaTable, *bounds: pd.Timestamp | None) -> list[str]:
    return sorted(scan(table, ["key"], Span("at", *bounds))["key"].to_pylist())


def test_a_span_includes_both_its_ends_to_the_microsecond(table: DeltaTable) -> None:
    assert found(table) == ["a", "b", "c"]
    assert found(table, LATER) == ["b"]
    assert found(table, LATER + pd.Timedelta(microseconds=1)) == []
    assert found(table, None, NOON) == ["a", "c"]
    assert found(table, NOON, LATER) == ["a", "b", "c"]


def test_a_column_that_a_file_does_not_have_is_empty_for_its_rows(table: DeltaTable) -> None:
    rows = scan(table, ["key", "value", "at"], Span("at"))
    assert rows.schema == pa.schema([("key", pa.string()), ("value", pa.float64()), ("at", pa.timestamp("us", "UTC"))])
    assert sorted(zip(rows["key"].to_pylist(), rows["value"].to_pylist(), strict=True)) == [
        ("a", None), ("b", None), ("c", 1.5),
    ]  # fmt: skip


def test_an_earlier_version_is_read_as_it_was(table: DeltaTable) -> None:
    assert found(DeltaTable(table.table_uri, version=0)) == ["a", "b"]


def test_a_table_that_only_deltas_own_reader_knows_is_read(table: DeltaTable) -> None:
    table.alter.add_feature(TableFeatures.DeletionVectors, allow_protocol_versions_increase=True)
    assert found(DeltaTable(table.table_uri)) == ["a", "b", "c"]


def test_an_unknown_column_is_named(table: DeltaTable) -> None:
    with pytest.raises(KeyError, match="created"):
        scan(table, ["key", "created"], Span("at"))


def test_a_version_whose_files_are_gone_is_missing(table: DeltaTable) -> None:
    root = Path(table.table_uri.removeprefix("file://").replace("%20", " "))
    for file in root.glob("*.parquet"):
        file.unlink()
    with pytest.raises(FileNotFoundError):
        scan(table, ["key"], Span("at"))
    with pytest.raises(TableMissing, match="files are gone"):
        DeltaTables(root.parent).read_arrow("a table", None, ["key"], Span("at"))
