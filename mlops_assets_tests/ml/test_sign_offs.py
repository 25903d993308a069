"""Promises of sign-offs: only who is asked counts, only for these bytes, and nothing but becoming champion waits."""

from dataclasses import replace

import pytest

from mlops_assets.contracts import Arm, Step, Transition
from mlops_assets.ml.releases import Candidate, decide_release
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
from mlops_assets_tests.ml.test_releases import seen

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
    return Candidate(version=3, arm=Arm.CANARY, days_in_arm=5, gates=(), **changes)  # type: ignore[arg-type]


def test_becoming_champion_waits_for_the_signature_and_nothing_else_does() -> None:
    facts = {"has_champion": True, "alarms_armed": True}
    better = seen(-0.01, days=5)
    release = ARRIVAL_DELAY.release
    waits = decide_release("2013-04-09", candidate(unsigned=REQUIRED), release, paired=better, **facts)
    assert waits.step is Step.PAUSE
    assert "waits for the sign-off of ann, team:operations" in waits.reason
    assert "passed its canary" in waits.reason
    assert decide_release("2013-04-09", candidate(), release, paired=better, **facts).step is Step.TO_CHAMPION
    in_shadow = replace(candidate(unsigned=REQUIRED), arm=Arm.SHADOW)
    assert decide_release("2013-04-09", in_shadow, release, paired=better, **facts).step is Step.TO_CANARY
