"""The feed: lands the next days of the reference data, one at a time, and starts the first training.

Here: the sensor that plays the calendar forward. Belongs here: what lands next, and why not yet. Does not: how a day
is lived (``adapters.replay``). In a live deployment the days land by themselves: switch this sensor off and schedule
the day job for the hour at which the source delivers.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import DATASETS, MODELS, RELEASES, automation, key
from mlops_assets.assets.partitions import shift
from mlops_assets.automation import release, remediation
from mlops_assets.automation.jobs import DAY, HISTORY, STATIC, TRAIN
from mlops_assets.automation.walk import exists, has_heard, last_day
from mlops_assets.contracts import Domain, UseCase

IN_PROGRESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def feed_sensor(
    domain: Domain, use_cases: tuple[UseCase, ...], settings: Settings, jobs: Sequence[Any]
) -> dg.SensorDefinition:
    """Requests, in this order: static tables, history, the first model of every use case, then day after day.

    ``jobs`` are those it may ask for: the domain's, and the training of every use case.
    """

    @dg.sensor(
        name=automation(domain, "feed"),
        jobs=list(jobs),
        minimum_interval_seconds=settings.sensor_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lands the next days of the reference data, one at a time, once the loop has caught up.",
    )
    def feed(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # Before the runs: what these sensors have heard of, they have asked a run for already.
        deaf = _deaf(context.instance, use_cases)
        busy = context.instance.get_runs_count(dg.RunsFilter(statuses=list(IN_PROGRESS)))
        if busy:
            return dg.SkipReason(f"{busy} runs in progress: the next day waits for them")
        if deaf:
            return dg.SkipReason(f"{', '.join(deaf)} has not looked at the last day yet: the next one waits for it")
        return _next(context.instance, domain, use_cases, settings)

    return feed


def _deaf(instance: dg.DagsterInstance, use_cases: tuple[UseCase, ...]) -> list[str]:
    """The sensors that have yet to look at something new.

    Without this a bad champion lived one more day while its rollback queued behind it, and that day's own verdict asked
    for a second rollback, of a champion that was none any more.
    """
    walks = {
        automation(use_case, name): module.walked(use_case)
        for use_case in use_cases
        for name, module in (("remediation", remediation), ("release", release))
    }
    return [sensor for sensor, assets in walks.items() if not has_heard(instance, sensor, assets)]


def _next(
    instance: dg.DagsterInstance, domain: Domain, use_cases: tuple[UseCase, ...], settings: Settings
) -> dg.RunRequest | dg.SkipReason:
    live_from = settings.live_from or domain.live_from
    if not exists(instance, key(domain, DATASETS, "airports")):
        return dg.RunRequest(job_name=automation(domain, STATIC), run_key=f"{domain.name}/static")
    landed = last_day(instance, key(domain, DATASETS, "landing"))
    if landed is None:
        first = settings.feed_from or domain.first_day
        bounds = {RANGE_START: first, RANGE_END: shift(live_from, -1)}
        return dg.RunRequest(job_name=automation(domain, HISTORY), run_key=f"{domain.name}/history", tags=bounds)
    for use_case in use_cases:
        if not exists(instance, key(use_case, RELEASES, "champion")):
            return _first_model(instance, use_case, landed)
    return _next_day(domain, settings, landed)


def _first_model(instance: dg.DagsterInstance, use_case: UseCase, landed: str) -> dg.RunRequest | dg.SkipReason:
    if exists(instance, key(use_case, MODELS, "registered_version")):
        return dg.SkipReason(f"{use_case.name} has a version but no champion yet: the first live day waits for it")
    return dg.RunRequest(
        job_name=automation(use_case, TRAIN), run_key=f"{use_case.name}/first/{landed}", partition_key=landed
    )


def _next_day(domain: Domain, settings: Settings, landed: str) -> dg.RunRequest | dg.SkipReason:
    day = shift(landed, 1)
    last = min(filter(None, (settings.feed_until, domain.last_day)), default=None)
    if last is not None and day > last:
        return dg.SkipReason(f"the feed ends with {last}")
    return dg.RunRequest(job_name=automation(domain, DAY), run_key=f"{domain.name}/day/{day}", partition_key=day)
