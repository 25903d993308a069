"""One daily calendar for everything, and the mappings that say which days an asset was made from.

Here: the calendar of a domain, the mappings between its days, the days of a run. Belongs here: anything about
partitions that two stages share. Does not: reading or writing partitions.

A model's partition is its cut-off day: the last day it was trained on.
"""

from datetime import date, timedelta

import dagster as dg

from mlops_assets.contracts import Domain, UseCase


def calendar(domain: Domain) -> dg.DailyPartitionsDefinition:
    """The days of a domain, in its own time zone; open-ended when the domain has no last day."""
    end = None if domain.last_day is None else shift(domain.last_day, 1)
    return dg.DailyPartitionsDefinition(start_date=domain.first_day, end_date=end, timezone=domain.timezone)


def window(first: int, last: int = 0) -> dg.TimeWindowPartitionMapping:
    """Depends on the upstream days from ``first`` to ``last`` days away, clipped at the calendar's ends."""
    return dg.TimeWindowPartitionMapping(
        start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True
    )


def training_window(use_case: UseCase) -> dg.TimeWindowPartitionMapping:
    """The days a training set is made from: its window up to the cut-off day, or everything before it."""
    return window(1 - (use_case.training.window_days or calendar_length(use_case.domain)))


def calendar_length(domain: Domain) -> int:
    """Days of the calendar; ten years where it is open-ended, which reaches back before any first day."""
    if domain.last_day is None:
        return 3653
    return (date.fromisoformat(domain.last_day) - date.fromisoformat(domain.first_day)).days + 1


def shift(day: str, days: int) -> str:
    """The ISO day that many days later (or earlier)."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def span(first_day: str, last_day: str) -> list[str]:
    """Every ISO day from the first to the last, both included.

    >>> span("2013-02-27", "2013-03-01")
    ['2013-02-27', '2013-02-28', '2013-03-01']
    """
    length = (date.fromisoformat(last_day) - date.fromisoformat(first_day)).days + 1
    return [shift(first_day, offset) for offset in range(length)]


def days_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[str]:
    """The days of this run, in order: one, or all of a range run."""
    bounds = context.partition_key_range
    return span(bounds.start, bounds.end)
