"""A drain that is killed, wherever, and run again has every answer of the log in the table, once."""

from pathlib import Path

import pytest

from mlops_assets.assets.address import MONITORING, table
from mlops_assets_tests.backfill import tables
from mlops_assets_tests.draining import DAYS, USE_CASE, drain, log, record
from mlops_assets_tests.system_calls import Call, Moment, run

pytestmark = pytest.mark.integration
TRAFFIC = table(USE_CASE, MONITORING, "traffic")
WRITTEN = Moment("linkat", f"*/{TRAFFIC}/_delta_log/00000000000000000001.json*")
MOMENTS = {
    "as the table is made": Moment("linkat", f"*/{TRAFFIC}/_delta_log/00000000000000000000.json*"),
    "before the first data file": Moment("openat", f"*/{TRAFFIC}/*.parquet*"),
    "in a data file": Moment("write", f"*/{TRAFFIC}/*.parquet*", 2),
    "between data files and commit": WRITTEN,
    "between commit and Dagster's event": Moment("openat|write|pwrite64", "*/dagster/*", after=WRITTEN),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    log(tmp_path).append([record(number, DAYS[number % 2]) for number in range(20)])
    return tmp_path


def held(state: Path) -> list[str]:
    if TRAFFIC not in tables(state).names():
        return []
    return sorted(tables(state).read(TRAFFIC, columns=["request_id"])["request_id"])


def logged(state: Path) -> list[str]:
    return sorted(kept.request_id for kept in log(state).read())


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """Those of a drain that nobody kills."""
    state = tmp_path_factory.mktemp("undisturbed")
    log(state).append([record(number, DAYS[number % 2]) for number in range(20)])
    code, made = run(drain, state)
    assert code == 0
    assert held(state) == logged(state)
    return made


def assert_mended(state: Path, before: list[str]) -> None:
    """The server went on while nobody drained."""
    assert held(state) in ([], before), "all rows of a commit or none"
    log(state).append([record(number, DAYS[number % 2]) for number in range(15, 25)])
    for _ in range(2):
        assert run(drain, state)[0] == 0
        assert held(state) == logged(state)
        assert len(held(state)) == 25


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_drain_killed_at_this_moment_is_mended_by_another_one(state, moment):
    before = logged(state)
    assert run(drain, state, until=MOMENTS[moment])[0] == -9, "the moment never came"
    if moment == "between data files and commit":
        assert held(state) == []
    if moment == "between commit and Dagster's event":
        assert held(state) == before
    assert_mended(state, before)


@pytest.mark.parametrize("fifth", range(1, 5))
def test_a_drain_killed_at_any_fifth_of_its_calls_is_mended_by_another_one(state, calls, fifth):
    every = Moment("|".join({call.name for call in calls}), "*", len(calls) * fifth // 5)
    before = logged(state)
    assert run(drain, state, until=every)[0] == -9
    assert_mended(state, before)
