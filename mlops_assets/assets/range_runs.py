"""Runs over many days: worked off in blocks, recorded day by day.

Here: ``recorded``, which gives every partition of a run its own data version, row count and metadata. Belongs here:
what a run of a range owes to each of its days. Does not: the calendar (``assets.partitions``), writing rows.

Dagster gives all partitions of a range run one ``MaterializeResult``, and with it one data version; a day landed
again unchanged would then make everything after it stale, or a changed one nothing. So the days are told one by one,
with the same tags that Dagster itself puts on a run of one day: the day's own data version, and which materializations
of the upstream assets it was made from (``DataProvenance``), which is what Dagster's staleness compares. One event a
day and nothing more: SQLite takes 10 to 40 ms for each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pandas as pd
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from mlops_assets.assets.partitions import days_of
from mlops_assets.contracts import TableVersion

BLOCK_DAYS = 183
"""Half a year: a year of flights at once takes 900 MB, and memory must not grow with the range."""


Recorded = Iterator[dg.AssetMaterialization | dg.MaterializeResult]
"""What an asset body that ends with ``yield from recorded(...)`` returns."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """What a run made of one day."""

    data_version: str
    """Digest of its rows: the same for the same rows, whoever made them and when."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def days_made(version: TableVersion, rows: Mapping[str, int], **columns: Mapping[str, Any]) -> dict[str, Day]:
    """The days of one write: the number of their rows (0 for a day that is not in ``rows``) and what else is told of
    a day, by name and day."""

    def told(day: str) -> dict[str, Any]:
        own = {name: values[day] for name, values in columns.items() if day in values}
        return {"dagster/partition_row_count": rows.get(day, 0), "table_version": version.version, **own}

    return {day: Day(data_version=digest, metadata=told(day)) for day, digest in version.day_digests.items()}


def blocks(days: list[str]) -> list[list[str]]:
    """The days in parts of BLOCK_DAYS."""
    return [days[start : start + BLOCK_DAYS] for start in range(0, len(days), BLOCK_DAYS)]


def rows_by_day(frame: pd.DataFrame) -> dict[str, int]:
    """Day -> number of its rows, of the days that have any."""
    return {str(day): int(count) for day, count in frame["day"].value_counts(sort=False).items()}


def recorded(
    context: dg.AssetExecutionContext,
    make: Callable[[list[str]], Mapping[str, Day]],
    check_results: Sequence[dg.AssetCheckResult] = (),
) -> Recorded:
    """Make the days of this run block by block and record each; an asset body ends with ``yield from recorded(...)``.

    ``make`` takes the days of a block, writes them in one commit and tells what became of each. A run that dies keeps
    the blocks it had finished. Raises KeyError when ``make`` leaves out a day.
    """
    days = days_of(context)
    if len(days) == 1:
        made = make(days)[days[0]]
        version = dg.DataVersion(made.data_version)
        yield dg.MaterializeResult(metadata=made.metadata, data_version=version, check_results=list(check_results))
        return
    provenance = _provenance(context)
    for block in blocks(days):
        made = make(block)
        for day in block:
            yield _event(context, day, made[day], provenance)
    # The step's own output lets downstream steps go on. It would tell every day once more, all with one data version,
    # but for this mark, by which Dagster knows a body that has told its events itself.
    quiet = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
    yield dg.MaterializeResult(metadata=quiet, check_results=list(check_results))


def _event(
    context: dg.AssetExecutionContext, day: str, made: Day, provenance: Mapping[str, str]
) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        asset_key=context.asset_key,
        partition=day,
        metadata=dict(made.metadata),
        tags={**provenance, DATA_VERSION_TAG: made.data_version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
    )


def _provenance(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Which materializations of the upstream assets this step saw when it began, as Dagster's own tags."""
    step = context.get_step_execution_context()
    tags = {CODE_VERSION_TAG: context.assets_def.code_versions_by_key.get(context.asset_key) or context.run_id}
    for upstream in context.assets_def.asset_deps[context.asset_key]:
        seen = step.maybe_fetch_and_get_input_asset_version_info(upstream)
        version = seen.data_version if seen and seen.data_version else DEFAULT_DATA_VERSION
        tags[get_input_data_version_tag(upstream)] = version.value
        tags[get_input_event_pointer_tag(upstream)] = str(seen.storage_id) if seen else NULL_EVENT_POINTER
    return tags
