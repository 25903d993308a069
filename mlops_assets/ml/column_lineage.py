"""Which columns of the datasets each feature is computed from.

Here: ``COLUMN_LINEAGE``, as declared beside the functions of ``ml.features``. Belongs here: facts about columns that
the code cannot tell by itself; a test changes every column of every dataset and looks which features follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

OBSERVED = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")


@dataclass(frozen=True, order=True)
class SourceColumn:
    """A column that a feature depends on."""

    dataset: str
    column: str
    direct: bool = True
    """False: it decides which rows count (key, instant), not their values."""


def _weather(column: str) -> tuple[SourceColumn, ...]:
    keys = (SourceColumn("weather", "origin", False), SourceColumn("weather", "observed_at", False))
    return (SourceColumn("weather", column), *keys)


def _landed(key: str, *columns: str) -> tuple[SourceColumn, ...]:
    keys = (SourceColumn("arrivals", key, False), SourceColumn("arrivals", "landed_at", False))
    return (*(SourceColumn("arrivals", column) for column in columns), *keys)


def _due(key: str) -> tuple[SourceColumn, ...]:
    return (SourceColumn("flights", key, False), SourceColumn("flights", "sched_arr_at", False))


def _delays(key: str, windows: tuple[int, ...], statistics: tuple[str, ...]) -> Mapping[str, tuple[SourceColumn, ...]]:
    columns: dict[str, tuple[str, ...]] = {"mean_arr_delay": ("arr_delay",), "late_share": ("arr_delay",)}
    columns["mean_lost_minutes"] = ("arr_delay", "dep_delay")
    features = {f"{name}_{w}h": _landed(key, *columns[name]) for w in windows for name in statistics}
    return features | {f"landed_share_{w}h": (*_landed(key), *_due(key)) for w in windows}


COLUMN_LINEAGE: Mapping[str, Mapping[str, tuple[SourceColumn, ...]]] = {
    "origin_weather": {
        **{name: _weather(name) for name in OBSERVED},
        "precip_6h": _weather("precip"),
        "pressure_change_3h": _weather("pressure"),
    },
    "origin_delays": _delays("origin", (1, 3, 24), ("mean_arr_delay", "late_share")),
    "carrier_delays": _delays("carrier", (3, 24, 168), ("mean_arr_delay", "late_share")),
    "destination_delays": _delays("dest", (3, 24), ("mean_arr_delay", "mean_lost_minutes")),
}
"""View -> feature -> the columns of datasets that it depends on."""
