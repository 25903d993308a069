"""Signs of life: what Dagster's records and the servers say of themselves, as facts.

Here: reading them. Belongs here: where a sign is found. Does not: what is silence (``ml.silence``), telling people
(``automation.silence``, ``mlops watch``).
"""

import contextlib
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorType, TickStatus

from mlops_assets.adapters.endpoint import Endpoint, EndpointDown, EndpointRefused
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import DATASETS, RELEASES, automation, key
from mlops_assets.automation.feed import IN_PROGRESS
from mlops_assets.automation.jobs import DAY
from mlops_assets.automation.walk import exists
from mlops_assets.contracts import Domain, UseCase
from mlops_assets.ml.silence import FAILED_TICKS, TROUBLE, CalendarSigns, SensorSigns

LATELY = 14
"""Landed days whose partitions are looked for: an older gap is nobody's news."""
GUARDS = ("alerts__tell", "silence__notice")
"""Off, nobody is told of anything; and every use case's remediation."""
UNASKED = "the registry cannot be asked"
"""How the server begins to say that the registry is gone (``serving.reconciler``)."""
BEATING = ("SENSOR", "QUEUED_RUN_COORDINATOR")
"""Parts of the daemon without which no decision is acted on."""


def heartbeat(instance: dg.DagsterInstance) -> float | None:
    """When the daemon was last seen alive in all its parts that matter; None when one of them never was."""
    beats = instance.get_daemon_heartbeats()
    return min(beats[part].timestamp for part in BEATING) if beats.keys() >= set(BEATING) else None


def sensor_signs(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, use_cases: Sequence[UseCase]
) -> list[SensorSigns]:
    """Every sensor of the definitions, as its own record tells it; an ephemeral instance keeps none."""
    if instance.schedule_storage is None:
        return []
    states: dict[str, InstigatorState] = {}
    for state in sorted(instance.all_instigator_state(instigator_type=InstigatorType.SENSOR), key=_ticked_at):
        states[state.name] = state
    guards = {*GUARDS, *(automation(use_case, "remediation") for use_case in use_cases)}
    return [_signs(instance, sensor, states.get(sensor.name), guards) for sensor in repository.sensor_defs]


def _signs(
    instance: dg.DagsterInstance, sensor: dg.SensorDefinition, state: InstigatorState | None, guards: set[str]
) -> SensorSigns:
    failed, error = _failures(instance, state) if state else (0, "")
    return SensorSigns(
        name=sensor.name,
        on=state.is_running if state else sensor.default_status is dg.DefaultSensorStatus.RUNNING,
        interval_s=float(sensor.minimum_interval_seconds or 0),
        ticked_at=(_ticked_at(state) or None) if state else None,
        failed_ticks=failed,
        error=error,
        guards=sensor.name in guards,
    )


def _ticked_at(state: InstigatorState) -> float:
    """When its last tick ended; 0 when none did."""
    return getattr(state.instigator_data, "last_tick_timestamp", None) or 0.0


def _failures(instance: dg.DagsterInstance, state: InstigatorState) -> tuple[int, str]:
    """How many of its last ticks failed one after the other, as far as it matters, and what the last one said."""
    ended = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=FAILED_TICKS, statuses=ended)
    failed = 0
    while failed < len(ticks) and ticks[failed].status is TickStatus.FAILURE:
        failed += 1
    error = ticks[0].error if failed else None
    return failed, error.message.strip() if error else ""


def calendar_signs(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    use_cases: Sequence[UseCase],
    settings: Settings,
    sensors: Sequence[SensorSigns],
) -> list[CalendarSigns]:
    """The days of every domain: what landed last, and what lacks days that did."""
    on = {sensor.name for sensor in sensors if sensor.on}
    found = []
    for domain in dict.fromkeys(use_case.domain for use_case in use_cases):
        landing = key(domain, DATASETS, "landing")
        landed = sorted(instance.get_materialized_partitions(landing))
        ends = min(filter(None, (settings.feed_until, domain.last_day)), default=None)
        signs = CalendarSigns(
            owner=domain.name,
            landed=landed[-1] if landed else None,
            landed_at=_at(instance, landing),
            ends=ends,
            # A calendar without an end is no replay: its days come by themselves, whatever the feed does.
            fed=domain.last_day is None or automation(domain, "feed") in on or not sensors,
            patience_s=settings.landing_hours * 3600.0,
            missing=missing(instance, repository, domain, settings, landed),
        )
        found.append(signs)
    return found


def missing(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    domain: Domain,
    settings: Settings,
    landed: Sequence[str],
) -> dict[str, list[str]] | None:
    """Asset of the day job -> lately landed live days that it lacks; None while a run is in progress."""
    if instance.get_runs_count(dg.RunsFilter(statuses=list(IN_PROGRESS))):
        return None
    live = [day for day in landed if day >= (settings.live_from or domain.live_from)][-LATELY:]
    daily = repository.get_job(automation(domain, DAY)).asset_layer.selected_asset_keys if live else ()
    lacks = {asset.to_user_string(): sorted({*live} - instance.get_materialized_partitions(asset)) for asset in daily}
    return {asset: days for asset, days in lacks.items() if days}


def server_problems(
    instance: dg.DagsterInstance, registry: Registry, endpoint: Endpoint, use_cases: Sequence[UseCase]
) -> dict[str, str]:
    """Server -> what is wrong with it, empty when it is well. Nobody needs to answer before the first champion."""
    needed = [use_case for use_case in use_cases if exists(instance, key(use_case, RELEASES, "champion"))]
    if not needed:
        return {}
    return {
        "registry": next(_of_registry(registry, needed), ""),
        "model server": next(_of_endpoint(endpoint, needed), ""),
        TROUBLE: "; ".join(dict.fromkeys(_said_by_endpoint(endpoint, needed))),
    }


def _of_registry(registry: Registry, use_cases: Sequence[UseCase]) -> Iterator[str]:
    """A real question: one that a rollback asks, too, whose libraries a tick then finds imported."""
    for use_case in use_cases:
        try:
            registry.model(use_case.name)
        except Exception as error:  # one that answers with errors is of no more use than one that does not
            yield str(error)


def _of_endpoint(endpoint: Endpoint, use_cases: Sequence[UseCase]) -> Iterator[str]:
    for use_case in use_cases:
        try:
            status = endpoint.status(use_case.name)
        except (EndpointDown, EndpointRefused) as error:
            yield str(error)
            return
        if not status.ready:
            why = "; ".join(status.problems) or "it does not say why"
            yield f"it is not ready to answer for {use_case.name}: {why}"


def _said_by_endpoint(endpoint: Endpoint, use_cases: Sequence[UseCase]) -> Iterator[str]:
    """What it says is wrong while it answers; of a registry that is gone the registry's own silence tells."""
    with contextlib.suppress(EndpointDown):
        for use_case in use_cases:
            status = endpoint.status(use_case.name)
            if status.ready:
                yield from (told for told in status.problems if not told.startswith(UNASKED))


def _at(instance: dg.DagsterInstance, asset: dg.AssetKey) -> float | None:
    event = instance.get_latest_materialization_event(asset)
    return event.timestamp if event else None
