"""Reading one row of all views from the online store, by several ways in turns, in one process.

Run as ``python -m benchmarks.features_online STATE TABLES DECISIONS [redis://...]``. Here: the ways. Does not belong
here: what is made of the figures (``benchmarks.features``).
"""

import json
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feast_format import entity_key, redis_field
from mlops_assets.adapters.online_reader import open_online_reader
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.sqlite_online_reader import SqliteOnlineReader
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.ml.bitemporal import believed

SERVICE, PROJECT, DAY = "arrival_delay_v1", "mlops_assets", "2013-12-20"
ROWS, WARM_UP = 2000, 50
Row = Mapping[str, Any]


def main(state: str, tables: str, decisions: str, online_store: str = "") -> None:
    """Fill the store, check that every way finds the same, and measure."""
    settings = replace(Settings(), state=Path(state), online_store=online_store)
    store = FeastFeatureStore(settings)
    store.apply()
    for view in store.spec.views:
        rows = DeltaTables(tables).read(view.table, DAY, DAY)
        store.write_online(view.name, believed(rows, [view.join_key]).drop(columns="day"))
    asked = pd.read_parquet(decisions).sample(ROWS + WARM_UP, random_state=1)
    keys = asked[[view.join_key for view in store.spec.views]].T.drop_duplicates().T.to_dict("records")
    ways = redis_ways(store, online_store) if online_store else sqlite_ways(store, settings)
    check({name: way for name, way in ways.items() if name.startswith(("ours", "feast"))}, keys[:200])
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number, row in enumerate(keys):
        for name, way in ways.items():
            begin = time.perf_counter()
            way(row)
            if number >= WARM_UP:
                taken[name].append(time.perf_counter() - begin)
    print(json.dumps({name: figures(seconds) for name, seconds in taken.items()}))


def figures(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    return {"median_ms": statistics.median(ordered) * 1e3, "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3}


def sqlite_ways(store: FeastFeatureStore, settings: Settings) -> dict[str, Callable[[Row], Any]]:
    """Ways to read the SQLite file."""
    views, path = store.inputs(SERVICE).views, settings.features / "online.db"
    kept, fresh = (SqliteOnlineReader(path, PROJECT, keep=keep) for keep in (True, False))
    connection = sqlite3.connect(path)

    def bare(row: Row) -> Any:
        return [
            connection.execute(
                f'SELECT feature_name, value, event_ts FROM "{PROJECT}_{view.name}" WHERE entity_key = ?',
                (entity_key(view.join_key, row[view.join_key]),),
            ).fetchall()
            for view in views
        ]

    return {
        "ours, keys kept": lambda row: values(kept.read_views([(view, [row[view.join_key]]) for view in views])),
        "ours, nothing kept": lambda row: values(fresh.read_views([(view, [row[view.join_key]]) for view in views])),
        "bare SQLite, nothing decoded": bare,
        "feast get_online_features": feast_way(store),
    }


def redis_ways(store: FeastFeatureStore, address: str) -> dict[str, Callable[[Row], Any]]:
    """Ways to read Redis."""
    import redis

    views, reader, client = store.inputs(SERVICE).views, open_online_reader(address, PROJECT), redis.from_url(address)
    fields = {view.name: [redis_field(view.name, feature) for feature in view.features] for view in views}

    def bare(row: Row) -> Any:
        with client.pipeline(transaction=False) as pipe:
            for view in views:
                pipe.hmget(entity_key(view.join_key, row[view.join_key]) + PROJECT.encode(), fields[view.name])
            return pipe.execute()

    return {
        "ours": lambda row: values(reader.read_views([(view, [row[view.join_key]]) for view in views])),
        "bare redis-py pipeline, nothing decoded": bare,
        "feast get_online_features": feast_way(store),
    }


def feast_way(store: FeastFeatureStore) -> Callable[[Row], Any]:
    """Feast's own client, for the features of the views alone."""
    wanted = [f"{view.name}:{field.name}" for view in store.spec.views for field in view.fields]
    feast = store._feast

    def read(row: Row) -> dict[str, Any]:
        found = feast.get_online_features(wanted, [dict(row)], full_feature_names=True).to_dict()
        return {name: column[0] for name, column in found.items() if "__" in name}

    return read


def values(found: list[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """The values of the one key of each view."""
    return [dict(snapshot.values) for view in found for snapshot in view.values()]


def check(ways: Mapping[str, Callable[[Row], Any]], rows: list[Row]) -> None:
    """Every way finds the same values. Raises AssertionError."""
    for row in rows:
        found = [way(row) for way in ways.values()]
        told = [sorted(map(repr, _numbers(answer))) for answer in found]
        assert all(other == told[0] for other in told), row


def _numbers(answer: Any) -> list[float]:
    parts = answer if isinstance(answer, list) else [answer]
    return [value for part in parts for value in part.values() if value is not None]


if __name__ == "__main__":
    main(*sys.argv[1:])
