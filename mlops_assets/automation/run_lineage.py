"""What a finished Dagster run did to which datasets, as lineage records.

Here: from a run's event log and the graph to ``LineageRun``s. Belongs here: reading Dagster for lineage. Does not: when
(``automation.lineage``), the OpenLineage format (``adapters.openlineage``).

A run is told as one parent, and one child for each asset that it materialized. Ids are derived from the Dagster run and
the asset, times are those of the event log: telling a run again tells exactly the same.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from mlops_assets.adapters.lineage_events import (
    FILE,
    OTHER,
    TABLE,
    VERSION,
    Assertion,
    Column,
    DatasetState,
    LineageRun,
)
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MODELS, PRODUCTION, RELEASES, TRAINING
from mlops_assets.ml.column_lineage import COLUMN_LINEAGE

STATES = {
    DagsterEventType.RUN_SUCCESS: "COMPLETE",
    DagsterEventType.RUN_FAILURE: "FAIL",
    DagsterEventType.RUN_CANCELED: "ABORT",
}
KINDS = {TRAINING: FILE, MODELS: FILE, RELEASES: VERSION, PRODUCTION: VERSION}
"""By stage; an asset that has a Delta table is that table."""
COMMITS = 400
"""How far back a table's commits are searched for the one of a run: more than a year of days."""
WANTED = (DagsterEventType.RUN_START, DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_CHECK_EVALUATION)


def lineage_of_run(
    instance: dg.DagsterInstance, graph: Any, tables: Tables, record: dg.EventLogRecord
) -> list[LineageRun]:
    """The parent and its children; ``record`` is the event with which the run ended."""
    entry = record.event_log_entry
    run_id, job, state = entry.run_id, entry.job_name or "", STATES[_type(entry)]
    logged = instance.all_logs(run_id, of_type={*WANTED})
    began = min([log.timestamp for log in logged] + [entry.timestamp])
    parent = LineageRun(
        id=run_id,
        job=job,
        state=state,
        started_at=_instant(began),
        ended_at=_instant(entry.timestamp),
        error=_error(entry) if state == "FAIL" else None,
    )
    made = _by_asset(logged)
    return [parent, *(_child(graph, tables, parent, began, key, events, logged) for key, events in made.items())]


def child_id(run_id: str, asset: str) -> str:
    """The id of the part of a run that made an asset."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops_assets/{run_id}/{asset}"))


def _child(
    graph: Any,
    tables: Tables,
    parent: LineageRun,
    began: float,
    key: dg.AssetKey,
    events: Sequence[Any],
    logged: Sequence[Any],
) -> LineageRun:
    name = key.to_user_string()
    last = events[-1].dagster_event.step_materialization_data.materialization
    days = sorted(p for p in (e.dagster_event.partition for e in events) if p)
    pinned = _pinned(last.metadata)
    until = events[-1].timestamp
    parents = sorted(graph.get(key).parent_keys) if graph.has(key) else []
    return LineageRun(
        id=child_id(parent.id, name),
        job=name,
        state="COMPLETE",
        started_at=_instant(began),
        ended_at=_instant(until),
        parent=(parent.job, parent.id),
        days=(days[0], days[-1]) if days else None,
        inputs=tuple(_read(graph, tables, other, pinned, until, logged) for other in parents),
        outputs=(_written(graph, tables, key, last, parent.id),),
    )


def _read(
    graph: Any, tables: Tables, key: dg.AssetKey, pinned: Mapping[str, int], until: float, logged: Sequence[Any]
) -> DatasetState:
    name = key.to_user_string()
    version = pinned.get(name, _version_at(tables, name, until))
    return DatasetState(
        name=name,
        kind=_kind(tables, key),
        version=None if version is None else str(version),
        columns=_columns(graph, key),
        assertions=_assertions(logged, key),
    )


def _written(graph: Any, tables: Tables, key: dg.AssetKey, made: dg.AssetMaterialization, run_id: str) -> DatasetState:
    name, kind = key.to_user_string(), _kind(tables, key)
    rows = made.metadata.get("dagster/partition_row_count")
    return DatasetState(
        name=name,
        kind=kind,
        version=_version_by(tables, name, run_id) if kind == TABLE else _data_version(made),
        columns=_columns(graph, key),
        column_lineage=COLUMN_LINEAGE.get(key.path[-1], {}) if key.path[1] == "features" else {},
        rows=int(rows.value) if rows is not None and rows.value is not None else None,
    )


def _kind(tables: Tables, key: dg.AssetKey) -> str:
    return TABLE if tables.version(key.to_user_string()) is not None else KINDS.get(key.path[1], OTHER)


def _version_by(tables: Tables, name: str, run_id: str) -> str | None:
    """The newest version that this run wrote."""
    commits = tables.commits(name, COMMITS)
    return next((str(commit["version"]) for commit in commits if commit.get("dagster_run_id") == run_id), None)


def _version_at(tables: Tables, name: str, until: float) -> int | None:
    """The version that was the newest at an instant (epoch seconds). None without a table or without times."""
    if tables.version(name) is None:
        return None
    found = (c for c in tables.commits(name, COMMITS) if c.get("timestamp", float("inf")) <= until * 1000)
    return next((int(commit["version"]) for commit in found), None)


def _pinned(metadata: Mapping[str, Any]) -> dict[str, int]:
    told = metadata.get("tables")
    value = told.value if told is not None else {}
    return {name: int(version) for name, version in value.items()} if isinstance(value, dict) else {}


def _data_version(made: dg.AssetMaterialization) -> str | None:
    digest = made.metadata.get("digest")
    return str(digest.value) if digest is not None else (made.tags or {}).get("dagster/data_version")


def _columns(graph: Any, key: dg.AssetKey) -> tuple[Column, ...]:
    if not graph.has(key):
        return ()
    told = graph.get(key).metadata.get("dagster/column_schema")
    schema = getattr(told, "value", told) if told is not None else None
    if schema is None:
        return ()
    return tuple(Column(name=c.name, type=c.type or "", description=c.description or "") for c in schema.columns)


def _assertions(logged: Sequence[Any], key: dg.AssetKey) -> tuple[Assertion, ...]:
    found = {}
    for entry in logged:
        if _type(entry) is not DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        check = entry.dagster_event.asset_check_evaluation_data
        if check.asset_key == key:
            severity = "warn" if check.severity is dg.AssetCheckSeverity.WARN else "error"
            found[check.check_name] = Assertion(name=check.check_name, passed=check.passed, severity=severity)
    return tuple(found.values())


def _by_asset(logged: Sequence[Any]) -> dict[dg.AssetKey, list[Any]]:
    made: dict[dg.AssetKey, list[Any]] = {}
    for entry in logged:
        if _type(entry) is DagsterEventType.ASSET_MATERIALIZATION:
            made.setdefault(entry.dagster_event.asset_key, []).append(entry)
    return made


def _type(entry: Any) -> DagsterEventType:
    return entry.dagster_event.event_type


def _error(entry: Any) -> str:
    data = entry.dagster_event.event_specific_data
    error = getattr(data, "error", None)
    return (error.message if error else entry.dagster_event.message or "the run failed").strip()


def _instant(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
