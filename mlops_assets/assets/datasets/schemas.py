"""Dagster's column schema of a table.

Here: a contract as ``dg.TableSchema``. Belongs here: nothing else. Does not: what a contract says
(``ml.dataset_schemas``, ``feature_repo``).
"""

from collections.abc import Sequence

import dagster as dg

from mlops_assets.ml.dataset_schemas import ColumnSchema, column_schema, table_promises


def contract_schema(name: str) -> dg.TableSchema:
    """A dataset's contract: columns with their constraints, and what holds across columns and rows."""
    columns = [_column(column) for column in column_schema(name)]
    return dg.TableSchema(columns, dg.TableConstraints(other=table_promises(name)))


def schema(columns: Sequence[tuple[str, str, str]]) -> dg.TableSchema:
    """Columns without constraints, from (name, type, description)."""
    return dg.TableSchema([dg.TableColumn(name, kind, description=text) for name, kind, text in columns])


def _column(column: ColumnSchema) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique, other=list(column.promises))
    return dg.TableColumn(column.name, column.type, description=column.description, constraints=constraints)
