"""The candidates in shadow and in canary, each compared with the champion on the rows that both scored.

Here: challenger_regret, by day. Belongs here: what the release table is given and what it concludes, every day.
Does not: the table (``ml.releases``), carrying a conclusion out (``assets.releases``).
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MONITORING, group, key
from mlops_assets.assets.files import champion_judged, judgements_of, put_judgement, put_release_decision
from mlops_assets.assets.monitoring.shown import history_of
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import calendar, days_of, window
from mlops_assets.contracts import (
    Arm,
    Evaluation,
    Judgement,
    ReleaseDecision,
    Transition,
    UseCase,
    Verdict,
    from_json,
    to_plain,
)
from mlops_assets.ml.monitoring import Subject
from mlops_assets.ml.performance import challenger_regret as judge
from mlops_assets.ml.releases import ArmEvidence, Candidate, compare_arms, decide_release
from mlops_assets.ml.sign_offs import SIGNED_OFF, missing_sign_offs
from mlops_assets.ml.tenures import as_judged, holders

ALARMS = ("performance", "data_contract")
"""Monitors that would notice a bad release: without their verdict nothing moves on."""


def build_challengers(use_case: UseCase) -> list[Any]:
    """The asset that judges candidates."""
    address = key(use_case, MONITORING, "challenger_regret")
    since = window(-2 * use_case.release.max_days)
    alarms = [key(use_case, MONITORING, name) for name in ALARMS]

    @dg.asset(
        key=address,
        group_name=group(use_case, MONITORING),
        partitions_def=calendar(use_case.domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[dg.AssetDep(key(use_case, MONITORING, "outcomes"), partition_mapping=since), *alarms],
    )
    def challenger_regret(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        releases: dg.ResourceParam[Releases],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        """Would another model have done better? Every candidate against it, and the release table's verdict."""
        judged: list[Judgement] = []
        verdicts: list[dict[str, Any]] = []
        for day in days_of(context):
            judged, verdicts = [], []
            history = releases.promotions.all(use_case.name)
            for held in candidates_on(history, day):
                rows = paired_rows(tables, use_case, held, day)
                decision = _decide(use_case, releases, artifacts, history, rows, held, day)
                put_release_decision(artifacts, use_case, decision)
                if held.to_arm:
                    about = _subject(history, day, champion_judged(artifacts, use_case, day))
                    said = judge(about, rows, label=use_case.label, margin=use_case.release.margin)
                    judged.append(put_judgement(artifacts, use_case, said))
                cutoff = releases.registry.version(use_case.name, held.version).cutoff_day
                verdicts.append({**to_plain(decision), "cutoff_day": cutoff})
        pictures = {"picture": history_of(artifacts, use_case, judged[-1])} if judged else {}
        return dg.MaterializeResult(metadata={**_metadata(judged, verdicts), **pictures})

    return [challenger_regret]


def candidates_on(history: Sequence[Transition], day: str) -> list[Transition]:
    """The versions in shadow or canary that entered before the end of the day; without a champion, the newest that was
    registered and is in no arm: it waits for a sign-off, and is looked at again every day."""
    arms = holders(history)
    held = [arms[arm] for arm in (Arm.SHADOW, Arm.CANARY) if arm in arms and arms[arm].day <= day]
    return held if held or Arm.CHAMPION in arms else unreleased(history, day)


def unreleased(lines: Sequence[Transition], day: str) -> list[Transition]:
    """The newest version, where nothing but its registration and sign-offs has happened to it by the day."""
    history = [line for line in lines if line.day <= day]
    mine = [line for line in history if line.version == history[-1].version] if history else []
    return mine[:1] if mine and {line.kind for line in mine} <= {"registered", SIGNED_OFF} else []


def paired_rows(tables: Tables, use_case: UseCase, held: Transition, day: str) -> pd.DataFrame:
    """Outcomes of the rows that the candidate scored in its present arm, beside the champion's score of them.

    Columns of outcomes, with the candidate's score as challenger_score and the champion's as score.
    """
    rows = rows_between(tables, use_case, "outcomes", held.day, day)
    version = f"{held.to_arm}_version"
    if rows.empty or version not in rows:
        return pd.DataFrame()
    mine = rows[(rows[version] == held.version) & rows["champion_score"].notna()]
    return mine.assign(challenger_score=mine[f"{held.to_arm}_score"], score=mine["champion_score"])


def _subject(history: Sequence[Transition], day: str, judged_about: int | None) -> Subject:
    champion = holders(as_judged(history, day, judged_about)).get(Arm.CHAMPION)
    return Subject(
        day=day,
        champion_version=champion.version if champion else None,
        champion_digest=champion.digest if champion else None,
    )


def _decide(
    use_case: UseCase,
    releases: Releases,
    artifacts: Artifacts,
    history: Sequence[Transition],
    rows: pd.DataFrame,
    held: Transition,
    day: str,
) -> ReleaseDecision:
    evaluation = from_json(Evaluation, releases.registry.document(use_case.name, held.version, "evaluation.json"))
    candidate = Candidate(
        version=held.version,
        arm=Arm(held.to_arm) if held.to_arm else None,
        days_in_arm=(date.fromisoformat(day) - date.fromisoformat(held.day)).days,
        gates=evaluation.gates,
        enforced=evaluation.enforced,
        unsigned=missing_sign_offs(use_case.release.sign_off, history, held.version, held.digest),
    )
    armed = [j for j in judgements_of(artifacts, use_case, day, ALARMS) if j.verdict is not Verdict.UNKNOWN]
    return decide_release(
        day,
        candidate,
        use_case.release,
        has_champion=Arm.CHAMPION in holders(history),
        alarms_armed=len(armed) == len(ALARMS),
        paired=evidence_of(use_case, rows),
    )


def evidence_of(use_case: UseCase, rows: pd.DataFrame) -> ArmEvidence | None:
    """The paired evidence of rows, None when there are none yet."""
    if rows.empty:
        return None
    margin = use_case.release.margin
    return compare_arms(rows, candidate="challenger_score", champion="score", label=use_case.label, margin=margin)


def _metadata(judged: list[Judgement], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    newest: dict[str, Any] = {}
    if verdicts:
        numbers = {name: value for name, value in verdicts[-1]["numbers"].items() if value is not None}
        newest = {"candidate": verdicts[-1]["version"], "step": verdicts[-1]["step"], **numbers}
    return {
        "verdicts": dg.MetadataValue.json(verdicts),
        "reason": "; ".join(f"version {v['version']}: {v['reason']}" for v in verdicts) or "no candidate",
        "rows": judged[-1].rows if judged else 0,
        **newest,
    }
