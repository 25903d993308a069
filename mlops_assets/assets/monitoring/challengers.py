"""The candidates in shadow and in canary, each compared with the champion on the rows that both scored.

Here: challenger_regret, by day. Belongs here: what the release table concludes, every day. Does not: what it is given
(``assets.monitoring.candidates``), the table (``ml.releases``), carrying a conclusion out (``assets.releases``).

A candidate that cannot be measured is inconclusive, with the error: the run succeeds and nothing is held against it.
"""

from typing import Any

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.promotions import CANARY_BASIS_POINTS
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MONITORING, group, key
from mlops_assets.assets.files import champion_judged, put_judgement, put_release_decision
from mlops_assets.assets.monitoring.candidates import Bench, Standing, measured, paired_rows, standings
from mlops_assets.assets.monitoring.shown import history_of
from mlops_assets.assets.partitions import calendar, days_of, window
from mlops_assets.contracts import (
    Arm,
    Evaluation,
    Judgement,
    Outcome,
    ReleaseDecision,
    Step,
    UseCase,
    from_json,
    to_plain,
)
from mlops_assets.ml.alarms import ALARMS
from mlops_assets.ml.monitoring import Subject, unknown
from mlops_assets.ml.performance import challenger_regret as judge
from mlops_assets.ml.releases import Candidate, decide_release
from mlops_assets.ml.sign_offs import missing_sign_offs
from mlops_assets.ml.tenures import as_judged, holders


def build_challengers(use_case: UseCase) -> list[Any]:
    """The asset that judges candidates."""
    address = key(use_case, MONITORING, "challenger_regret")
    since = window(-2 * use_case.release.max_days)
    seen = [dg.AssetDep(key(use_case, MONITORING, name), partition_mapping=since) for name in ("traffic", "outcomes")]
    alarms = [key(use_case, MONITORING, name) for name in ALARMS]

    @dg.asset(
        key=address,
        group_name=group(use_case, MONITORING),
        partitions_def=calendar(use_case.domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[*seen, *alarms],
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
            for at in standings(releases, use_case, day):
                bench = Bench(tables, releases, artifacts, context.log.exception)
                verdicts.append(decided(bench, at))
                if at.held.to_arm:
                    judged.append(put_judgement(artifacts, use_case, regret(bench, at)))
        pictures = {"picture": history_of(artifacts, use_case, judged[-1])} if judged else {}
        return dg.MaterializeResult(metadata={**_metadata(judged, verdicts), **pictures})

    return [challenger_regret]


def decided(bench: Bench, at: Standing) -> dict[str, Any]:
    """The release table's verdict about a candidate, kept, and as the sensor reads it."""
    decision = bench.tried("the candidate", lambda: _decide(bench, at)) or _inconclusive(at, bench.problems)
    put_release_decision(bench.artifacts, at.use_case, decision)
    version = bench.tried("its cut-off day", lambda: bench.releases.registry.version(at.use_case.name, at.held.version))
    return {**to_plain(decision), "cutoff_day": version.cutoff_day if version else ""}


def _decide(bench: Bench, at: Standing) -> ReleaseDecision:
    held, use_case = at.held, at.use_case
    # Gates are for who is in no arm yet: a registry that is down keeps nobody from leaving one.
    evaluation = None if held.to_arm else _evaluation(bench, at)
    history = bench.releases.promotions.all(use_case.name)
    candidate = Candidate(
        version=held.version,
        arm=Arm(held.to_arm) if held.to_arm else None,
        days_in_arm=at.days_in_arm,
        gates=evaluation.gates if evaluation else (),
        share=int(held.evidence.get(CANARY_BASIS_POINTS, 0)),
        days_at_share=at.days_at_share,
        enforced=evaluation is None or evaluation.enforced,
        unsigned=missing_sign_offs(use_case.release.sign_off, history, held.version, held.digest),
    )
    champion = at.champion.version if at.champion else None
    return decide_release(at.day, candidate, use_case.release, measured(bench, at), champion=champion)


def _evaluation(bench: Bench, at: Standing) -> Evaluation:
    document = bench.releases.registry.document(at.use_case.name, at.held.version, "evaluation.json")
    return from_json(Evaluation, document)


def _inconclusive(at: Standing, problems: list[str]) -> ReleaseDecision:
    return ReleaseDecision(
        day=at.day,
        version=at.held.version,
        step=Step.PAUSE,
        reason=f"inconclusive: it could not be judged ({'; '.join(problems)})",
        outcome=Outcome.INCONCLUSIVE,
        arm=Arm(at.held.to_arm) if at.held.to_arm else None,
        against=at.champion.version if at.champion else None,
    )


def regret(bench: Bench, at: Standing) -> Judgement:
    """The champion's verdict beside the candidate: would another model have done better?"""
    history = bench.releases.promotions.all(at.use_case.name)
    about_version = champion_judged(bench.artifacts, at.use_case, at.day)
    champion = holders(as_judged(history, at.day, about_version)).get(Arm.CHAMPION)
    about = Subject(
        day=at.day,
        champion_version=champion.version if champion else None,
        champion_digest=champion.digest if champion else None,
    )
    facts = {"label": at.use_case.label, "margin": at.use_case.release.margin}
    rows = bench.tried("challenger_regret", lambda: paired_rows(bench.tables, at))
    if rows is None:
        return unknown("challenger_regret", about, f"could not be measured: {bench.problems[-1]}")
    return judge(about, rows, **facts)


def _metadata(judged: list[Judgement], verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    newest: dict[str, Any] = {}
    if verdicts:
        last = verdicts[-1]
        numbers = {name: value for name, value in last["numbers"].items() if value is not None}
        told = {name: last[name] for name in ("step", "basis_points")}
        newest = {"candidate": last["version"], "outcome": last["outcome"] or "none yet", **told, **numbers}
    return {
        "verdicts": dg.MetadataValue.json(verdicts),
        "reason": "; ".join(f"version {v['version']}: {v['reason']}" for v in verdicts) or "no candidate",
        "rows": judged[-1].rows if judged else 0,
        **newest,
    }
