"""Range runs: bounded blocks, one event for each day, the days after them still run."""

from collections.abc import Mapping

import dagster as dg
import pytest

from mlops_assets.assets import range_runs
from mlops_assets.assets.partitions import days_of, span
from mlops_assets.assets.range_runs import Day, Recorded, recorded
from mlops_assets.automation.feed import RANGE_END, RANGE_START

FIRST, LAST = "2013-01-01", "2013-01-31"
BLOCK_DAYS = 12
DAYS = span(FIRST, LAST)
CALENDAR = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_runs, "BLOCK_DAYS", BLOCK_DAYS)


class Chain:
    """Two assets, one after the other; what the first made of which days, and where it is to die."""

    def __init__(self) -> None:
        self.blocks: list[list[str]] = []
        self.dies_in: int | None = None
        self.instance = dg.DagsterInstance.ephemeral()

        def make(days: list[str]) -> Mapping[str, Day]:
            if len(self.blocks) == self.dies_in:
                raise RuntimeError("no room left on the disk")
            self.blocks.append(days)
            return {day: Day(data_version=f"v{day}", metadata={"number": int(day[-2:])}) for day in days}

        @dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
        def first(context: dg.AssetExecutionContext) -> Recorded:
            yield from recorded(context, make)

        @dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run(), deps=[first])
        def second(context: dg.AssetExecutionContext) -> Recorded:
            yield from recorded(context, lambda days: {day: Day(data_version="same") for day in days_of(context)})

        self.definitions = dg.Definitions(assets=[first, second], executor=dg.in_process_executor)

    def run(self, first: str, last: str) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        tags = {RANGE_START: first, RANGE_END: last}
        return job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)

    def told(self, asset: str) -> dict[str, dg.AssetMaterialization]:
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
        assert len({record.partition_key for record in records}) == len(records), "a day was told twice"
        return {str(r.partition_key): r.asset_materialization for r in records if r.asset_materialization}


def test_a_long_range_is_worked_off_in_blocks_and_told_day_by_day():
    chain = Chain()
    assert chain.run(FIRST, LAST).success
    assert [len(block) for block in chain.blocks] == [BLOCK_DAYS, BLOCK_DAYS, len(DAYS) - 2 * BLOCK_DAYS]
    assert [day for block in chain.blocks for day in block] == DAYS
    told = chain.told("first")
    assert sorted(told) == DAYS
    assert {day: event.metadata["number"].value for day, event in told.items()} == {d: int(d[-2:]) for d in DAYS}
    assert {event.tags["dagster/data_version"] for event in told.values()} == {f"v{day}" for day in DAYS}


def test_the_asset_after_a_range_runs_in_the_same_run_and_knows_what_it_was_made_from():
    chain = Chain()
    chain.run(FIRST, LAST)
    newest = max(
        chain.instance.fetch_materializations(dg.AssetKey("first"), limit=1).records, key=lambda r: r.storage_id
    )
    told = chain.told("second")
    assert sorted(told) == DAYS
    assert {event.tags["dagster/input_event_pointer/first"] for event in told.values()} == {str(newest.storage_id)}
    assert {event.tags["dagster/input_data_version/first"] for event in told.values()} != {"INITIAL"}


def test_a_run_that_dies_keeps_the_blocks_it_had_finished():
    chain = Chain()
    chain.dies_in = 1
    assert not chain.run(FIRST, LAST).success
    assert sorted(chain.told("first")) == DAYS[:BLOCK_DAYS]
    assert chain.told("second") == {}


def test_a_run_of_one_day_tells_it_once():
    chain = Chain()
    job = chain.definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=chain.instance, partition_key="2013-02-03")
    (event,) = chain.told("first").values()
    assert (event.tags["dagster/data_version"], event.metadata["number"].value) == ("v2013-02-03", 3)
    assert event.tags["dagster/data_version_is_user_provided"] == "true"


def test_a_day_that_was_left_out_is_an_error():
    chain = Chain()

    @dg.asset(partitions_def=CALENDAR, backfill_policy=dg.BackfillPolicy.single_run())
    def forgetful(context: dg.AssetExecutionContext) -> Recorded:
        yield from recorded(context, lambda days: {days[0]: Day(data_version="v")})

    tags = {RANGE_START: "2013-01-01", RANGE_END: "2013-01-02"}
    job = dg.Definitions(assets=[forgetful]).resolve_implicit_global_asset_job_def()
    with pytest.raises(KeyError, match="2013-01-02"):
        job.execute_in_process(instance=chain.instance, tags=tags)
