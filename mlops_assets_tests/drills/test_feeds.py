"""Days that are made bad are no broken ones: the contract has nothing to say, the monitors have."""

import pytest

from mlops_assets.adapters.source import NycFlights
from mlops_assets.contracts import Verdict
from mlops_assets.drills.feeds import inverted, later
from mlops_assets.ml.datasets import check
from mlops_assets.ml.label_sanity import label_sanity
from mlops_assets.ml.monitoring import Subject

DAYS = ("2013-04-04", "2013-05-04", "2013-10-02")


@pytest.fixture(scope="module")
def source():
    return NycFlights()


def read(source, day, raw):
    return check("arrivals", {day: raw.arrivals}, source.references())


def late(arrivals):
    return (arrivals.set_index("flight_id")["arr_delay"] >= 15).astype(float)


@pytest.mark.parametrize("day", DAYS)
def test_later_landings_keep_the_contract_and_most_are_late(source, day):
    found = read(source, day, later(source.day(day), source.references(), day, 60))
    assert found.quarantined.empty
    assert late(found.good).mean() > 0.6


@pytest.mark.parametrize("day", DAYS)
def test_inverted_labels_keep_the_contract_and_contradict_the_departures(source, day):
    true = read(source, day, source.day(day)).good
    found = read(source, day, inverted(source.day(day), source.references(), day))
    assert found.quarantined.empty
    assert len(found.good) > 0.9 * len(true)
    both = late(found.good).to_frame("told").join(late(true).rename("true"))
    assert (both["told"] != both["true"]).mean() > 0.9
    said = label_sanity(Subject(day=day), found.good.assign(is_late=late(found.good).to_numpy()), label="is_late")
    assert said.verdict is Verdict.ALARM
