"""A candidate's days by the shipped assets and jobs: what widens it, what stops it, and what only makes it wait."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import CANARY_BASIS_POINTS
from mlops_assets.adapters.registry import utc_now
from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MONITORING, key, table
from mlops_assets.assets.files import judgements_of, put_judgement, put_release_decision, release_decision_of
from mlops_assets.assets.models.registered_version import first_verdict
from mlops_assets.assets.models.workbench import bundle_of, evaluation_at
from mlops_assets.assets.partitions import shift, span
from mlops_assets.contracts import Arm, Judgement, ModelVersion, Outcome, ReleaseDecision, Step, Verdict
from mlops_assets.ml.alarms import ALARMS
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets_tests.conftest import LAST, LIVE, Twins

NAME = "arrival_delay"
DAYS = span(shift(LIVE[1], 1), shift(LIVE[1], 12))
"""Days after the lived ones."""


@dataclass
class Canary:
    """The lived system with a second version, of the first one's bytes, in an arm; its days are made of a lived one."""

    twins: Twins
    version: ModelVersion

    def enters(self, arm: Arm, day: str = LIVE[1], share: int = 0) -> None:
        cause = Cause(id=f"in/{arm}/{day}", day=day, by="operator:test", reason="to set the stage")
        releases, version = self.twins.releases, self.version
        releases.enter(NAME, version.version, version.digest, arm, cause=cause, basis_points=share)

    def lives(self, day: str, rows: int = 900, worse: float = 0.0, scored: float = 1.0, armed: bool = True) -> None:
        """One day of answers and outcomes, ``scored`` of them by the candidate too, a second after what was last."""
        tables, use_case = self.twins.memory.tables, self.twins.use_case
        (arm,) = [arm for arm, line in self.twins.promotions.arms(NAME).items() if line.version == self.version.version]
        for name in ("traffic", "outcomes"):
            address = table(use_case, MONITORING, name)
            lived = tables.read(address, LIVE[1], LIVE[1])
            mine = lived[lived["champion_version"] == 1].head(rows).copy()
            tables.replace(address, self._scored(mine, arm, day, worse, scored), [day], {"dagster_run_id": "test"})
        verdict = Verdict.OK if armed else Verdict.UNKNOWN
        for monitor in ALARMS:
            judgement = Judgement(monitor=monitor, day=day, verdict=verdict, reason="made")
            put_judgement(self.twins.memory.artifacts, use_case, judgement)

    def _scored(self, rows: pd.DataFrame, arm: Arm, day: str, worse: float, scored: float) -> pd.DataFrame:
        mine = np.arange(len(rows)) < scored * len(rows)
        rows = rows.assign(day=day, request_id=rows["request_id"] + day, received_at=utc_now())
        rows[f"{arm}_score"] = np.where(mine, np.clip(rows["champion_score"] + worse, 0, 1), np.nan)
        rows[f"{arm}_version"] = np.where(mine, float(self.version.version), np.nan)
        rows["champion_took_ms"], rows[f"{arm}_took_ms"] = 3.0, np.where(mine, 2.0, np.nan)
        if arm is Arm.CANARY:
            rows["arm"] = np.where(mine & (np.arange(len(rows)) % 20 == 0), "canary", "champion")
        return rows

    def judged(self, day: str) -> ReleaseDecision:
        """The verdict of the day's challenger_regret."""
        result = self.twins.materialize([key(self.twins.use_case, MONITORING, "challenger_regret")], day)
        assert result.success
        told = release_decision_of(self.twins.memory.artifacts, self.twins.use_case, self.version.version, day)
        (event,) = result.asset_materializations_for_node(f"{NAME}__{MONITORING}__challenger_regret")
        assert event.metadata["outcome"].value == (told.outcome or "none yet")
        return told

    def carried_out(self, decision: ReleaseDecision) -> dict[str, int]:
        """Run the job that the sensor would ask for; who holds which arm then."""
        job, asset = ("conclude", "canary_analysis") if decision.step in (Step.REFUSE, Step.TO_CHAMPION) else 2 * (
            "canary",
        )  # fmt: skip
        names = (asset, "champion") if job == "conclude" else (asset,)
        config = {"config": {"version": decision.version, "day": decision.day}}
        ops = {f"{NAME}__releases__{name}": config for name in names}
        assert self.twins.run(f"{NAME}__{job}", LAST, config={"ops": ops}).success
        return {str(arm): line.version for arm, line in self.twins.promotions.arms(NAME).items()}

    @property
    def share(self) -> int:
        held = self.twins.endpoint.status(NAME).arm(Arm.CANARY)
        return held.basis_points if held else 0

    @property
    def lines(self) -> list[tuple[str, int]]:
        """Kind and share of every line about it."""
        mine = [line for line in self.twins.promotions.all(NAME) if line.version == self.version.version]
        return [(line.kind, line.evidence.get(CANARY_BASIS_POINTS, 0)) for line in mine]


def bare_version(twins: Twins) -> ModelVersion:
    """A version without any document."""
    bundle = {"model.txt": b"tree", "signature.json": b"{}"}
    return twins.memory.registry.register(NAME, "bare", bundle, {}, bundle_digest(bundle), {"cutoff_day": LAST})


@pytest.fixture
def canary(lived: Twins) -> Canary:
    registry = lived.memory.registry
    bundle = bundle_of(lived.memory.artifacts, lived.use_case, LAST)
    documents = {name: registry.document(NAME, 1, name) for name in registry.documents(NAME, 1)}
    digest = registry.version(NAME, 1).digest
    return Canary(lived, registry.register(NAME, "again", bundle, documents, digest, {"cutoff_day": LAST}))


def test_a_canary_is_widened_share_by_share_and_becomes_champion(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    for day, share in zip(DAYS, (2000, 5000), strict=False):
        canary.lives(day)
        verdict = canary.judged(day)
        assert (verdict.step, verdict.basis_points, verdict.outcome) == (Step.WIDEN, share, Outcome.PASS), (
            verdict.reason
        )
        assert canary.carried_out(verdict) == {"champion": 1, "canary": 2}
        assert canary.share == share
    for number, day in enumerate(DAYS[2:5], 3):
        canary.lives(day)
        verdict = canary.judged(day)
        assert (verdict.step, verdict.reason[:18]) == (Step.WAIT, f"it has {number} of 6 full"), verdict.reason
    canary.lives(DAYS[5])
    assert canary.carried_out(canary.judged(DAYS[5])) == {"champion": 2}
    assert canary.lines == [("canary", 500), ("widened", 2000), ("widened", 5000), ("promoted", 0)]


def test_what_was_seen_at_one_share_does_not_widen_the_next(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0])
    verdict = canary.judged(DAYS[0])
    canary.carried_out(verdict)
    again = canary.judged(DAYS[0])
    assert (again.step, again.outcome) == (Step.WAIT, None)
    canary.carried_out(verdict)
    assert canary.share == 2000
    assert [kind for kind, _ in canary.lines] == ["canary", "widened"]


def test_the_evidence_of_the_shadow_counts_in_the_canary(canary: Canary) -> None:
    canary.enters(Arm.SHADOW)
    for day in DAYS[:3]:
        canary.lives(day, rows=500)
    canary.enters(Arm.CANARY, day=DAYS[2], share=500)
    canary.lives(DAYS[3], rows=400)
    numbers = canary.judged(DAYS[3]).numbers
    assert (numbers["full_days"], numbers["days_at_share"], numbers["rows"]) == (4, 1, 1900)


def test_the_evidence_of_the_way_counts_against_a_rollback(canary: Canary) -> None:
    """Three days in canary at its best, then one as champion on which the version before it would have done better."""
    twins, use_case = canary.twins, canary.twins.use_case
    canary.enters(Arm.CANARY, share=500)
    for day in DAYS[:3]:
        canary.lives(day, rows=500)
    cause = Cause(id="up", day=DAYS[2], by="operator:test", reason="to set the stage")
    twins.releases.enter(NAME, 2, canary.version.digest, Arm.CHAMPION, cause=cause)
    address = table(use_case, MONITORING, "outcomes")
    lived = twins.memory.tables.read(address, LIVE[1], LIVE[1])
    mine = lived[lived["champion_version"] == 1].head(600)
    mine = mine.assign(day=DAYS[3], champion_version=2.0, champion_score=1 - mine["champion_score"])
    twins.memory.tables.replace(address, mine, [DAYS[3]], {"dagster_run_id": "test"})
    assert twins.materialize([key(use_case, MONITORING, "predecessor_regret")], DAYS[3]).success
    (told,) = judgements_of(twins.memory.artifacts, use_case, DAYS[3], ["predecessor_regret"])
    assert (told.rows, told.verdict) == (3 * 500 + 600, Verdict.OK), told.reason


@pytest.mark.parametrize("newer", [Step.PAUSE, Step.REFUSE])
def test_a_verdict_that_a_newer_one_overtook_widens_nothing(canary: Canary, newer: Step) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0])
    verdict = canary.judged(DAYS[0])
    assert verdict.step is Step.WIDEN
    later = ReleaseDecision(day=DAYS[1], version=2, step=newer, reason="seen later", arm=Arm.CANARY, against=1)
    put_release_decision(canary.twins.memory.artifacts, canary.twins.use_case, later)
    canary.carried_out(verdict)
    assert (canary.share, canary.lines) == (500, [("canary", 500)])


def test_a_canary_that_was_taken_out_does_not_come_back_wider(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0])
    verdict = canary.judged(DAYS[0])
    cause = Cause(id="out", day=DAYS[0], by="operator:ann", reason="callers complain")
    canary.twins.releases.leave(NAME, 2, canary.version.digest, cause=cause, kind="retired")
    assert canary.carried_out(verdict) == {"champion": 1}


def test_a_worse_canary_is_refused_at_its_first_share(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0], worse=0.4)
    verdict = canary.judged(DAYS[0])
    assert (verdict.step, verdict.outcome) == (Step.REFUSE, Outcome.FAIL)
    assert canary.carried_out(verdict) == {"champion": 1}


def test_a_canary_that_cannot_score_is_refused_though_the_champion_answered_everybody(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0], scored=0.9)
    verdict = canary.judged(DAYS[0])
    assert (verdict.step, verdict.outcome) == (Step.REFUSE, Outcome.FAIL)
    assert "it could not score" in verdict.reason
    assert canary.carried_out(verdict) == {"champion": 1}


def test_a_canary_that_answered_nobody_waits(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0])
    address = table(canary.twins.use_case, MONITORING, "traffic")
    rows = canary.twins.memory.tables.read(address, DAYS[0], DAYS[0]).assign(arm="champion")
    canary.twins.memory.tables.replace(address, rows, [DAYS[0]], {"dagster_run_id": "test"})
    verdict = canary.judged(DAYS[0])
    assert (verdict.step, verdict.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert "it gave only 0 answers at this share" in verdict.reason


class Unreadable(MemoryTables):
    """Tables of which one cannot be read."""

    def read(self, table: str, *arguments: Any, **options: Any) -> pd.DataFrame:
        if table.endswith("/outcomes"):
            raise OSError("the disk is gone")
        return super().read(table, *arguments, **options)


def test_an_error_of_the_measurement_is_told_and_is_no_failure(canary: Canary, tmp_path: Path) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0])
    memory, tables = canary.twins.memory, Unreadable()
    vars(tables).update(vars(memory.tables))
    canary.twins = Twins(tmp_path / "broken", replace(memory, tables=tables), canary.twins.endpoint)
    verdict = canary.judged(DAYS[0])
    assert (verdict.step, verdict.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert "the paired rows could not be measured (paired rows: OSError: the disk is gone)" in verdict.reason


def test_a_champion_that_changed_meanwhile_begins_the_comparison_anew(canary: Canary) -> None:
    canary.enters(Arm.CANARY, share=500)
    canary.lives(DAYS[0], worse=0.4)
    other = bare_version(canary.twins)
    cause = Cause(id="third", day=DAYS[0], by="operator:ann", reason="known good")
    canary.twins.releases.enter(NAME, other.version, other.digest, Arm.CHAMPION, cause=cause, kind="override")
    verdict = canary.judged(DAYS[0])
    assert verdict.step is Step.PAUSE
    assert verdict.against == other.version


def test_an_unarmed_day_widens_nothing(canary: Canary) -> None:
    canary.enters(Arm.CANARY, day=DAYS[0], share=500)
    for day in DAYS[1:3]:
        canary.lives(day, armed=False)
    assert "no release without an armed alarm: performance gave no verdict" in canary.judged(DAYS[2]).reason


def test_a_shadow_without_traffic_is_judged_by_a_replay_of_what_was_logged(canary: Canary) -> None:
    canary.enters(Arm.SHADOW)
    for day in DAYS[:9]:
        canary.lives(day, rows=40, scored=0.0)
    verdict = canary.judged(DAYS[8])
    assert verdict.step is Step.TO_CANARY, verdict.reason
    assert "replayed" in verdict.reason
    assert "logged rows of" in verdict.reason
    assert verdict.numbers["full_days"] >= 3
    # The bundle is the champion's: its scores of the logged vectors are what the server said, to the last bit.
    assert verdict.numbers["brier_difference"] == 0.0


def test_a_canary_without_traffic_still_needs_callers_of_its_own(canary: Canary) -> None:
    canary.enters(Arm.SHADOW)
    for day in DAYS[:9]:
        canary.lives(day, rows=40, scored=0.0)
    canary.enters(Arm.CANARY, day=DAYS[8], share=500)
    canary.lives(DAYS[9], rows=40)
    verdict = canary.judged(DAYS[9])
    assert (verdict.step, verdict.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert "only 40 answers since it answers this share" in verdict.reason
    assert verdict.numbers["rows"] > 40


def test_a_shadow_that_does_not_score_what_there_is_is_not_replayed(canary: Canary) -> None:
    canary.enters(Arm.SHADOW)
    for day in DAYS[:9]:
        canary.lives(day, rows=300, scored=0.1)
    verdict = canary.judged(DAYS[8])
    assert (verdict.step, verdict.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert "only 0 full days of outcomes, 3 are needed" in verdict.reason


def test_a_first_version_that_no_monitor_could_judge_does_not_become_champion(lived: Twins) -> None:
    bare = bare_version(lived)
    cause = Cause(id="out", day=LAST, by="operator:test", reason="to set the stage")
    lived.releases.leave(NAME, 1, lived.memory.registry.version(NAME, 1).digest, cause=cause, kind="retired")
    shown = evaluation_at(lived.memory.artifacts, lived.use_case, LAST)
    verdict = first_verdict(lived.use_case, lived.releases, bare, shown, ())
    assert (verdict.step, verdict.outcome) == (Step.PAUSE, Outcome.INCONCLUSIVE)
    assert f"the drift reference of version {bare.version} cannot be read" in verdict.reason
