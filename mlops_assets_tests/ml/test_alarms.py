"""An alarm is armed by what its monitor said lately, and by nothing else."""

import pytest

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.alarms import ALARMS, silent

DAY, BEFORE, LONG_AGO = "2013-04-10", "2013-04-09", "2013-04-08"


def said(monitor: str, day: str = DAY, verdict: Verdict = Verdict.OK) -> Judgement:
    return Judgement(monitor=monitor, day=day, verdict=verdict, reason=f"{monitor} says {verdict}")


@pytest.mark.parametrize("day", [DAY, BEFORE])
@pytest.mark.parametrize("verdict", [Verdict.OK, Verdict.ALARM])
def test_a_verdict_of_the_day_or_of_the_one_before_arms(day: str, verdict: Verdict) -> None:
    assert silent(DAY, [said(name, day, verdict) for name in ALARMS]) == ()


@pytest.mark.parametrize("missing", ALARMS)
def test_one_silent_monitor_is_enough_and_is_named_with_what_it_said(missing: str) -> None:
    others = [said(name) for name in ALARMS if name != missing]
    assert silent(DAY, others) == (f"{missing} gave no verdict since {BEFORE}",)
    blind = said(missing, verdict=Verdict.UNKNOWN)
    assert silent(DAY, [*others, blind]) == (f"{missing} gave no verdict since {BEFORE} ({blind.reason})",)
    assert silent(DAY, [*others, said(missing, LONG_AGO)]) != ()
