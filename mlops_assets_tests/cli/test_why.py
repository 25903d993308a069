"""``mlops why``: a decision, and what would have changed it."""

import json
from dataclasses import replace

import pytest

from mlops_assets.assets.files import put_decision, put_inputs
from mlops_assets.contracts import Action
from mlops_assets.ml.what_if import Inputs
from mlops_assets_tests.ml.made_rows import MONITORING, day_of, judged
from mlops_assets_tests.ml.test_what_if import CALM, TODAY

DAY = day_of(TODAY)


@pytest.fixture
def rolled_back(lived) -> Inputs:
    """A day on which the champion was rolled back."""
    situation = replace(CALM, judgements=(judged("predecessor_regret", DAY),))
    inputs = Inputs(situation=situation, monitoring=MONITORING)
    put_inputs(lived.memory.artifacts, lived.use_case, inputs)
    put_decision(lived.memory.artifacts, lived.use_case, inputs.decide())
    return inputs


def test_it_tells_what_was_decided_and_what_would_have_changed_it(acts, rolled_back):
    told = acts("why", DAY)
    assert told.exit_code == 0
    assert f"{DAY}: roll_back (to version 7)" in told.stdout
    assert "- nothing, if predecessor_regret had been quiet" in told.stdout
    assert "code of that day" not in told.stdout


def test_as_json_it_holds_everything_that_the_decision_was_made_of(acts, rolled_back):
    facts = json.loads(acts("why", DAY, "--json").stdout)
    assert facts["decision"] == facts["again"]
    assert facts["inputs"]["situation"]["predecessor_version"] == 7
    assert facts["inputs"]["monitoring"]["alarms_needed"] == MONITORING.alarms_needed
    assert {other["action"] for other in facts["alternatives"]} == {"nothing", "fall_back", "watch"}


def test_a_decision_that_this_code_would_not_make_is_told_beside_its_own(acts, rolled_back, lived):
    other = replace(rolled_back.decide(), action=Action.WATCH, reason="of another table")
    put_decision(lived.memory.artifacts, lived.use_case, other)
    told = acts("why", DAY).stdout
    assert f"{DAY}: roll_back" in told
    assert "By the code of that day it was: watch, because of another table." in told


@pytest.mark.parametrize("day", ["2013-01-02", "yesterday"])
def test_a_day_without_a_decision_is_refused(acts, day):
    told = acts("why", day)
    assert told.exit_code != 0
    assert ("nothing was decided about 2013-01-02" if day[0] == "2" else "yesterday") in told.output


def test_a_decision_without_inputs_says_so(acts, rolled_back, lived):
    put_decision(lived.memory.artifacts, lived.use_case, replace(rolled_back.decide(), day="2013-12-30"))
    assert "before its inputs were kept" in acts("why", "2013-12-30").output
