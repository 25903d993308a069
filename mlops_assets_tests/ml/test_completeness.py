"""Rows of a day against what was published: the limits, and which days of the real year they name."""

import pandas as pd
import pytest

from mlops_assets.adapters.source import NycFlights
from mlops_assets.assets.partitions import span
from mlops_assets.ml import completeness
from mlops_assets.ml.completeness import BROKEN_SHARE, DOUBTFUL_SHARE, MISSING_HOURS, hours_in
from mlops_assets.ml.datasets import check

DAY, NEXT = "2013-04-02", "2013-04-03"


@pytest.mark.parametrize(("day", "hours"), [("2013-03-10", 23), ("2013-11-03", 25), ("2013-07-04", 24)])
def test_a_day_has_as_many_hours_as_new_yorks_clocks_say(day: str, hours: int) -> None:
    assert hours_in(day) == hours
    (told,) = completeness.observations(pd.DataFrame({"day": [], "origin": []}), [day])
    assert (set(told.expected.values()), told.most_missing) == ({hours}, hours)


def test_a_red_eye_is_expected_on_the_day_on_which_it_should_land() -> None:
    schedule = pd.DataFrame(
        {
            "sched_arr_at": pd.to_datetime(["2013-04-03T03:00:00Z", "2013-04-03T09:00:00Z"], utc=True),
            "origin": ["JFK", "JFK"],
        }
    )
    arrivals = pd.DataFrame({"day": [NEXT], "origin": ["JFK"]})
    before, after = completeness.landings(schedule, arrivals, [DAY, NEXT])
    assert (before.expected["JFK"], before.found["JFK"], before.shares["JFK"]) == (1, 0, 0.0)
    assert (after.expected["JFK"], after.found["JFK"], after.shares["JFK"]) == (1, 1, 1.0)
    assert after.shares["LGA"] == 1.0, "nothing was to be expected"


@pytest.mark.integration
def test_the_real_year_is_complete_but_for_its_storms_and_outages() -> None:
    source, days = NycFlights(), span("2013-01-01", "2013-12-31")
    references = source.references()
    frames = {
        name: check(name, source.parts(name, days), references).good for name in ("flights", "arrivals", "weather")
    }
    least = {day.day: min(day.shares.values()) for day in completeness.landings(*list(frames.values())[:2], days)}
    assert [day for day, share in least.items() if share < DOUBTFUL_SHARE] == ["2013-02-08", "2013-02-09"]
    assert min(least.values()) > BROKEN_SHARE
    missing = {day.day: day.most_missing for day in completeness.observations(frames["weather"], days)}
    outages = ["2013-10-25", "2013-11-02", "2013-12-30", "2013-12-31"]
    assert [day for day, hours in missing.items() if hours > MISSING_HOURS] == outages
    assert completeness.strange_flights(frames["flights"], references).isna().all()
    assert completeness.strange_arrivals(frames["arrivals"], frames["flights"], days[0]).isna().all()
    assert not any(completeness.airports_without_schedule(frames["flights"], days).values())
