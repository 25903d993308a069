"""Reading columns of one version of a Delta table as Arrow, fast.

Here: ``scan``. Belongs here: how the rows of a version are read. Does not: which version (``adapters.tables``), joins
(``adapters.asof``).

deltalake's own query engine reads a year of four views, 1,460 files, in 0.4 s; its Arrow dataset takes 1.9 s, and
DuckDB's Parquet reader over deltalake's list of files 0.3 s, but that one knows nothing of object stores, deletion
vectors, renamed or added columns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable


class Span(NamedTuple):
    """Instants of a column from first to last, both included; None is open."""

    column: str
    first: Any = None
    last: Any = None


def scan(delta: "DeltaTable", columns: Sequence[str], span: Span) -> "pa.Table":
    """Rows whose instant lies in the span, in no order, in the table's own types; files outside it are not opened.

    Columns that a file does not have are empty for its rows. Raises KeyError for columns that the table has not,
    FileNotFoundError when a file of the version is gone.
    """
    import pyarrow as pa
    from deltalake import QueryBuilder

    whole = pa.schema(delta.schema().to_arrow())
    if unknown := [name for name in (*columns, span.column) if name not in whole.names]:
        raise KeyError(f"{delta.table_uri} has no column {', '.join(unknown)}")
    bounds = [(">=", span.first), ("<=", span.last)]
    conditions = [f'"{span.column}" {sign} {_instant(at)}' for sign, at in bounds if at is not None] or ["true"]
    names = ", ".join(f'"{name}"' for name in columns)
    query = f"SELECT {names} FROM rows WHERE {' AND '.join(conditions)}"
    try:
        found = QueryBuilder().register("rows", delta).execute(query).read_all()
    except Exception as error:
        # The engine knows no finer class.
        if "not found" in str(error):
            raise FileNotFoundError(str(error)) from error
        raise
    return pa.table(found).cast(pa.schema([whole.field(name) for name in columns]))


def _instant(at: Any) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"
