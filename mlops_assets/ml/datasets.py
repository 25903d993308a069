"""Applying a dataset's contract: good rows on one side, broken ones with their reason on the other.

Here: ``check`` and the engine (pandera) behind it.
Belongs here: how a promise is tested and how a breach is told. Does not: the promises themselves
(``ml.dataset_contracts``, ``ml.static_contracts``), promises of a whole day (``ml.feeds``), telling them
(``ml.dataset_schemas``), storing either side (``adapters.tables``), naming rows by their content (``ml.digests``).

A row that breaks a promise is quarantined; a feed that breaks it (a column missing, too many rows, a stuck value)
stops the day with an error, before anything is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.ml.dataset_contracts import ARRIVALS, FLIGHTS, WEATHER, Column, Dataset, References
from mlops_assets.ml.digests import content_digest, content_digests
from mlops_assets.ml.feeds import broken_feeds
from mlops_assets.ml.schedules import INSTANT
from mlops_assets.ml.static_contracts import AIRCRAFT, AIRPORTS

__all__ = [
    "DATASETS",
    "STATIC",
    "Checked",
    "ContractBroken",
    "check",
    "nothing_broken",
    "content_digest",
    "content_digests",
]

DATASETS: Mapping[str, Dataset] = {d.name: d for d in (FLIGHTS, ARRIVALS, WEATHER, AIRCRAFT, AIRPORTS)}

TOLERATED_ROWS = 3
"""A small landing may hold this many broken rows whatever share of it they are."""
STATIC = ""
"""Stands for the day in datasets that have none."""


class ContractBroken(ValueError):
    """A feed as a whole breaks its dataset's contract; nothing of it may be used."""


@dataclass(frozen=True)
class Checked:
    """What a contract made of raw rows."""

    good: pd.DataFrame
    """The dataset's columns (and ``day``), in the dataset's order."""
    quarantined: pd.DataFrame
    """The broken ones: day, dataset, row (position in the landed file), reason, source_row (as JSON)."""


def check(name: str, landed: Mapping[str, pd.DataFrame], references: References) -> Checked:
    """Hold raw rows against the contract of the dataset of that name.

    ``landed`` maps each day to its raw frame (``{STATIC: frame}`` for a dataset without days); many days are checked
    at once. Raises ContractBroken, naming dataset, day, column and remedy, when a column is missing, when more rows
    of a day are broken than the contract tolerates, or when a feed's value is stuck or gone; KeyError for an unknown
    dataset.
    """
    dataset = DATASETS[name]
    for day, frame in landed.items():
        _require_columns(dataset, day, frame)
    raw = _joined(dataset, landed)
    rows = raw.drop(columns=["_day", "_row"])
    typed = dataset.read(rows, references).assign(day=raw["_day"])
    reasons = _breaches(dataset, typed, references)
    _require_share(dataset, raw["_day"], reasons)
    broken = reasons.notna()
    good = _good(dataset, typed[~broken])
    _require_feeds(dataset, good)
    return Checked(good, _quarantine(dataset, raw[broken], reasons[broken]))


def _require_columns(dataset: Dataset, day: str, frame: pd.DataFrame) -> None:
    missing = [column for column in dataset.source_columns if column not in frame.columns]
    if missing:
        raise ContractBroken(
            f"{dataset.name} of {day or 'the register'}: column {', '.join(missing)} is missing "
            f"(landed: {', '.join(map(str, frame.columns))}). Nothing was written. "
            "Land the file again with all columns, then materialize the day again."
        )


def _joined(dataset: Dataset, landed: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All landed rows with the day that landed them and their position in its file."""
    filled = {day: frame for day, frame in landed.items() if len(frame)} or dict(list(landed.items())[:1])
    if not filled:
        raise ContractBroken(f"{dataset.name}: nothing was landed. Name at least one day.")
    lengths = [len(frame) for frame in filled.values()]
    rows = pd.concat(filled.values(), ignore_index=True)
    days = np.repeat(np.array(list(filled), dtype=object), lengths)
    return rows.assign(_day=days, _row=np.concatenate([np.arange(length) for length in lengths]))


def _breaches(dataset: Dataset, typed: pd.DataFrame, references: References) -> pd.Series:
    """Why each row is broken, None for a good one, on the index of ``typed``."""
    import pandera.pandas as pandera

    reasons = pd.Series([None] * len(typed), index=typed.index, dtype=object)
    try:
        _schema(dataset, references).validate(typed, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        told = [_told(*case) for case in cases[["schema_context", "column", "check", "failure_case"]].to_numpy()]
        by_row = pd.Series(told, index=cases["index"].astype(int)).groupby(level=0, sort=False)
        joined = by_row.agg(lambda texts: "; ".join(sorted(set(texts))))
        reasons[joined.index] = joined
    return reasons


def _told(context: str, column: str, promise: str, value: Any) -> str:
    if context == "DataFrameSchema" or promise == "multiple_fields_uniqueness":
        return "the key is there already" if promise == "multiple_fields_uniqueness" else promise
    return f"{column} is missing or cannot be read" if promise == "not_nullable" else f"{column} is {value}: {promise}"


def _schema(dataset: Dataset, references: References) -> Any:
    """The contract as a pandera schema."""
    import pandera.pandas as pandera

    promises = [
        pandera.Check(promise.holds, name=promise.name, error=f"{promise.name}: not true that {promise.description}")
        for promise in dataset.promises
    ]
    return pandera.DataFrameSchema(
        {column.name: _column(column, references) for column in dataset.columns},
        checks=promises,
        unique=list(dataset.key),
        report_duplicates="exclude_first",
    )


def _column(column: Column, references: References) -> Any:
    import pandera.pandas as pandera

    checks = []
    if column.low is not None:
        text = f"must lie between {column.low:g} and {column.high:g}{f' {column.unit}' if column.unit else ''}"
        checks.append(pandera.Check.in_range(column.low, column.high, error=text))
    if column.kind == "integer":
        checks.append(pandera.Check(lambda values: values % 1 == 0, error="must be a whole number"))
    if column.allowed is not None:
        checks.append(pandera.Check.isin(_allowed(column, references), error=f"is not a known {column.name}"))
    return pandera.Column(checks=checks, nullable=column.nullable)


def _allowed(column: Column, references: References) -> list[str]:
    lists = {"carriers": references.carriers, "airports": tuple(references.zones)}
    return list(lists[column.allowed] if isinstance(column.allowed, str) else column.allowed or ())


def _require_share(dataset: Dataset, days: pd.Series, reasons: pd.Series) -> None:
    broken = reasons.notna()
    counts = broken.groupby(days).agg(["sum", "count"])
    limit = np.maximum(TOLERATED_ROWS, dataset.max_broken_share * counts["count"])
    for day in counts.index[counts["sum"] > limit]:
        first = reasons[broken & (days == day)].value_counts().index[0]
        raise ContractBroken(
            f"{dataset.name} of {day or 'the register'}: {counts['sum'][day]} of {counts['count'][day]} rows break the "
            f"contract, more than {dataset.max_broken_share:.0%}; most often: {first}. Nothing was written. "
            "Ask the source what changed, land the file again, then materialize the day again."
        )


def _require_feeds(dataset: Dataset, good: pd.DataFrame) -> None:
    broken = broken_feeds(dataset, good)
    if broken:
        days = ", ".join(dict.fromkeys(day for day, _ in broken))
        told = "; ".join(text for _, text in broken[:3])
        raise ContractBroken(
            f"{dataset.name} of {days}: {told}{f' and {len(broken) - 3} more' if len(broken) > 3 else ''}. "
            "Nothing was written. Ask the source what changed, land the file again, then materialize the day again."
        )


def _good(dataset: Dataset, typed: pd.DataFrame) -> pd.DataFrame:
    kinds = {"integer": "int64", "number": "float64", "string": object, "instant": INSTANT}
    good = typed.astype({column.name: kinds[column.kind] for column in dataset.columns})
    names = (["day"] if dataset.daily else []) + [column.name for column in dataset.columns]
    order = (["day"] if dataset.daily else []) + list(dataset.order)
    return good[names].sort_values(order, kind="stable", ignore_index=True)


def _quarantine(dataset: Dataset, raw: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    rows = raw.drop(columns=["_day", "_row"])
    texts = [row.to_json(date_format="iso", date_unit="s") for _, row in rows.iterrows()]
    columns = {"day": raw["_day"], "dataset": dataset.name, "row": raw["_row"], "reason": reasons}
    frame = pd.DataFrame({**columns, "source_row": pd.Series(texts, index=raw.index, dtype=object)})
    return frame.astype(_QUARANTINE).reset_index(drop=True)


def nothing_broken() -> pd.DataFrame:
    """A quarantine without rows."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _QUARANTINE.items()})


_QUARANTINE = {"day": object, "dataset": object, "row": "int64", "reason": object, "source_row": object}
