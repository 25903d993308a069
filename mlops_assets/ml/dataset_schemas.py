"""A dataset's contract in words, as the asset graph shows it beside its columns.

Here: ``column_schema`` and ``table_promises``, both made from the one declaration. Belongs here: telling a contract.
Does not: declaring it (``ml.dataset_contracts``), applying it (``ml.datasets``).
"""

from dataclasses import dataclass

from mlops_assets.ml.dataset_contracts import Column, Dataset, Unchanged
from mlops_assets.ml.datasets import DATASETS, TOLERATED_ROWS

DTYPES = {"string": "string", "integer": "int64", "number": "float64", "instant": "timestamp[us, UTC]"}
LISTS = {"carriers": "a carrier of the source's list", "airports": "an airport of the source's list"}


@dataclass(frozen=True, kw_only=True)
class ColumnSchema:
    """One column as it is shown."""

    name: str
    type: str
    description: str
    nullable: bool = False
    unique: bool = False
    promises: tuple[str, ...] = ()
    """Unit, range, allowed values, what holds for a day of it."""


QUARANTINE = (
    ColumnSchema(name="day", type="string", description="Day whose landing held the row (ISO date)"),
    ColumnSchema(name="dataset", type="string", description="Dataset whose contract the row breaks"),
    ColumnSchema(
        name="row", type="int64", description="Position of the row in the landed file, from 0, its header not counted"
    ),
    ColumnSchema(name="reason", type="string", description="Every promise it breaks, with the value"),
    ColumnSchema(name="source_row", type="string", description="The row as the source gave it, as JSON"),
)


def column_schema(name: str) -> list[ColumnSchema]:
    """Every column of a dataset, or of ``quarantine``, in the table's order. Raises KeyError for any other name."""
    if name == "quarantine":
        return list(QUARANTINE)
    dataset = DATASETS[name]
    day = "Day on which the row became known (ISO date, New York); the partition"
    partition = [ColumnSchema(name="day", type="string", description=day)] if dataset.daily else []
    return [*partition, *(_shown(dataset, column) for column in dataset.columns)]


def table_promises(name: str) -> list[str]:
    """What holds across the columns and rows of a dataset, or of ``quarantine``."""
    if name == "quarantine":
        return ["day, dataset, row: unique", "a landing that is made again replaces the rows of its day"]
    dataset = DATASETS[name]
    tolerated = f"at most {dataset.max_broken_share:.0%} of the rows {'of a day ' if dataset.daily else ''}"
    return [
        f"{', '.join(dataset.key)}: unique",
        *(f"{promise.name}: {promise.description}" for promise in dataset.promises),
        *([_steady(dataset.unchanged)] if dataset.unchanged else []),
        f"{tolerated}(or {TOLERATED_ROWS}) may break a promise and go to quarantine; more stop it, nothing is written",
    ]


def _steady(limit: Unchanged) -> str:
    return f"{', '.join(limit.columns)}: all the same in at most {limit.max_rows} rows in a row of one airport"


def _shown(dataset: Dataset, column: Column) -> ColumnSchema:
    return ColumnSchema(
        name=column.name,
        type=DTYPES[column.kind],
        description=f"{column.description}{f' ({column.unit})' if column.unit else ''}",
        nullable=column.nullable,
        unique=dataset.key == (column.name,),
        promises=tuple(_promises(dataset, column)),
    )


def _promises(dataset: Dataset, column: Column) -> list[str]:
    told = [f"unit: {column.unit}"] if column.unit else []
    if column.low is not None:
        told.append(f"{column.low:g} to {column.high:g}")
    if column.allowed is not None:
        known = LISTS[column.allowed] if isinstance(column.allowed, str) else f"one of {', '.join(column.allowed)}"
        told.append(known)
    feed = f"a day of one {dataset.feed}"
    if column.max_missing is not None:
        told.append(f"missing in at most {column.max_missing:.0%} of {feed}")
    if column.max_repeat is not None:
        told.append(f"no single value in more than {column.max_repeat:.0%} of {feed}")
    return told
