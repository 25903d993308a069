"""Reading columns of one version of a Delta table as Arrow, fast.

Here: ``scan`` of a span of instants, ``query`` by any condition. Belongs here:
how the rows of a version are read. Does not: which version (``adapters.tables``), joins (``adapters.asof``).

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


LEAST_SPARED = 0.1
"""Share of the files that a span must leave out to be worth asking for: comparing every row of the others takes half as
long again as reading them."""


def scan(delta: "DeltaTable", columns: Sequence[str], span: Span, *, exact: bool = True) -> "pa.Table":
    """Rows whose instant lies in the span, in no order, in the table's own types; files outside it are not opened.

    Without ``exact`` there may be other rows too. Columns that a file does not have are empty for its rows. Raises
    KeyError for columns that the table has not, FileNotFoundError when a file of the version is gone.
    """
    require_columns(delta, (*columns, span.column))
    wanted = exact or _spared(delta, span) >= LEAST_SPARED
    bounds = [(">=", span.first), ("<=", span.last)] if wanted else []
    conditions = [f'"{span.column}" {sign} {_instant(at)}' for sign, at in bounds if at is not None]
    return query(delta, columns, conditions)


def query(
    delta: "DeltaTable", columns: Sequence[str], conditions: Sequence[str], *, in_order: bool = False
) -> "pa.Table":
    """The rows of which all conditions (SQL) are true, in the table's own types.

    ``in_order``: the rows of a file as they were written, one file after the other; otherwise in any order. Columns
    that a file does not have are empty for its rows. Raises KeyError for columns that the table has not,
    FileNotFoundError when a file of the version is gone.
    """
    import pyarrow as pa
    from deltalake import QueryBuilder

    require_columns(delta, columns)
    whole = pa.schema(delta.schema().to_arrow())
    names = ", ".join(f'"{name}"' for name in columns)
    engine = QueryBuilder().register("rows", delta)
    try:
        if in_order:
            # Of two threads each takes a part of a large file, and hands its rows over when it has some.
            engine.execute("SET datafusion.execution.target_partitions = 1").read_all()
        found = engine.execute(f"SELECT {names} FROM rows WHERE {' AND '.join(conditions) or 'true'}").read_all()
    except Exception as error:
        # The engine knows no finer class.
        if "not found" in str(error):
            raise FileNotFoundError(str(error)) from error
        raise
    return pa.table(found).cast(pa.schema([whole.field(name) for name in columns]))


def known_columns(delta: "DeltaTable") -> list[str]:
    """The table's columns, in its order."""
    return [field.name for field in delta.schema().fields]


def require_columns(delta: "DeltaTable", columns: Sequence[str]) -> None:
    """Raises KeyError for columns that the table has not."""
    known = set(known_columns(delta))
    if unknown := [name for name in columns if name not in known]:
        raise KeyError(f"{delta.table_uri} has no column {', '.join(unknown)}")


def _spared(delta: "DeltaTable", span: Span) -> float:
    """The share of the files that lie outside the span, by what Delta's log tells of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    actions: Any = pa.table(delta.get_add_actions(flatten=True))
    outside = pa.array([False] * actions.num_rows, pa.bool_())
    for name, bound, beyond in (("max", span.first, pc.less), ("min", span.last, pc.greater)):
        column = f"{name}.{span.column}"
        if bound is not None and column in actions.column_names:
            limit = pa.scalar(bound, pa.timestamp("us", tz="UTC"))
            # A column without statistics in any file has no type either.
            told = pc.cast(beyond(actions[column], limit), pa.bool_())
            outside = pc.or_(outside, pc.fill_null(told, False))
    return pc.mean(outside).as_py() or 0.0


def _instant(at: Any) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"
