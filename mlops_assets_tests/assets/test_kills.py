"""A backfill that is killed, wherever, and run again leaves what an undisturbed one leaves; no half write is seen."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mlops_assets_tests.backfill import ASSETS, DAYS, backfill, instance, tables
from mlops_assets_tests.system_calls import Call, Moment, run

pytestmark = pytest.mark.integration
MAKES_OR_WRITES = "openat|write|pwrite64"
FLIGHTS, CARRIERS = "flights/datasets/flights", "flights/features/carrier_delays"
FIRST_ROWS = "00000000000000000001.json*"
"""The commit that follows the one by which a table is made."""
FLIGHTS_WRITTEN = Moment("linkat", f"*/{FLIGHTS}/_delta_log/{FIRST_ROWS}")
CARRIERS_WRITTEN = Moment("linkat", f"*/{CARRIERS}/_delta_log/{FIRST_ROWS}")
MOMENTS = {
    "as the run is created": Moment(MAKES_OR_WRITES, "*/dagster/*", 30),
    "in a landed file": Moment("write", "*/landing/*/.arrivals.csv.*", 2),
    "before a landed file has its name": Moment("rename|renameat", "*/landing/*/.weather.csv.*", 2),
    "as a table is made": Moment("linkat", f"*/{FLIGHTS}/_delta_log/00000000000000000000.json*"),
    "before the first data file": Moment("openat", f"*/{FLIGHTS}/*.parquet*"),
    "in a data file": Moment("write", f"*/{FLIGHTS}/*.parquet*", 2),
    "before a data file has its name": Moment("rename|renameat", "*/datasets/arrivals/*.parquet*", 2),
    "between data files and commit": FLIGHTS_WRITTEN,
    "between commit and Dagster's event": Moment(MAKES_OR_WRITES, "*/dagster/*", after=FLIGHTS_WRITTEN),
    "between two days' events": Moment("pwrite64", "*/dagster/*", 12, after=FLIGHTS_WRITTEN),
    "between two assets": Moment("openat", "*/datasets/quarantine/*"),
    "between features' data files and commit": CARRIERS_WRITTEN,
    "between features' commit and event": Moment(MAKES_OR_WRITES, "*/dagster/*", after=CARRIERS_WRITTEN),
}
FIFTHS = range(1, 5)


@dataclass(frozen=True)
class Undisturbed:
    """What a backfill leaves that nobody killed, and the calls it made."""

    rows: dict[str, pd.DataFrame]
    versions: dict[tuple[str, str], str]
    calls: list[Call]


def versions(state: Path) -> dict[tuple[str, str], str]:
    """(asset, day) -> the data version that Dagster has on record."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    with instance(state) as record:
        told = {
            asset.to_user_string(): record.event_log_storage.get_latest_tags_by_partition(
                asset, kind, ["dagster/data_version"]
            )
            for asset in ASSETS
        }
    return {(asset, day): tags["dagster/data_version"] for asset, days in told.items() for day, tags in days.items()}


def rows(state: Path) -> dict[str, pd.DataFrame]:
    held = tables(state)
    return {name: held.read(name) for name in held.names()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    state = tmp_path_factory.mktemp("undisturbed")
    code, calls = run(backfill, state)
    assert code == 0
    found = Undisturbed(rows(state), versions(state), calls)
    assert len(found.versions) == len(ASSETS) * len(DAYS)
    assert len(found.rows["flights/datasets/quarantine"]) == 1, "the wind of 1,048 miles per hour"
    return found


def assert_whole(state: Path, undisturbed: Undisturbed) -> None:
    """After a kill every table shows all rows of a commit or none of them."""
    for name, found in rows(state).items():
        assert_frame_equal(found, undisturbed.rows[name].iloc[: len(found)])
        assert len(found) in (0, len(undisturbed.rows[name])), name


def assert_mended(state: Path, undisturbed: Undisturbed) -> None:
    """After a second run everything is as if nothing had happened."""
    assert run(backfill, state)[0] == 0
    found = rows(state)
    assert found.keys() == undisturbed.rows.keys()
    for name, wanted in undisturbed.rows.items():
        assert_frame_equal(found[name], wanted)
    assert versions(state) == undisturbed.versions


def data_files(state: Path) -> int:
    return len(list((state / "tables" / FLIGHTS).glob("day=*/*.parquet")))


def what_it_left(state: Path, moment: str, undisturbed: Undisturbed) -> None:
    """That the kill came when it should."""
    if moment == "between data files and commit":
        assert data_files(state) == len(DAYS)
        assert tables(state).read(FLIGHTS).empty
    if moment == "between commit and Dagster's event":
        assert_frame_equal(tables(state).read(FLIGHTS), undisturbed.rows[FLIGHTS])
        assert FLIGHTS not in {asset for asset, _ in versions(state)}
    if moment == "between features' commit and event":
        assert_frame_equal(tables(state).read(CARRIERS), undisturbed.rows[CARRIERS])
        assert CARRIERS not in {asset for asset, _ in versions(state)}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_backfill_killed_at_this_moment_is_mended_by_another_run(tmp_path, undisturbed, moment):
    code, _ = run(backfill, tmp_path, until=MOMENTS[moment])
    assert code == -9, "the moment never came"
    assert_whole(tmp_path, undisturbed)
    what_it_left(tmp_path, moment, undisturbed)
    assert_mended(tmp_path, undisturbed)


@pytest.mark.parametrize("fifth", FIFTHS)
def test_a_backfill_killed_at_any_fifth_of_its_calls_is_mended_by_another_run(tmp_path, undisturbed, fifth):
    every = Moment("|".join({call.name for call in undisturbed.calls}), "*", len(undisturbed.calls) * fifth // 5)
    assert run(backfill, tmp_path, until=every)[0] == -9
    assert_whole(tmp_path, undisturbed)
    assert_mended(tmp_path, undisturbed)


def test_a_backfill_killed_again_and_again_gets_there_and_leaves_files_that_a_vacuum_takes(tmp_path, undisturbed):
    for moment in ("in a landed file", "in a data file", "between data files and commit", "between two assets"):
        run(backfill, tmp_path, until=MOMENTS[moment])
        assert_whole(tmp_path, undisturbed)
    assert_mended(tmp_path, undisturbed)
    assert data_files(tmp_path) > len(DAYS)
    tables(tmp_path).vacuum(FLIGHTS, (), older_than_hours=0)
    assert data_files(tmp_path) == len(DAYS)
    assert_whole(tmp_path, undisturbed)


def test_two_backfills_of_the_same_days_at_once_leave_what_one_leaves(tmp_path, undisturbed):
    # Dagster does not bear that two processes make its SQLite files at once; a deployment has made them long before.
    with instance(tmp_path):
        pass
    context = multiprocessing.get_context("forkserver")
    both = [context.Process(target=backfill, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(200)
    assert [process.exitcode for process in both] == [0, 0]
    assert_whole(tmp_path, undisturbed)
    assert {name: len(frame) for name, frame in rows(tmp_path).items()} == {
        name: len(frame) for name, frame in undisturbed.rows.items()
    }
    assert versions(tmp_path) == undisturbed.versions
