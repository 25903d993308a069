"""Tells the lineage of every finished run to a collector outside, as OpenLineage events.

Here: one sensor with a position of its own in Dagster's log of finished runs. Belongs here: when lineage is told. Does
not: what is told (``automation.run_lineage``), the format (``adapters.openlineage``).

A sensor and not a hook: a collector that is down cannot fail or delay a run. Its cursor moves only behind what was
delivered, also when it was switched off, so nothing is lost; a run that is told again after a crash has the same ids
and times, and collectors know it by them.
"""

import json

import dagster as dg
from dagster import DagsterEventType

from mlops_assets.adapters.lineage_events import LineageEvents, LineageUndelivered
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import Tables
from mlops_assets.automation.run_lineage import STATES, lineage_of_run

RUNS_PER_TICK = 10


def lineage_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor of this module; it needs the resources ``lineage_events`` and ``tables``."""

    @dg.sensor(
        name="lineage__tell",
        description="Tells every finished run to the OpenLineage collector that MLOPS_OPENLINEAGE names; off without.",
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def lineage__tell(
        context: dg.SensorEvaluationContext,
        lineage_events: dg.ResourceParam[LineageEvents],
        tables: dg.ResourceParam[Tables],
    ) -> dg.SkipReason:
        if not lineage_events.enabled:
            return dg.SkipReason("nobody collects lineage: MLOPS_OPENLINEAGE is not set")
        positions = json.loads(context.cursor) if context.cursor else {}
        graph = context.repository_def.asset_graph if context.repository_def else None
        ended = finished_runs(context.instance, positions)
        for told, record in enumerate(ended):
            try:
                lineage_events.tell(lineage_of_run(context.instance, graph, tables, record))
            except LineageUndelivered as error:
                return dg.SkipReason(f"told {told} runs; the next one waits: {error}")
            positions[_type(record).value] = record.storage_id
            context.update_cursor(json.dumps(positions, sort_keys=True))
        return dg.SkipReason(f"told {len(ended)} runs" if ended else "no run has finished")

    return lineage__tell


def finished_runs(instance: dg.DagsterInstance, positions: dict[str, int]) -> list[dg.EventLogRecord]:
    """The next runs that ended after the positions, one for each way to end, oldest first."""
    found = []
    for ending in STATES:
        wanted = dg.RunStatusChangeRecordsFilter(event_type=ending, after_storage_id=positions.get(ending.value, 0))
        found += instance.fetch_run_status_changes(wanted, limit=RUNS_PER_TICK, ascending=True).records
    return sorted(found, key=lambda record: record.storage_id)[:RUNS_PER_TICK]


def _type(record: dg.EventLogRecord) -> DagsterEventType:
    return record.event_log_entry.dagster_event.event_type
