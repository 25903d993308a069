"""What is concluded of a drill: everything that must be seen, in time, and nothing that must not."""

from pathlib import Path

import pytest

from mlops_assets.drills.catalogue import DRILLS
from mlops_assets.drills.drill import Drill, Forbidden, Moment, Observed, Phase, Source, Wanted, judge
from mlops_assets.drills.page import written as page
from mlops_assets.drills.post_mortem import facts_of, written
from mlops_assets.drills.practice import Practised
from mlops_assets.drills.system import Done

RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
INJECTED = Moment(at=100.0, source=Source.ASSETS, what="a thing is broken", day="2013-04-03")
DRILL = Drill(
    name="made_up",
    injects="something",
    runbook="hold",
    play=lambda scene: None,
    wanted=(
        Wanted(phase=Phase.DETECTION, promise="noticed", source=Source.MONITORS, facts={"verdict": "alarm"}),
        Wanted(phase=Phase.DECISION, promise="held", source=Source.DECISIONS, facts={"action": "hold"}),
        Wanted(phase=Phase.RECOVERY, promise="answers", source=Source.ANSWERS, facts={"digest": "{good}"}),
    ),
    forbidden=(Forbidden(promise="another answers", source=Source.ANSWERS, facts={"digest": "not {good}"}),),
)
KNOWN = {"good": "abc"}


def told(at: float, source: Source, day: str = "2013-04-04", **facts: str) -> Moment:
    return Moment(at=at, source=source, what=f"{source} {facts}", facts=facts, day=day)


ALARM = told(110.0, Source.MONITORS, verdict="alarm")
HOLD = told(112.0, Source.DECISIONS, action="hold")
GOOD = told(120.0, Source.ANSWERS, digest="abc")
AS_PROMISED = [ALARM, HOLD, GOOD]


def test_a_drill_is_as_promised_when_everything_came_and_says_when():
    verdict = judge(DRILL, INJECTED, AS_PROMISED, KNOWN)
    assert verdict.passed
    assert [verdict.seconds(phase) for phase in Phase] == [10.0, 12.0, 20.0, None]


@pytest.mark.parametrize("missing", AS_PROMISED)
def test_a_drill_is_not_as_promised_when_one_record_is_missing(missing):
    verdict = judge(DRILL, INJECTED, [moment for moment in AS_PROMISED if moment is not missing], KNOWN)
    assert not verdict.passed
    assert len(verdict.missing) == 1


def test_what_was_on_record_before_the_injection_counts_for_nothing():
    early = told(99.0, Source.MONITORS, verdict="alarm")
    assert not judge(DRILL, INJECTED, [early, HOLD, GOOD], KNOWN).passed


def test_what_was_well_before_anybody_noticed_is_no_recovery():
    still = told(105.0, Source.ANSWERS, digest="abc")
    assert not judge(DRILL, INJECTED, [still, ALARM, HOLD], KNOWN).passed


def test_what_must_not_be_seen_fails_the_drill_and_is_named():
    verdict = judge(DRILL, INJECTED, [*AS_PROMISED, told(130.0, Source.ANSWERS, digest="bad")], KNOWN)
    assert not verdict.passed
    assert "another answers" in verdict.missing[0]


def test_what_was_looked_up_and_is_not_so_fails_the_drill():
    lost = Observed(promise="no answer is lost", seen=False, where="3 of 9")
    verdict = judge(DRILL, INJECTED, AS_PROMISED, KNOWN, [lost])
    assert not verdict.passed
    assert verdict.missing == ("not seen: no answer is lost (3 of 9)",)


def test_the_post_mortem_has_the_timeline_the_commands_and_what_did_not_work():
    verdict = judge(DRILL, INJECTED, [ALARM, HOLD], KNOWN)
    facts = facts_of(DRILL, verdict, "2013-04-03", "the base", 60.0)
    done = Done(line="mlops why 2013-04-04", code=0, output="held, because labels lie")
    text = written(DRILL, facts, verdict, [ALARM, HOLD], [done], ["mended by hand"])
    for part in (
        "NOT as promised",
        "not seen: answers",
        "| +10.0 s |",
        "$ mlops why",
        "held, because",
        "mended by hand",
    ):
        assert part in text
    assert (facts.seconds, facts.days) == ({"detection": 10.0, "decision": 12.0}, {"detection": 1, "decision": 1})


def test_what_the_server_logs_again_and_again_stands_once_in_the_timeline():
    moments = [told(at, Source.SERVER_LOG) for at in (101.0, 102.0, 103.0)]
    verdict = judge(DRILL, INJECTED, moments, KNOWN)
    text = written(DRILL, facts_of(DRILL, verdict, "2013-04-03", "the base", 1.0), verdict, moments, [], [])
    assert text.count("(3 times)") == text.count("| server log |") == 1


def test_the_page_names_every_failure(tmp_path):
    verdict = judge(DRILL, INJECTED, [ALARM, HOLD], KNOWN)
    facts = facts_of(DRILL, verdict, "2013-04-03", "the base", 60.0)
    failed = Practised(drill=DRILL, folder=tmp_path, facts=facts, code=1)
    broken = Practised(drill=DRILL, folder=tmp_path, facts=None, code=3)
    text = page([failed, broken])
    assert "10.0 s (day 1)" in text
    assert text.count("**not as promised**") == text.count("**broke off**") == 1
    assert "not seen: answers" in text.partition("## What failed")[2]


@pytest.mark.parametrize("drill", DRILLS.values(), ids=list(DRILLS))
def test_every_drill_promises_detection_and_recovery_and_practises_a_runbook(drill):
    assert {Phase.DETECTION, Phase.RECOVERY} <= {wanted.phase for wanted in drill.wanted}
    assert (RUNBOOKS / f"{drill.runbook}.md").exists()
    assert drill.injects
    promises = [wanted.promise for wanted in drill.wanted]
    assert len(promises) == len(set(promises))


def test_the_incidents_of_the_plan_are_all_there():
    assert set(DRILLS) >= {
        "drifted_feed", "inverted_labels", "poisoned_champion", "corrupted_artifact", "slow_model", "stale_features",
        "registry_down", "server_killed", "daemon_killed", "disk_full",
    }  # fmt: skip
