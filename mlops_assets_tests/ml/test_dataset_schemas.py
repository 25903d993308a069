"""The contract as it is shown: every fact of the declaration, once."""

import pytest

from mlops_assets.ml.dataset_contracts import Column
from mlops_assets.ml.dataset_schemas import column_schema, table_promises
from mlops_assets.ml.datasets import DATASETS, check
from mlops_assets_tests.ml.made_days import REFERENCES, raw_flight, raw_weather

DAY = "2013-04-02"
COLUMNS = [(name, column) for name, dataset in DATASETS.items() for column in dataset.columns]


@pytest.mark.parametrize("name", [*DATASETS, "quarantine"])
def test_every_column_has_a_type_and_a_description(name: str) -> None:
    assert all(column.type and column.description for column in column_schema(name))


@pytest.mark.parametrize("name", ["flights", "arrivals", "weather"])
def test_the_columns_shown_are_those_of_the_table(name: str) -> None:
    raw = raw_weather() if name == "weather" else raw_flight()
    checked = check(name, {DAY: raw}, REFERENCES)
    assert [column.name for column in column_schema(name)] == list(checked.good.columns)
    assert [column.name for column in column_schema("quarantine")] == list(checked.quarantined.columns)


@pytest.mark.parametrize(("name", "column"), COLUMNS, ids=[f"{name}.{column.name}" for name, column in COLUMNS])
def test_what_is_declared_of_a_column_is_shown(name: str, column: Column) -> None:
    (shown,) = [shown for shown in column_schema(name) if shown.name == column.name]
    text = "; ".join(shown.promises)
    assert shown.nullable == column.nullable
    assert shown.unique == (DATASETS[name].key == (column.name,))
    assert (f"unit: {column.unit}" in text) == (column.unit is not None)
    assert f"{column.low:g} to {column.high:g}" in text if column.low is not None else " to " not in text, text
    assert ("of the source's list" in text or "one of EWR, JFK, LGA" in text) == (column.allowed is not None)
    assert ("missing in at most" in text) == (column.max_missing is not None)
    assert ("no single value" in text) == (column.max_repeat is not None)


@pytest.mark.parametrize("name", DATASETS)
def test_keys_invariants_and_tolerance_are_shown(name: str) -> None:
    told = table_promises(name)
    assert told[0] == f"{', '.join(DATASETS[name].key)}: unique"
    promises = [promise.name for promise in DATASETS[name].promises]
    unchanged = [", ".join(DATASETS[name].unchanged.columns)] if DATASETS[name].unchanged else []
    assert [line.split(":")[0] for line in told[1:-1]] == promises + unchanged
    assert "at most 5% of the rows" in told[-1]


def test_a_dataset_nobody_declared_has_no_schema() -> None:
    with pytest.raises(KeyError, match="tickets"):
        column_schema("tickets")
