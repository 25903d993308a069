"""The landing: the raw files of a day, as they were delivered.

Here: landing. Belongs here: the way from a source into the landing folder. Does not: judging a row.
"""

from collections.abc import Mapping

import dagster as dg

from mlops_assets.adapters.replay import LivedDay, Replay
from mlops_assets.adapters.source import LandedFile, LandedSource
from mlops_assets.assets.address import DATASETS, group, key
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.range_runs import Day, Recorded, recorded
from mlops_assets.contracts import Domain
from mlops_assets.ml.bundles import digest_of


def landing_asset(domain: Domain) -> dg.AssetsDefinition:
    """The asset ``landing``."""

    @dg.asset(
        key=key(domain, DATASETS, "landing"),
        group_name=group(domain, DATASETS),
        partitions_def=calendar(domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def landing(
        context: dg.AssetExecutionContext, source: dg.ResourceParam[LandedSource], replay: dg.ResourceParam[Replay]
    ) -> Recorded:
        """The raw files of the day as delivered; a live day is first lived through, hour by hour, with its traffic."""

        def make(days: list[str]) -> Mapping[str, Day]:
            lived = {day: replay.live(domain, day) for day in days if replay.is_next(domain, day)}
            files = {day: source.land(day, source.day(day)) for day in days}
            return {day: _landed_day(files[day], lived.get(day)) for day in days}

        yield from recorded(context, make)

    return landing


def _landed_day(files: Mapping[str, LandedFile], lived: LivedDay | None) -> Day:
    """What the graph is told of one landed day; its data version changes when any of its files does."""
    digest = digest_of("".join(f"{name} {file.digest}\n" for name, file in sorted(files.items())).encode())
    told = {
        "rows": sum(file.rows for file in files.values()),
        "requests": lived.requests if lived else 0,
        "answers": lived.answers if lived else 0,
        "problems": dg.MetadataValue.json(list(lived.problems if lived else ())),
    }
    return Day(data_version=digest, metadata=told)
