"""What the two datasets without days promise: aircraft and airports.

Here: their declarations. Belongs here: a dataset that changes rarely and has no partition. Does not: the daily
datasets (``ml.dataset_contracts``), applying the promises (``ml.datasets``).
"""

from collections.abc import Callable

import pandas as pd

from mlops_assets.ml.dataset_contracts import Column, Dataset, References
from mlops_assets.ml.schedules import number, text


def _reader(columns: tuple[Column, ...]) -> Callable[[pd.DataFrame, References], pd.DataFrame]:
    """Reads columns that have the same names in the source."""

    def read(raw: pd.DataFrame, references: References) -> pd.DataFrame:
        del references
        return pd.DataFrame({c.name: text(raw[c.name]) if c.kind == "string" else number(raw[c.name]) for c in columns})

    return read


_AIRCRAFT = (
    Column("tailnum", "string", "Tail number of the aircraft"),
    Column("year", "number", "Year of manufacture", None, 1930, 2014, nullable=True),
    Column("type", "string", "Kind of aircraft"),
    Column("manufacturer", "string", "Who built it"),
    Column("model", "string", "Model"),
    Column("engines", "integer", "Number of engines", None, 1, 4),
    Column("seats", "integer", "Number of seats", None, 1, 900),
    Column("speed", "number", "Cruising speed; rarely known", "miles per hour", 50, 700, nullable=True),
    Column("engine", "string", "Kind of engine"),
)
_AIRPORTS = (
    Column("faa", "string", "Code of the airport"),
    Column("name", "string", "Name of the airport"),
    Column("lat", "number", "Latitude", "degrees north", -90, 90),
    Column("lon", "number", "Longitude", "degrees east", -180, 180),
    Column("alt", "integer", "Height above the sea", "feet", -1500, 15000),
    Column("tz", "number", "Offset from UTC in winter", "hours", -12, 14, nullable=True),
    Column("dst", "string", "Rule of daylight saving time: A as in the USA, N none, U unknown", nullable=True),
    Column("tzone", "string", "IANA time zone; missing for a few airports nobody flies to", nullable=True),
)

AIRCRAFT = Dataset(
    name="aircraft",
    description="The register of aircraft, as of 2013.",
    key=("tailnum",),
    source_columns=tuple(column.name for column in _AIRCRAFT),
    read=_reader(_AIRCRAFT),
    columns=_AIRCRAFT,
    order=("tailnum",),
    daily=False,
)
AIRPORTS = Dataset(
    name="airports",
    description="Airports with their places and time zones.",
    key=("faa",),
    source_columns=tuple(column.name for column in _AIRPORTS),
    read=_reader(_AIRPORTS),
    columns=_AIRPORTS,
    order=("faa",),
    daily=False,
)
