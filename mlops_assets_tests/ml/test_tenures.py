"""A history is read as stays in an arm: who, from when to when, and what ended each."""

from mlops_assets.contracts import Arm
from mlops_assets.ml.tenures import entered, set_out, tenures, unproven
from mlops_assets_tests.adapters.test_promotions import line

CHANGE = [
    line("1", 1, "promoted", (None, "champion"), at="2026-01-01T00:00:01Z", day="2013-04-01", evidence={"auc": 0.7}),
    line("2r", 2, "registered", (None, None), at="2026-01-01T00:00:02Z", day="2013-04-05"),
    line("2c", 2, "canary", (None, "canary"), at="2026-01-01T00:00:03Z", day="2013-04-06"),
    line("2", 2, "promoted", ("canary", "champion"), at="2026-01-01T00:00:04Z", day="2013-04-10", by="sensor:release"),
    line("1r", 1, "retired", ("champion", None), at="2026-01-01T00:00:05Z", day="2013-04-10", by="sensor:release"),
    line("1b", 1, "restored", (None, "champion"), at="2026-01-01T00:00:06Z", day="2013-04-20", by="operator:ann"),
    line("2o", 2, "rolled_back", ("champion", None), at="2026-01-01T00:00:07Z", day="2013-04-20", by="operator:ann"),
]


def test_each_stay_has_its_days_its_actor_its_evidence_and_its_end() -> None:
    told = [(t.version, t.from_day, t.until_day, t.by, t.ended_as, t.ended_by) for t in tenures(CHANGE)]
    assert told == [
        (1, "2013-04-01", "2013-04-10", "sensor:test", "retired", "sensor:release"),
        (2, "2013-04-10", "2013-04-20", "sensor:release", "rolled_back", "operator:ann"),
        (1, "2013-04-20", None, "operator:ann", None, None),
    ]
    assert tenures(CHANGE)[0].evidence == {"auc": 0.7}


def test_another_arm_has_stays_of_its_own() -> None:
    (canary,) = tenures(CHANGE, Arm.CANARY)
    assert (canary.version, canary.from_day, canary.until_day, canary.ended_as) == (
        2,
        "2013-04-06",
        "2013-04-10",
        "promoted",
    )


def test_a_canary_that_is_widened_stays_and_came_when_it_began() -> None:
    wider = [
        line(f"2w{n}", 2, "widened", ("canary", "canary"), at=f"2026-01-01T00:00:03.{n}Z", day=f"2013-04-0{6 + n}")
        for n in (1, 2)
    ]
    history = [*CHANGE[:3], *wider, *CHANGE[3:]]
    (canary,) = tenures(history, Arm.CANARY)
    assert (canary.from_day, canary.until_day, canary.ended_as) == ("2013-04-06", "2013-04-10", "promoted")
    assert [entered(history, held).day for held in (CHANGE[2], *wider)] == ["2013-04-06"] * 3
    assert entered(history, CHANGE[3]) is CHANGE[3]


def test_a_canary_set_out_with_its_shadow_and_one_that_was_sent_straight_in_with_itself() -> None:
    shadow = line("2s", 2, "shadow", (None, "shadow"), at="2026-01-01T00:00:02.5Z", day="2013-04-05")
    canary = line("2c", 2, "canary", ("shadow", "canary"), at="2026-01-01T00:00:03Z", day="2013-04-06")
    wider = line("2w", 2, "widened", ("canary", "canary"), at="2026-01-01T00:00:03.5Z", day="2013-04-07")
    history = [*CHANGE[:2], shadow, canary, wider]
    assert [set_out(history, held) for held in (shadow, canary, wider)] == [shadow] * 3
    assert set_out(CHANGE, CHANGE[2]) is CHANGE[2]
    champion = line("2e", 2, "promoted", ("canary", "champion"), at="2026-01-01T00:00:03.7Z", day="2013-04-08")
    assert set_out([*history, champion], champion) is shadow
    again = line("2d", 2, "canary", (None, "canary"), at="2026-01-01T00:00:09Z", day="2013-04-09")
    out = line("2o", 2, "refused", ("canary", None), at="2026-01-01T00:00:08Z", day="2013-04-08")
    assert set_out([*history, out, again], again) is again


def test_a_move_that_was_dated_back_begins_no_stay_before_the_one_it_ends() -> None:
    back = line("3", 3, "override", (None, "champion"), at="2026-01-01T00:00:08Z", day="2013-03-01")
    told = [(t.version, t.from_day, t.until_day) for t in tenures([*CHANGE, back])]
    assert told[-2:] == [(1, "2013-04-20", "2013-04-20"), (3, "2013-04-20", None)]


def test_who_has_proven_itself_is_told_by_the_lines() -> None:
    forced = line("3", 3, "override", (None, "champion"), at="2026-01-01T00:00:08Z", day="2013-04-21")
    again = line("2b", 2, "promoted", (None, "champion"), at="2026-01-01T00:00:09Z", day="2013-04-22")
    assert unproven(CHANGE, 1) is None
    assert unproven(CHANGE, 2) == "it was rolled back on 2013-04-20: because"
    assert unproven([*CHANGE, forced], 3) == "it never became champion by its own evidence"
    assert unproven(CHANGE, 4) == "it never became champion by its own evidence"
    assert unproven([*CHANGE, forced, again], 2) is None


def test_an_arm_that_is_left_empty_ends_the_stay() -> None:
    left = [*CHANGE[:1], line("1l", 1, "refused", ("champion", None), at="2026-01-01T00:00:02Z", day="2013-04-03")]
    (stay,) = tenures(left)
    assert (stay.until_day, stay.ended_as) == ("2013-04-03", "refused")
