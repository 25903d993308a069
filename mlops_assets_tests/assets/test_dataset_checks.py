"""Checks of what landed, each seen failing, for one day and for each day of a range run."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from mlops_assets.adapters.source import RawDay
from mlops_assets.assets.address import DATASETS, FEATURES, key
from mlops_assets.automation.feed import RANGE_END, RANGE_START
from mlops_assets_tests.conftest import Twins, checks_of, new_twins

FIRST, DAY, LAST = "2013-03-09", "2013-03-10", "2013-03-11"
NAMES = ("landing", "flights", "arrivals", "weather")
CHECKS = {
    "schedule_is_whole": "flights",
    "arrivals_were_scheduled": "arrivals",
    "most_scheduled_flights_arrive": "arrivals",
    "every_hour_is_observed": "weather",
}


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Three days (the clocks go forward on the second), landed once."""
    twins = new_twins(tmp_path_factory.mktemp("landed"))
    twins.materialize([key(twins.domain, DATASETS, name) for name in NAMES], FIRST, LAST)
    return twins


@pytest.fixture
def own(landed: Twins) -> Iterator[Twins]:
    """The same, to do harm to: afterwards the tables are as they were, and no run of the test is on record."""
    tables, instance = landed.memory.tables, landed.instance
    kept = copy.deepcopy(vars(tables))
    landed.instance = dg.DagsterInstance.ephemeral()
    yield landed
    vars(tables).update(kept)
    landed.instance = instance


def judge(twins: Twins, check: str, day: str, last: str | None = None) -> Any:
    """One run of a check alone."""
    job = twins.definitions.resolve_implicit_global_asset_job_def()
    wanted = dg.AssetCheckKey(key(twins.domain, DATASETS, CHECKS[check]), check)
    alone = job.get_subset(asset_selection=set(), asset_check_selection={wanted})
    days = {"partition_key": day} if last is None else {"tags": {RANGE_START: day, RANGE_END: last}}
    return alone.execute_in_process(instance=twins.instance, raise_on_error=False, **days)


def change(twins: Twins, dataset: str, how: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Write one day of a table past its contract."""
    address = f"flights/datasets/{dataset}"
    rows = how(twins.memory.tables.read(address, DAY, DAY))
    twins.memory.tables.replace(address, rows, [DAY], {})


def verdicts(result: Any) -> dict[str | None, tuple[bool, str]]:
    """Partition -> (passed, severity) of a run of one check."""
    return {e.partition: (e.passed, e.severity.value) for e in result.get_asset_check_evaluations()}


@pytest.mark.parametrize("check", CHECKS)
def test_three_honest_days_pass_each_on_its_own(own, check):
    told = verdicts(judge(own, check, DAY)) | verdicts(judge(own, check, FIRST, LAST))
    assert {day: passed for day, (passed, _) in told.items()} == {FIRST: True, DAY: True, LAST: True, None: True}


def without(airport: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows[rows["origin"] != airport]


HARM = {
    "an airport without schedule": ("schedule_is_whole", "flights", without("LGA"), "ERROR"),
    "a doubled flight": ("schedule_is_whole", "flights", lambda rows: pd.concat([rows, rows.head(1)]), "ERROR"),
    "an unknown carrier": ("schedule_is_whole", "flights", lambda rows: rows.assign(carrier="ZZ"), "ERROR"),
    "an unknown destination": ("schedule_is_whole", "flights", lambda rows: rows.assign(dest="XXX"), "ERROR"),
    "an arrival nobody scheduled": (
        "arrivals_were_scheduled", "arrivals", lambda rows: rows.assign(flight_id=rows["flight_id"] + "X"), "WARN"),
    "a doubled arrival": (
        "arrivals_were_scheduled", "arrivals", lambda rows: pd.concat([rows, rows.head(1)]), "ERROR"),
    "an airport's arrivals missing": ("most_scheduled_flights_arrive", "arrivals", without("EWR"), "ERROR"),
    "a feed that broke off": ("most_scheduled_flights_arrive", "arrivals", lambda rows: rows.head(100), "ERROR"),
    "a schedule that broke off": ("most_scheduled_flights_arrive", "flights", lambda rows: rows.iloc[::12], "ERROR"),
    "a storm": ("most_scheduled_flights_arrive", "arrivals", lambda rows: rows.iloc[::2], "WARN"),
    "an airport's weather missing": ("every_hour_is_observed", "weather", without("JFK"), "WARN"),
    "four hours missing": (
        "every_hour_is_observed", "weather", lambda rows: rows.iloc[12:], "WARN"),
    "a doubled observation": (
        "every_hour_is_observed", "weather", lambda rows: pd.concat([rows, rows.head(1)]), "ERROR"),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_harm_to_a_day_is_seen_on_that_day_alone(own, harm):
    check, dataset, how, severity = HARM[harm]
    change(own, dataset, how)
    single, ranged = judge(own, check, DAY), judge(own, check, FIRST, LAST)
    assert verdicts(single) == {DAY: (False, severity)}
    told = verdicts(ranged)
    assert told[DAY] == (False, severity)
    assert told[None] == (False, severity)
    assert (told[FIRST][0], told[LAST][0]) == (True, True)
    # What blocks fails the run, so that nothing is made from the day; a warning does not.
    assert single.success == ranged.success == (severity == "WARN")


def test_a_flight_that_lands_on_two_days_is_seen_on_both(own):
    def once_more(rows: pd.DataFrame) -> pd.DataFrame:
        before = own.memory.tables.read("flights/datasets/arrivals", FIRST, FIRST).head(1)
        return pd.concat([rows, before.assign(day=DAY)])

    change(own, "arrivals", once_more)
    told = verdicts(judge(own, "arrivals_were_scheduled", FIRST, LAST))
    assert {day: passed for day, (passed, _) in told.items() if day} == {FIRST: False, DAY: False, LAST: True}


def test_the_day_on_which_the_clocks_go_forward_has_one_hour_less(own):
    event = judge(own, "every_hour_is_observed", DAY).get_asset_check_evaluations()[0]
    assert "| EWR | 23 | 23 |" in event.metadata["rows"].value


def test_every_day_of_a_range_is_on_record_and_points_to_what_it_judged(landed):
    wanted = dg.AssetCheckKey(key(landed.domain, DATASETS, "arrivals"), "most_scheduled_flights_arrive")
    records = landed.instance.event_log_storage.get_asset_check_execution_history(wanted, limit=10)
    told = {record.partition: record for record in records}
    assert told.keys() == {FIRST, DAY, LAST, None}
    assert {record.status.value for record in records} == {"SUCCEEDED"}
    for day in (FIRST, DAY, LAST):
        seen = told[day].event.dagster_event.asset_check_evaluation_data.target_materialization_data
        (record,) = landed.instance.fetch_materializations(
            dg.AssetRecordsFilter(wanted.asset_key, asset_partitions=[day]), limit=1
        ).records
        assert seen.storage_id == record.storage_id


def test_nothing_is_made_from_a_day_whose_feed_broke_off(tmp_path):
    twins = new_twins(tmp_path)
    raw = twins.source.day(DAY)
    twins.source.land(DAY, RawDay(flights=raw.flights, arrivals=raw.arrivals.head(100), weather=raw.weather))
    made = [key(twins.domain, DATASETS, name) for name in NAMES] + [key(twins.domain, FEATURES, "origin_delays")]
    result = twins.materialize(made, DAY, fails=True)
    assert not result.success
    assert checks_of(result)["arrivals/most_scheduled_flights_arrive"] is False
    assert twins.memory.tables.version("flights/features/origin_delays") is None
    twins.source.land(DAY, raw)
    assert twins.materialize(made, DAY).success
