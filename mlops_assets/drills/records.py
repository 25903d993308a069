"""What a system put on record since an instant, as one line of time.

Here: ``moments_since``: Dagster's event log, runs and ticks, the promotion history, the alerts, the server's log.
Belongs here: reading records into ``Moment``s. Does not: what the server says while it runs (``drills.watch``), what is
to be made of them (``drills.drill``).
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator

import dagster as dg

from mlops_assets.assets.address import MODELS, MONITORING, RELEASES, REMEDIATION
from mlops_assets.drills.drill import Moment, Source
from mlops_assets.drills.system import System

MOST = 1000
STAGES = (MODELS, RELEASES, MONITORING, REMEDIATION)
PARTITION = "dagster/partition"
LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) (\w+) (WARNING|ERROR) (.*)$")
SERVER_STARTED = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) (server) (INFO) ((?:listening|\w+ started).*)$")


def moments_since(system: System, at: float) -> list[Moment]:
    """Everything on record from the instant on, in order; without what only a look at the server shows."""
    readers = (_materialized, _runs, _ticks, _history, _alerts, _server_log)
    found = [moment for read in readers for moment in read(system, at) if moment.at >= at]
    return sorted(found, key=lambda moment: moment.at)


def _materialized(system: System, at: float) -> Iterator[Moment]:
    for asset in system.instance.get_asset_keys():
        owner, stage, name = asset.path if len(asset.path) == 3 else ("", "", "")
        if owner != system.use_case.name or stage not in STAGES:
            continue
        wanted = dg.AssetRecordsFilter(asset_key=asset, after_timestamp=at)
        for record in system.instance.fetch_materializations(wanted, limit=MOST).records:
            if (made := record.asset_materialization) is not None:
                facts = {label: str(value.value) for label, value in made.metadata.items() if _is_plain(value)}
                yield _made(record.timestamp, record.run_id, name, stage, made.partition or "", facts)


def _is_plain(value: dg.MetadataValue) -> bool:
    return isinstance(value.value, str | int | float) and not isinstance(value, dg.MarkdownMetadataValue)


def _made(at: float, run: str, name: str, stage: str, day: str, facts: dict[str, str]) -> Moment:
    facts = {"name": name, **facts}
    if "verdict" in facts:
        source, what = Source.MONITORS, f"{name}: {facts['verdict']}: {facts['reason']}"
    elif "action" in facts and stage == MONITORING:
        source, what = Source.DECISIONS, f"{facts['action']}: {facts['reason']}"
    else:
        source, what = Source.ASSETS, f"{stage}/{name} is materialized: {facts.get('reason', '')}".rstrip(": ")
    return Moment(at=at, source=source, what=what, facts=facts, day=day, reference=f"run {run}")


def _runs(system: System, at: float) -> Iterator[Moment]:
    since = dt.datetime.fromtimestamp(at, dt.UTC)
    for record in system.instance.get_run_records(dg.RunsFilter(updated_after=since), limit=MOST):
        run, day = record.dagster_run, record.dagster_run.tags.get(PARTITION, "")
        by = run.tags.get("dagster/sensor_name", "")
        facts = {"job": run.job_name, "status": run.status.value, "sensor": by}
        if record.end_time:
            what = f"{run.job_name} {run.status.value.lower()}{f', asked for by {by}' if by else ''}"
            yield Moment(
                at=record.end_time, source=Source.RUNS, what=what, facts=facts, day=day, reference=f"run {run.run_id}"
            )
        yield from _checks(system.instance, run.run_id, day)


def _checks(instance: dg.DagsterInstance, run_id: str, day: str) -> Iterator[Moment]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        found = event.asset_check_evaluation_data
        asset, passed = found.asset_key.to_user_string(), "yes" if found.passed else "no"
        reason = found.metadata.get("reason")
        said = found.description or (str(reason.value) if reason else "")
        yield Moment(
            at=record.event_log_entry.timestamp,
            source=Source.CHECKS,
            what=f"{asset}: {found.check_name} {'passes' if found.passed else 'FAILS'}: {said}".rstrip(": "),
            facts={"asset": asset, "check": found.check_name, "passed": passed},
            day=day,
            reference=f"run {run_id}",
        )


def _ticks(system: System, at: float) -> Iterator[Moment]:
    instance = system.instance
    # An ephemeral instance keeps no ticks.
    for state in instance.all_instigator_state() if instance.schedule_storage else ():
        for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, after=at, limit=MOST):
            if tick.run_ids:
                facts = {"sensor": state.name, "runs": " ".join(tick.run_ids)}
                what = f"{state.name} asks for {', '.join(tick.run_keys) or 'a run'}"
                yield Moment(
                    at=tick.timestamp, source=Source.TICKS, what=what, facts=facts, reference=f"tick {tick.tick_id}"
                )


def _history(system: System, at: float) -> Iterator[Moment]:
    for line in system.deployment.promotions.all(system.use_case.name):
        facts = {"kind": line.kind, "version": str(line.version), "digest": line.digest, "by": line.by}
        what = f"version {line.version} {line.kind}, by {line.by}: {line.reason}"
        yield Moment(
            at=_seconds(line.at), source=Source.HISTORY, what=what, facts=facts, day=line.day, reference=line.event_id
        )


def _alerts(system: System, at: float) -> Iterator[Moment]:
    for alert in system.deployment.alerts.sent():
        over, book = "yes" if alert.resolves else "no", alert.links.get("runbook", "")
        facts = {"key": alert.key, "over": over, "severity": str(alert.severity), "runbook": book.split("/")[-1]}
        what = f"{alert.title}: {' '.join(alert.text.split())}".rstrip(": ")
        yield Moment(at=_seconds(alert.at), source=Source.ALERTS, what=what, facts=facts, reference=alert.key)


def _server_log(system: System, at: float) -> Iterator[Moment]:
    log = system.settings.state / "services" / "endpoint.log"
    lines: Iterable[str] = log.read_text(errors="replace").splitlines() if log.exists() else ()
    for line in lines:
        if found := LOG_LINE.match(line) or SERVER_STARTED.match(line):
            second, thousandths, process, level, what = found.groups()
            told = dt.datetime.strptime(second, "%Y-%m-%d %H:%M:%S").timestamp() + int(thousandths) / 1000
            yield Moment(at=told, source=Source.SERVER_LOG, what=what, facts={"process": process, "level": level})


def _seconds(instant: str) -> float:
    return dt.datetime.fromisoformat(instant).timestamp()
