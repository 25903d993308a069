"""Promises of sign-offs: only who is asked counts, only for these bytes, and nothing but becoming champion waits."""

from dataclasses import replace

import pytest

from mlops_assets.contracts import Arm, Outcome, ReleaseDecision, Step, Transition
from mlops_assets.ml.releases import Candidate, Measured, decide_release
from mlops_assets.ml.sign_offs import (
    SIGNED_AS,
    SIGNED_OFF,
    NotAskedToSign,
    NotSigned,
    missing_sign_offs,
    require_sign_offs,
    sign_offs,
    signed_as,
)
from mlops_assets.use_cases import ARRIVAL_DELAY
from mlops_assets_tests.ml.test_releases import SERVES, seen

REQUIRED = ("ann", "team:operations")
LINE = Transition(
    event_id="e1",
    at="2024-01-01T00:00:00Z",
    day="2013-04-01",
    model="arrival_delay",
    version=3,
    digest="a" * 64,
    from_arm=None,
    to_arm=None,
    kind=SIGNED_OFF,
    by="operator:ann",
    reason="looked at the card",
    evidence={SIGNED_AS: "ann"},
)


def test_every_entry_needs_a_signature() -> None:
    assert missing_sign_offs(REQUIRED, [], 3, LINE.digest) == REQUIRED
    assert missing_sign_offs(REQUIRED, [LINE], 3, LINE.digest) == ("team:operations",)
    both = [LINE, replace(LINE, by="operator:bob", evidence={SIGNED_AS: "team:operations"})]
    assert missing_sign_offs(REQUIRED, both, 3, LINE.digest) == ()
    assert missing_sign_offs((), [], 3, LINE.digest) == ()


def test_a_signature_under_another_version_or_other_bytes_does_not_count() -> None:
    for other in (replace(LINE, version=2), replace(LINE, digest="b" * 64), replace(LINE, kind="registered")):
        assert sign_offs([other], 3, LINE.digest) == ()


def test_only_who_is_asked_can_sign() -> None:
    assert signed_as(REQUIRED, "ann") == "ann"
    assert signed_as(REQUIRED, "bob", "team:operations") == "team:operations"
    with pytest.raises(NotAskedToSign, match="asked are ann, team:operations"):
        signed_as(REQUIRED, "bob")
    assert signed_as((), "bob") == "bob"
    with pytest.raises(NotAskedToSign, match="without --role"):
        signed_as((), "bob", "team:operations")


def test_production_gets_nothing_that_somebody_has_not_signed() -> None:
    require_sign_offs(("ann",), [LINE], 3, LINE.digest)
    with pytest.raises(NotSigned, match="waits for the sign-off of team:operations"):
        require_sign_offs(REQUIRED, [LINE], 3, LINE.digest)


def candidate(**changes: object) -> Candidate:
    where = {"arm": Arm.CANARY, "share": ARRIVAL_DELAY.release.canary_steps[-1].basis_points}
    return Candidate(version=3, days_in_arm=5, gates=(), **where | changes)  # type: ignore[arg-type]


def test_becoming_champion_waits_for_the_signature_and_nothing_else_does() -> None:
    release, better = ARRIVAL_DELAY.release, Measured(paired=seen(-0.01, days=6), signals=SERVES)

    def step(who: Candidate) -> ReleaseDecision:
        return decide_release("2013-04-09", who, release, better, champion=2)

    waits = step(candidate(unsigned=REQUIRED))
    assert (waits.step, waits.outcome) == (Step.PAUSE, Outcome.PASS)
    assert "waits for the sign-off of ann, team:operations" in waits.reason
    assert "passed its canary" in waits.reason
    assert step(candidate()).step is Step.TO_CHAMPION
    assert step(candidate(unsigned=REQUIRED, share=release.first_share)).step is Step.WIDEN
    in_shadow = candidate(unsigned=REQUIRED, arm=Arm.SHADOW)
    assert step(in_shadow).step is Step.TO_CANARY
