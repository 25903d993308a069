"""Walking the materializations of an asset from a cursor.

Here: what is new since the last tick. Belongs here: reading the event log for sensors. Does not: what a sensor makes
of it. ``@asset_sensor`` is not used: it sees only the latest event of a tick, and three bad days between two ticks
gave one request.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

EVENTS_PER_TICK = 500
"""A tick that finds more leaves the rest to the next one: its cursor stops where it stopped reading."""


@dataclass(frozen=True)
class Seen:
    """One materialization."""

    storage_id: int
    partition: str
    metadata: Mapping[str, Any]


def new_materializations(instance: dg.DagsterInstance, asset: dg.AssetKey, after: int) -> list[Seen]:
    """The materializations of a partitioned asset that were recorded after a storage id, oldest first."""
    wanted = dg.AssetRecordsFilter(asset_key=asset, after_storage_id=after)
    found = instance.fetch_materializations(wanted, limit=EVENTS_PER_TICK, ascending=True)
    return [_seen(record) for record in found.records]


def _seen(record: dg.EventLogRecord) -> Seen:
    event = record.asset_materialization
    if event is None:
        raise ValueError(f"event {record.storage_id} is not a materialization")
    metadata = {name: value.value for name, value in event.metadata.items()}
    return Seen(record.storage_id, event.partition or "", metadata)


def last_day(instance: dg.DagsterInstance, asset: dg.AssetKey) -> str | None:
    """The last materialized day of an asset, whichever was materialized last; None when there is none."""
    return max(instance.get_materialized_partitions(asset), default=None)


def exists(instance: dg.DagsterInstance, asset: dg.AssetKey) -> bool:
    """True when the asset was ever materialized."""
    return instance.get_latest_materialization_event(asset) is not None


class Cursors:
    """A sensor's cursor that remembers one position for each asset it walks."""

    def __init__(self, text: str | None) -> None:
        self._positions: dict[str, int] = json.loads(text) if text else {}

    def walk(self, instance: dg.DagsterInstance, asset: dg.AssetKey) -> list[Seen]:
        """What is new of the asset; the position moves behind it."""
        name = asset.to_user_string()
        events = new_materializations(instance, asset, self._positions.get(name, 0))
        if events:
            self._positions[name] = events[-1].storage_id
        return events

    def text(self) -> str:
        """The cursor to store."""
        return json.dumps(self._positions, sort_keys=True)
