"""``mlops incidents``: what is open, what is over, and the report of one."""

import json

import pytest

from mlops_assets.assets.incidents import put_incident
from mlops_assets.contracts import Action
from mlops_assets.ml.incidents import closed, closing
from mlops_assets_tests.ml.test_incidents import begun, calm
from mlops_assets_tests.ml.test_incidents import lived as with_days


@pytest.fixture
def two(acts, lived):
    """An incident that is over and one that is open."""
    hold = with_days(begun(Action.HOLD, 10), (calm(11), {}), (calm(12), {}))
    hold = closed(hold, closing(hold), "2026-01-01T10:00:50.000000Z")
    for incident in (hold, begun(Action.RETRAIN, 20)):
        put_incident(lived.memory.artifacts, lived.use_case, incident, "docs/runbooks/hold.md")
    return acts


def test_without_any_it_says_so(acts):
    assert acts("incidents").stdout == "no incident\n"


def test_it_lists_open_and_closed_ones_with_their_times(two):
    first, second = two("incidents").stdout.splitlines()
    assert first.startswith("2013-01-11-hold")
    assert "closed 2013-01-13" in first
    assert "to detect 0 days; to act not yet; to recover 1 days" in first
    assert second.startswith("2013-01-21-retrain")
    assert "open" in second
    assert "cause performance" in second


def test_as_json_it_holds_the_records_and_the_durations(two):
    over, still = json.loads(two("incidents", "--json").stdout)
    assert over["durations"]["days_open"] == 2
    assert still["incident"]["closed_day"] is None


def test_one_is_shown_as_its_report_or_as_its_record(two):
    told = two("incidents", "show", "2013-01-11-hold")
    assert "## Timeline" in told.stdout
    assert "docs/runbooks/hold.md" in told.stdout
    assert json.loads(two("incidents", "show", "2013-01-11-hold", "--json").stdout)["action"] == "hold"


def test_one_that_does_not_exist_is_refused_with_those_that_do(two):
    told = two("incidents", "show", "nothing")
    assert told.exit_code == 1
    assert "there are: 2013-01-11-hold, 2013-01-21-retrain" in told.output
