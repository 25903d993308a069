"""Walking the materializations of an asset from a cursor.

Here: what is new since the last tick. Belongs here: reading the event log for sensors. Does not: what a sensor makes
of it. ``@asset_sensor`` is not used: it sees only the latest event of a tick, and three bad days between two ticks
gave one request.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

RUN_KEY = "dagster/run_key"
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


def has_heard(instance: dg.DagsterInstance, sensor: str, assets: Iterable[dg.AssetKey]) -> bool:
    """False while a sensor that runs has yet to look at the newest materialization of one of these assets.

    One that was switched off, or never ticked, is not waited for; an ephemeral instance keeps no cursors at all.
    """
    if instance.schedule_storage is None:
        return True
    states = [state for state in instance.all_instigator_state() if state.name == sensor]
    data = [state.instigator_data for state in states if state.status.value != "STOPPED"]
    cursors = [Cursors(getattr(known, "cursor", None)) for known in data]
    return all(cursor.is_at_end(instance, asset) for cursor in cursors for asset in assets)


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

    def hold(self, asset: dg.AssetKey, event: Seen) -> None:
        """Stop in front of an event that cannot be answered yet: the next tick meets it again."""
        self._positions[asset.to_user_string()] = event.storage_id - 1

    def is_at_end(self, instance: dg.DagsterInstance, asset: dg.AssetKey) -> bool:
        """True when nothing of the asset was recorded after the position."""
        newest = instance.fetch_materializations(asset, limit=1).records
        return not newest or newest[0].storage_id <= self._positions.get(asset.to_user_string(), 0)

    def text(self) -> str:
        """The cursor to store."""
        return json.dumps(self._positions, sort_keys=True)


class Asked:
    """Which runs were requested before: by an earlier tick, or earlier in this one.

    Dagster itself launches no second run for a run key of an earlier tick, and says nothing of it; for one that comes
    twice in a tick it launches two.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._now: set[str] = set()

    def before(self, run_key: str | None) -> bool:
        """True when a run with that key was requested; from now on it counts as requested."""
        known = run_key in self._now or self._instance.get_runs_count(dg.RunsFilter(tags={RUN_KEY: run_key or ""})) > 0
        self._now.add(run_key or "")
        return known
