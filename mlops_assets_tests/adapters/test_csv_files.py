"""Raw CSV files: what is counted is what is read."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ArrowInvalid

from mlops_assets.adapters.csv_files import csv_bytes, csv_rows, read_csv


@given(
    rows=st.lists(st.tuples(st.text('ab"\n\r,', max_size=4), st.integers(0, 9)), max_size=6),
    cut=st.booleans(),
)
def test_rows_are_counted_as_they_are_read(rows: list[tuple[str, int]], cut: bool) -> None:
    content = csv_bytes(pd.DataFrame(rows, columns=["name", "number"]).astype({"name": object, "number": "int64"}))
    content = content.rstrip(b"\n") if cut and rows else content
    assert csv_rows(content) == len(read_csv(content)) == len(rows)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n\n3,4\n", b"\na,b\n1,2\n", b"a,b\r\n1,2\r\n", b"a\n1\n\n", b"a,b\n"])
def test_files_by_other_hands_are_counted_as_they_are_read(content: bytes) -> None:
    assert csv_rows(content) == len(read_csv(content))


@pytest.mark.parametrize("content", [b"", b"a,b"])
def test_what_cannot_be_read_cannot_be_counted(content: bytes) -> None:
    for read in (read_csv, csv_rows):
        with pytest.raises(ArrowInvalid):
            read(content)
