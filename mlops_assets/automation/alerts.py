"""The sensor that tells people: of failed runs and checks, and of everything that others put on record.

Here: what in Dagster's log is worth an alert, and its delivery. Belongs here: failures of the machinery. Does not:
decisions and incidents (``assets.remediation``), addresses and delivery itself (``adapters.notifications``).

A failed run is over when the same job succeeds on the same partition, a failed check when it passes there. A monitor's
``is_quiet`` is left out: one alarm of one day is no news, what is decided about it is.
"""

import json
import time
from typing import Any

import dagster as dg
from dagster import DagsterEventType

from mlops_assets.adapters.alerts import Alerts, Severity
from mlops_assets.adapters.notifications import Notifier
from mlops_assets.adapters.settings import Settings
from mlops_assets.automation.feed import RANGE_END, RANGE_START

EVENTS_PER_TICK = 50
QUIET = "is_quiet"
NEWS_S = 24 * 3600.0
"""A sensor that was never on before tells of this time, and not of everything there ever was."""
RUNS = (DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)


def alerts_sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor of this module; it needs the resources ``alerts`` and ``notifier``."""

    @dg.sensor(
        name="alerts__tell",
        description="Tells people of failed runs and checks; brings every alert to MLOPS_ALERT_ADDRESSES.",
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts__tell(
        context: dg.SensorEvaluationContext, alerts: dg.ResourceParam[Alerts], notifier: dg.ResourceParam[Notifier]
    ) -> dg.SkipReason:
        positions = json.loads(context.cursor) if context.cursor else {}
        told = tell_runs(context.instance, alerts, positions, settings.ui_url)
        context.update_cursor(json.dumps(positions, sort_keys=True))
        done = notifier.deliver()
        silent = f"; no answer from {', '.join(done.silent)}: {done.waiting} alerts wait" if done.silent else ""
        return dg.SkipReason(f"{told} new alerts, {done.delivered} delivered{silent}")

    return alerts__tell


def tell_runs(instance: dg.DagsterInstance, alerts: Alerts, positions: dict[str, int], ui_url: str) -> int:
    """Put on record what ended since the positions; how many alerts that made."""
    found = []
    for ending in RUNS:
        wanted = dg.RunStatusChangeRecordsFilter(
            event_type=ending,
            after_storage_id=positions.get(ending.value),
            after_timestamp=None if ending.value in positions else time.time() - NEWS_S,
        )
        records = instance.fetch_run_status_changes(wanted, limit=EVENTS_PER_TICK, ascending=True).records
        found += [(record, ending) for record in records]
    told = 0
    for record, ending in sorted(found, key=lambda pair: pair[0].storage_id):
        entry = record.event_log_entry
        if (run := instance.get_run_by_id(entry.run_id)) is not None:
            key, partition = _key("run", run.job_name, _partition(run)), _partition(run)
            if ending is DagsterEventType.RUN_SUCCESS:
                alerts.resolve(key, f"run {run.run_id} succeeded")
            else:
                title = " ".join(filter(None, (run.job_name, partition))) + ": the run failed"
                links = {"run": f"{ui_url}/runs/{run.run_id}"}
                told += alerts.alert(key, Severity.CRITICAL, title, entry.user_message, links, "failed_run")
            told += _tell_checks(instance, alerts, run, ui_url)
        positions[ending.value] = record.storage_id
    return told


def _tell_checks(instance: dg.DagsterInstance, alerts: Alerts, run: dg.DagsterRun, ui_url: str) -> int:
    """The same of the checks that the run evaluated. By run: with SQLite, Dagster's log has no order of all events."""
    told = 0
    evaluated = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    for record in evaluated:
        event = record.event_log_entry.dagster_event
        data: Any = event.event_specific_data if event else None
        if data is None or data.check_name == QUIET:
            continue
        asset, partition = data.asset_key.to_user_string(), _partition(run)
        key = _key("check", asset, data.check_name, partition)
        if data.passed:
            alerts.resolve(key, "it passes")
        else:
            severe = Severity.CRITICAL if data.severity is dg.AssetCheckSeverity.ERROR else Severity.WARNING
            title = " ".join(filter(None, (asset, partition))) + f": the check {data.check_name} failed"
            links = {"asset": f"{ui_url}/assets/{asset}?view=checks", "run": f"{ui_url}/runs/{run.run_id}"}
            reason = data.metadata.get("reason")
            text = data.description or (str(reason.value) if reason else "")
            told += alerts.alert(key, severe, title, text, links, "failed_check")
    return told


def _key(*parts: str) -> str:
    return "/".join(filter(None, parts))


def _partition(run: dg.DagsterRun) -> str:
    """The partition that a run is about, the first and last of several; nothing when it has none."""
    ends = dict.fromkeys(run.tags.get(name, "") for name in (RANGE_START, RANGE_END))
    return run.tags.get("dagster/partition") or " to ".join(filter(None, ends))
