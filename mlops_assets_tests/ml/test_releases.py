"""The release table, row by row, and what it may never do."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import Arm, Gate, Release, ReleaseDecision, Step
from mlops_assets.ml.day_blocks import Difference
from mlops_assets.ml.releases import ArmEvidence, Candidate, compare_arms, decide_release
from mlops_assets.ml.sequential import Evidence
from mlops_assets_tests.ml.made_rows import day_of

RELEASE = Release(shadow_days=3, canary_basis_points=2000, canary_days=3, margin=0.005, alpha=0.05, max_days=14)
GOOD = (Gate(name="a", passed=True, reason="fine"),)
BAD = (*GOOD, Gate(name="b", passed=False, reason="calibration is off"))


def seen(mean: float, days: int = 3, wealth: float = 1.0) -> ArmEvidence:
    return ArmEvidence(
        difference=Difference(mean=mean, low=mean - 0.01, high=mean + 0.01, days=days, rows=900 * days),
        evidence=Evidence(fast=wealth, strict=1.0, full_days=days),
    )


def candidate(arm: Arm | None, days: int = 3, gates: tuple[Gate, ...] = GOOD, override: Arm | None = None) -> Candidate:
    return Candidate(version=5, arm=arm, days_in_arm=days, gates=gates, override=override)


def decide(
    who: Candidate, paired: ArmEvidence | None = None, champion: bool = True, armed: bool = True
) -> ReleaseDecision:
    return decide_release(day_of(9), who, RELEASE, has_champion=champion, alarms_armed=armed, paired=paired)


REGISTERED = [
    (candidate(None), True, True, Step.TO_SHADOW),
    (candidate(None), False, True, Step.TO_CHAMPION),
    (candidate(None, gates=BAD), True, True, Step.REFUSE),
    (candidate(None, gates=BAD), False, True, Step.REFUSE),
    (candidate(None, gates=()), True, True, Step.PAUSE),
    (candidate(None), True, False, Step.PAUSE),
    (candidate(None, gates=BAD, override=Arm.CANARY), True, True, Step.TO_CANARY),
    (candidate(None, gates=BAD, override=Arm.CHAMPION), True, True, Step.TO_CHAMPION),
]


@pytest.mark.parametrize(("who", "champion", "armed", "step"), REGISTERED)
def test_a_registered_candidate_needs_its_gates_or_an_override(
    who: Candidate, champion: bool, armed: bool, step: Step
) -> None:
    assert decide(who, champion=champion, armed=armed).step is step


def test_a_dry_run_of_the_gates_stops_nothing_and_says_so() -> None:
    dry = replace(candidate(None, gates=BAD), enforced=False)
    assert decide(dry).step is Step.TO_SHADOW
    assert "a dry run: b failed and stops nothing" in decide(dry).reason
    assert decide(dry, champion=False).step is Step.TO_CHAMPION
    assert decide(replace(candidate(None), enforced=False)).reason == "all gates passed"


def test_a_gate_that_judged_nothing_stops_nothing_and_is_not_told_as_passed() -> None:
    thin = (*GOOD, Gate(name="c", passed=True, judged=False, reason="not judged: too few days"))
    decided = decide(candidate(None, gates=thin))
    assert (decided.step, decided.reason) == (Step.TO_SHADOW, "no gate failed (not judged: c)")


def test_a_refusal_names_the_gate_that_failed() -> None:
    assert "calibration is off" in decide(candidate(None, gates=BAD)).reason


IN_AN_ARM = [
    (Arm.SHADOW, 1, seen(0.0, days=1), Step.WAIT),
    (Arm.SHADOW, 1, seen(0.05, days=1, wealth=1e6), Step.WAIT),
    (Arm.SHADOW, 3, seen(-0.01), Step.TO_CANARY),
    (Arm.SHADOW, 3, seen(0.001), Step.WAIT),
    (Arm.SHADOW, 3, seen(0.02, wealth=1e6), Step.REFUSE),
    (Arm.SHADOW, 14, seen(0.001, days=14), Step.REFUSE),
    (Arm.CANARY, 1, seen(0.0, days=1), Step.WAIT),
    (Arm.CANARY, 1, seen(0.05, days=1, wealth=21), Step.REFUSE),
    (Arm.CANARY, 3, seen(0.001), Step.TO_CHAMPION),
    (Arm.CANARY, 3, seen(0.006), Step.WAIT),
    (Arm.CANARY, 14, seen(0.006, days=14), Step.REFUSE),
    (Arm.CANARY, 6, seen(-0.01, days=1), Step.PAUSE),
    (Arm.CANARY, 14, seen(-0.01, days=1), Step.REFUSE),
    (Arm.CANARY, 3, None, Step.PAUSE),
    (Arm.SHADOW, 20, None, Step.PAUSE),
]


@pytest.mark.parametrize(("arm", "days", "paired", "step"), IN_AN_ARM)
def test_an_arm_is_left_only_on_evidence(arm: Arm, days: int, paired: ArmEvidence | None, step: Step) -> None:
    decision = decide(candidate(arm, days), paired)
    assert decision.step is step, decision.reason
    assert decision.reason


@pytest.mark.parametrize("arm", [Arm.SHADOW, Arm.CANARY])
def test_nothing_moves_up_while_no_alarm_is_armed(arm: Arm) -> None:
    assert decide(candidate(arm), seen(-0.01), armed=False).step is Step.PAUSE


def test_an_override_past_the_gates_does_not_carry_a_bad_candidate_through_its_canary() -> None:
    pushed = candidate(Arm.CANARY, 1, gates=BAD, override=Arm.CANARY)
    assert decide(pushed, seen(0.03, days=1, wealth=1e4)).step is Step.REFUSE


ORDER = {Step.REFUSE: 0, Step.PAUSE: 1, Step.WAIT: 1, Step.TO_CANARY: 2, Step.TO_CHAMPION: 2}


@given(
    arm=st.sampled_from([Arm.SHADOW, Arm.CANARY]),
    days=st.integers(1, 14),
    mean=st.floats(-0.1, 0.1),
    wealth=st.floats(0.1, 1e6),
    worse=st.floats(0, 0.1),
    more=st.floats(1, 1e3),
)
def test_a_worse_candidate_never_gets_further(
    arm: Arm, days: int, mean: float, wealth: float, worse: float, more: float
) -> None:
    better = decide(candidate(arm, days), seen(mean, days, wealth)).step
    other = decide(candidate(arm, days), seen(mean + worse, days, wealth * more)).step
    assert ORDER[other] <= ORDER[better]


def paired_rows(days: int, shift: float, rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(6)
    champion = random.beta(2, 6, days * rows)
    label = (random.random(days * rows) < champion).astype(int)
    day = np.repeat([day_of(d) for d in range(days)], rows)
    return pd.DataFrame({"day": day, "champion": champion, "candidate": champion + shift, "late": label})


def test_rows_that_both_scored_tell_how_much_worse_a_candidate_is() -> None:
    found = compare_arms(paired_rows(3, 0.2), candidate="candidate", champion="champion", label="late", margin=0.005)
    assert found.difference.mean == pytest.approx(0.04, abs=0.01)
    assert found.full_days == 3
    assert found.evidence.rejects(0.05)
    assert found.numbers()["rows"] == 1200


def test_one_day_has_no_interval_and_its_numbers_stay_json() -> None:
    found = compare_arms(paired_rows(1, 0.0), candidate="candidate", champion="champion", label="late", margin=0.005)
    assert (found.numbers()["low"], found.numbers()["high"]) == (None, None)
    assert math.isinf(found.difference.high)
    empty = compare_arms(
        paired_rows(1, 0.0).iloc[:0], candidate="candidate", champion="champion", label="late", margin=0.005
    )
    assert empty.full_days == 0
    assert decide(replace(candidate(Arm.CANARY), days_in_arm=1), empty).step is Step.WAIT
