"""The release table, row by row, and what it may never do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.contracts import (
    Arm,
    CanaryStep,
    Gate,
    Outcome,
    Release,
    ReleaseDecision,
    Step,
    Transition,
    Verdict,
)
from mlops_assets.ml.canary_signals import Signals
from mlops_assets.ml.day_blocks import Difference
from mlops_assets.ml.paired import ArmEvidence
from mlops_assets.ml.releases import Candidate, Measured, decide_release, stale_because
from mlops_assets.ml.sequential import Evidence
from mlops_assets_tests.ml.made_rows import day_of

STEPS = (CanaryStep(basis_points=500), CanaryStep(basis_points=2000), CanaryStep(basis_points=5000, days=2))
RELEASE = Release(shadow_days=3, canary_steps=STEPS, margin=0.005, alpha=0.05, max_days=14)
GOOD = (Gate(name="a", passed=True, reason="fine"),)
BAD = (*GOOD, Gate(name="b", passed=False, reason="calibration is off"))
SERVES = Signals(verdict=Verdict.OK, reason="serves well", numbers={"canary_errors": 0.0})
SLOW = Signals(verdict=Verdict.ALARM, reason="three times as slow", numbers={"median_ratio": 3.0})
THIN = Signals(verdict=Verdict.UNKNOWN, reason="only 3 answers")
CHAMPION = 4


def seen(mean: float, days: int = 3, wealth: float = 1.0, at_share: int | None = None) -> ArmEvidence:
    return ArmEvidence(
        difference=Difference(mean=mean, low=mean - 0.01, high=mean + 0.01, days=days, rows=900 * days),
        evidence=Evidence(fast=wealth, strict=1.0, full_days=days),
        days_at_share=at_share,
    )


def candidate(
    arm: Arm | None,
    days: int = 3,
    gates: tuple[Gate, ...] = GOOD,
    override: Arm | None = None,
    share: int = 5000,
) -> Candidate:
    share = share if arm is Arm.CANARY else 0
    return Candidate(
        version=5, arm=arm, days_in_arm=days, gates=gates, override=override, share=share, days_at_share=days
    )


def decide(
    who: Candidate,
    paired: ArmEvidence | None = None,
    champion: bool = True,
    armed: bool = True,
    signals: Signals | None = SERVES,
) -> ReleaseDecision:
    unarmed = () if armed else ("performance gave no verdict",)
    measured = Measured(paired=paired, signals=signals, unarmed=unarmed)
    return decide_release(day_of(9), who, RELEASE, measured, champion=CHAMPION if champion else None)


REGISTERED = [
    (candidate(None), True, True, Step.TO_SHADOW),
    (candidate(None), False, True, Step.TO_CHAMPION),
    (candidate(None), False, False, Step.PAUSE),
    (candidate(None, gates=BAD), True, True, Step.REFUSE),
    (candidate(None, gates=BAD), False, True, Step.REFUSE),
    (candidate(None, gates=()), True, True, Step.PAUSE),
    (candidate(None), True, False, Step.PAUSE),
    (candidate(None, gates=BAD, override=Arm.CANARY), True, True, Step.TO_CANARY),
    (candidate(None, gates=BAD, override=Arm.CANARY), True, False, Step.PAUSE),
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


PASS, FAIL, INCONCLUSIVE = Outcome
IN_AN_ARM = [
    (Arm.SHADOW, 1, seen(0.0, days=1), Step.WAIT, None),
    (Arm.SHADOW, 1, seen(0.05, days=1, wealth=1e6), Step.WAIT, None),
    (Arm.SHADOW, 3, seen(-0.01), Step.TO_CANARY, PASS),
    (Arm.SHADOW, 3, seen(0.001), Step.WAIT, None),
    (Arm.SHADOW, 3, seen(0.02, wealth=1e6), Step.REFUSE, FAIL),
    (Arm.SHADOW, 3, seen(0.008, wealth=1e6), Step.WAIT, None),
    (Arm.SHADOW, 14, seen(0.001, days=14), Step.REFUSE, INCONCLUSIVE),
    (Arm.CANARY, 1, seen(0.0, days=1), Step.WAIT, None),
    (Arm.CANARY, 1, seen(0.05, days=1, wealth=21), Step.REFUSE, FAIL),
    (Arm.CANARY, 3, seen(-0.001, days=7, at_share=3), Step.TO_CHAMPION, PASS),
    (Arm.CANARY, 3, seen(0.001, days=7, at_share=3), Step.WAIT, None),
    (Arm.CANARY, 14, seen(0.001, days=14, at_share=3), Step.REFUSE, INCONCLUSIVE),
    (Arm.CANARY, 3, seen(-0.001, days=6, at_share=3), Step.WAIT, None),
    (Arm.CANARY, 14, seen(0.001, days=6), Step.REFUSE, INCONCLUSIVE),
    (Arm.CANARY, 3, seen(0.006), Step.WAIT, None),
    (Arm.CANARY, 14, seen(0.006, days=14), Step.REFUSE, INCONCLUSIVE),
    (Arm.CANARY, 6, seen(-0.01, days=1), Step.PAUSE, INCONCLUSIVE),
    (Arm.CANARY, 14, seen(-0.01, days=1), Step.REFUSE, INCONCLUSIVE),
    (Arm.CANARY, 3, None, Step.PAUSE, INCONCLUSIVE),
    (Arm.SHADOW, 20, None, Step.PAUSE, INCONCLUSIVE),
]


@pytest.mark.parametrize(("arm", "days", "paired", "step", "outcome"), IN_AN_ARM)
def test_an_arm_is_left_only_on_evidence(
    arm: Arm, days: int, paired: ArmEvidence | None, step: Step, outcome: Outcome | None
) -> None:
    decision = decide(candidate(arm, days), paired)
    assert (decision.step, decision.outcome) == (step, outcome), decision.reason
    assert decision.reason
    assert (decision.arm, decision.against) == (arm, CHAMPION)


def test_a_candidate_that_ran_out_of_days_is_not_called_worse() -> None:
    for arm, mean in ((Arm.SHADOW, 0.001), (Arm.CANARY, 0.006)):
        assert decide(candidate(arm, 14), seen(mean, days=14)).reason.startswith("inconclusive after 14 days")


@pytest.mark.parametrize(
    ("share", "full_days", "step", "next_share"),
    [
        (500, 1, Step.WIDEN, 2000),
        (2000, 1, Step.WIDEN, 5000),
        (5000, 1, Step.WAIT, 0),
        (5000, 2, Step.TO_CHAMPION, 0),
        (700, 1, Step.WIDEN, 2000),
        (8000, 2, Step.TO_CHAMPION, 0),
    ],
)
def test_a_canary_is_widened_share_by_share_until_it_is_champion(
    share: int, full_days: int, step: Step, next_share: int
) -> None:
    decision = decide(candidate(Arm.CANARY, share=share), seen(-0.001, days=7, at_share=full_days))
    assert (decision.step, decision.basis_points) == (step, next_share), decision.reason


def test_a_canary_begins_with_the_first_share() -> None:
    assert decide(candidate(Arm.SHADOW), seen(-0.01)).basis_points == 500


def test_days_at_an_earlier_share_do_not_widen_the_present_one() -> None:
    wider = candidate(Arm.CANARY, days=3, share=2000)
    assert decide(wider, seen(-0.01, days=3, at_share=0)).step is Step.WAIT


@pytest.mark.parametrize("share", [500, 2000, 5000])
def test_a_canary_that_serves_worse_is_refused_whatever_its_scores(share: int) -> None:
    for paired in (None, seen(-0.05), seen(-0.05, days=0, at_share=0)):
        decision = decide(candidate(Arm.CANARY, share=share), paired, signals=SLOW)
        assert (decision.step, decision.outcome) == (Step.REFUSE, Outcome.FAIL)
        assert "three times as slow" in decision.reason
        assert decision.numbers["median_ratio"] == 3.0


@pytest.mark.parametrize("signals", [None, THIN])
@pytest.mark.parametrize("share", [500, 5000])
def test_a_canary_whose_service_is_not_known_pauses(signals: Signals | None, share: int) -> None:
    decision = decide(candidate(Arm.CANARY, share=share), seen(-0.01), signals=signals)
    assert (decision.step, decision.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert decision.reason.startswith("inconclusive")


def test_what_went_wrong_in_measuring_is_told_and_not_held_against_it() -> None:
    broken = Measured(problems=("paired rows: OSError: disk gone",))
    decision = decide_release(day_of(9), candidate(Arm.CANARY), RELEASE, broken, champion=CHAMPION)
    assert (decision.step, decision.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert "disk gone" in decision.reason


@pytest.mark.parametrize("arm", [Arm.SHADOW, Arm.CANARY])
@pytest.mark.parametrize("share", [500, 5000])
def test_nothing_moves_up_while_no_alarm_is_armed(arm: Arm, share: int) -> None:
    decision = decide(candidate(arm, share=share), seen(-0.01), armed=False)
    assert decision.step is Step.PAUSE
    assert decision.reason == "no release without an armed alarm: performance gave no verdict"


def test_an_override_past_the_gates_does_not_carry_a_bad_candidate_through_its_canary() -> None:
    pushed = candidate(Arm.CANARY, 1, gates=BAD, override=Arm.CANARY)
    assert decide(pushed, seen(0.03, days=1, wealth=1e4)).step is Step.REFUSE


ORDER = {Step.REFUSE: 0, Step.PAUSE: 1, Step.WAIT: 1, Step.TO_CANARY: 2, Step.WIDEN: 2, Step.TO_CHAMPION: 2}


@given(
    arm=st.sampled_from([Arm.SHADOW, Arm.CANARY]),
    share=st.sampled_from([500, 2000, 5000]),
    days=st.integers(1, 14),
    mean=st.floats(-0.1, 0.1),
    wealth=st.floats(0.1, 1e6),
    worse=st.floats(0, 0.1),
    more=st.floats(1, 1e3),
)
def test_a_worse_candidate_never_gets_further(
    arm: Arm, share: int, days: int, mean: float, wealth: float, worse: float, more: float
) -> None:
    better = decide(candidate(arm, days, share=share), seen(mean, days, wealth)).step
    other = decide(candidate(arm, days, share=share), seen(mean + worse, days, wealth * more)).step
    assert ORDER[other] <= ORDER[better]


def line(version: int, arm: Arm | None) -> Transition:
    return Transition(
        event_id=f"{version}/{arm}", at="", day=day_of(1), model="m", version=version, digest="", from_arm=None,
        to_arm=arm, kind=str(arm), by="sensor:release", reason="r",
    )  # fmt: skip


def verdict(step: Step, arm: Arm | None, day: int = 9, against: int | None = CHAMPION) -> ReleaseDecision:
    return ReleaseDecision(day=day_of(day), version=5, step=step, reason="said", arm=arm, against=against)


IN_CANARY = {Arm.CHAMPION: line(CHAMPION, Arm.CHAMPION), Arm.CANARY: line(5, Arm.CANARY)}
WIDER = verdict(Step.WIDEN, Arm.CANARY)


def test_a_fresh_verdict_holds() -> None:
    assert stale_because(WIDER, WIDER, IN_CANARY) is None
    first = verdict(Step.TO_CHAMPION, None, against=None)
    assert stale_because(first, first, {}) is None


def test_a_step_that_was_taken_already_may_be_repeated() -> None:
    begins = verdict(Step.TO_CANARY, Arm.SHADOW)
    assert stale_because(begins, begins, IN_CANARY) is None


@pytest.mark.parametrize(
    ("newest", "held", "told"),
    [
        (verdict(Step.PAUSE, Arm.CANARY, day=10), IN_CANARY, "a newer verdict, of"),
        (verdict(Step.WIDEN, Arm.CANARY, day=10), IN_CANARY, "a newer verdict, of"),
        (WIDER, {Arm.CHAMPION: line(CHAMPION, Arm.CHAMPION)}, "judged in canary and is in no arm now"),
        (WIDER, {Arm.CHAMPION: line(5, Arm.CHAMPION)}, "judged in canary and is in champion now"),
        (WIDER, IN_CANARY | {Arm.CHAMPION: line(6, Arm.CHAMPION)}, "compared with champion 4, and champion is 6 now"),
        (WIDER, {Arm.CANARY: line(5, Arm.CANARY)}, "compared with champion 4, and champion is none now"),
    ],
)
def test_a_stale_verdict_widens_nothing(newest: ReleaseDecision, held: dict[Arm, Transition], told: str) -> None:
    assert told in (stale_because(WIDER, newest, held) or "")


def test_a_verdict_that_began_the_canary_does_not_narrow_it_again() -> None:
    begins = verdict(Step.TO_CANARY, Arm.SHADOW, day=8)
    assert "a newer verdict" in (stale_because(begins, WIDER, IN_CANARY) or "")


def test_a_first_champion_is_not_put_over_one_that_came_meanwhile() -> None:
    first = verdict(Step.TO_CHAMPION, None, against=None)
    assert "champion is 4 now" in (stale_because(first, first, {Arm.CHAMPION: line(CHAMPION, Arm.CHAMPION)}) or "")


def test_a_refusal_stays_good_whatever_a_newer_verdict_says() -> None:
    refused = verdict(Step.REFUSE, Arm.CANARY)
    assert stale_because(refused, verdict(Step.PAUSE, Arm.CANARY, day=10), IN_CANARY) is None
