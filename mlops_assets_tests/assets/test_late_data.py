"""Late and corrected data: a day landed again makes exactly what was made from it stale, by Dagster's own staleness."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, key
from mlops_assets.assets.partitions import shift, span
from mlops_assets.assets.range_runs import rows_by_day
from mlops_assets.ml.digests import content_digest
from mlops_assets.ml.features import VIEWS
from mlops_assets_tests.conftest import Twins, new_twins

FIRST, LAST = "2013-03-01", "2013-03-15"
DAYS = span(FIRST, LAST)
DAY = "2013-03-05"
NAMES = ("landing", "flights", "arrivals", "weather", "quarantine")


def lived_through(folder: Path) -> Twins:
    """Two weeks of datasets and features as one range run."""
    twins = new_twins(folder)
    twins.materialize(assets(twins), FIRST, LAST)
    return twins


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Lived once, for the tests that only look."""
    return lived_through(tmp_path_factory.mktemp("history"))


def assets(twins: Twins) -> list[dg.AssetKey]:
    return [*datasets(twins), *(key(twins.domain, FEATURES, view) for view in FEATURE_VIEWS)]


def datasets(twins: Twins) -> list[dg.AssetKey]:
    return [key(twins.domain, DATASETS, name) for name in NAMES]


def stale(twins: Twins, wanted: Iterable[dg.AssetKey] | None = None) -> set[tuple[str, str]]:
    """(asset's name, day) of everything that Dagster does not call fresh."""
    resolver = CachingStaleStatusResolver(
        twins.instance, twins.definitions.resolve_asset_graph(), LoadingContextForTest(twins.instance)
    )
    return {
        (asset.path[-1], day)
        for asset in wanted or assets(twins)
        for day in DAYS
        if resolver.get_status(asset, day) is not StaleStatus.FRESH
    }


def versions(twins: Twins) -> dict[tuple[str, str], str]:
    """(asset's name, day) -> data version, as Dagster knows it now."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    told = {
        asset: twins.instance.event_log_storage.get_latest_tags_by_partition(asset, kind, ["dagster/data_version"])
        for asset in assets(twins)
    }
    return {(a.path[-1], day): tags["dagster/data_version"] for a, days in told.items() for day, tags in days.items()}


def correct(twins: Twins, day: str) -> None:
    """The source delivers the day's arrivals once more: the first three landed ten minutes later than it had said."""
    raw = twins.source.day(day)
    arrivals = raw.arrivals.copy()
    arrivals.loc[:2, "arr_delay"] += 10
    arrivals.loc[:2, "arr_time"] = [ten_minutes_later(clock) for clock in arrivals.loc[:2, "arr_time"]]
    twins.source.land(day, replace(raw, arrivals=arrivals))


def ten_minutes_later(clock: float) -> float:
    minutes = int(clock) // 100 * 60 + int(clock) % 100 + 10
    return float(minutes // 60 % 24 * 100 + minutes % 60)


def reaching_back_to(day: str, dataset: str) -> set[tuple[str, str]]:
    """The snapshots that were made from a day of a dataset."""
    readers = {name: view.lookback_days for name, view in VIEWS.items() if dataset in view.inputs}
    return {(name, later) for name, back in readers.items() for later in span(day, min(shift(day, back), LAST))}


def test_after_a_range_run_every_day_is_fresh_and_has_its_own_data_version(history):
    assert stale(history) == set()
    told = versions(history)
    for name in ("landing", "flights", "arrivals", "weather", *FEATURE_VIEWS):
        assert len({told[name, day] for day in DAYS}) == len(DAYS), name
    tables = history.memory.tables
    for name, day in (("arrivals", DAY), ("flights", LAST)):
        assert told[name, day] == content_digest(tables.read(f"flights/datasets/{name}", day, day))


def test_a_range_run_records_each_day_once_with_its_own_row_count(history):
    for name in ("arrivals", "weather"):
        asset = key(history.domain, DATASETS, name)
        events = history.instance.fetch_materializations(asset, limit=100).records
        told = {e.partition_key: e.asset_materialization.metadata["dagster/partition_row_count"].value for e in events}
        assert (len(events), sorted(told)) == (len(DAYS), DAYS)
        assert told == rows_by_day(history.memory.tables.read(f"flights/datasets/{name}"))


def test_single_runs_and_a_range_run_tell_the_same_versions(history, tmp_path):
    single = new_twins(tmp_path)
    for day in DAYS[:2]:
        single.materialize(datasets(single), day)
    told = versions(history)
    assert versions(single) == {place: told[place] for place in versions(single)}


def test_an_unchanged_landing_leaves_everything_fresh(tmp_path):
    twins = lived_through(tmp_path)
    before = versions(twins)
    twins.materialize(datasets(twins), DAY)
    twins.materialize(datasets(twins), FIRST, DAYS[4])
    assert versions(twins) == before
    assert stale(twins) == set()


@pytest.mark.parametrize("last", [None, "2013-03-08"], ids=["in a run of its own", "in a range run"])
def test_a_corrected_day_makes_stale_what_was_made_from_it_and_nothing_else(tmp_path, last):
    twins = lived_through(tmp_path)
    before, rows = versions(twins), twins.memory.tables.version("flights/datasets/arrivals")
    correct(twins, DAY)
    twins.materialize(datasets(twins), DAY, last)
    after = versions(twins)
    assert {place for place in before if before[place] != after[place]} == {("landing", DAY), ("arrivals", DAY)}
    assert twins.memory.tables.changed_days("flights/datasets/arrivals", rows) == [DAY]
    assert stale(twins) == reaching_back_to(DAY, "arrivals")


def test_after_a_correction_only_what_is_stale_need_be_made_again(tmp_path):
    twins = lived_through(tmp_path)
    correct(twins, DAY)
    twins.materialize(datasets(twins), DAY)
    for view in sorted({name for name, _ in stale(twins)}):
        days = sorted(day for name, day in stale(twins) if name == view)
        twins.materialize([key(twins.domain, FEATURES, view)], days[0], days[-1])
    assert stale(twins) == set()


def test_a_landing_without_the_datasets_after_it_makes_these_stale(tmp_path):
    twins = lived_through(tmp_path)
    correct(twins, DAY)
    twins.materialize([key(twins.domain, DATASETS, "landing")], DAY)
    assert stale(twins, datasets(twins)) == {(name, DAY) for name in NAMES if name != "landing"}
