"""One asset for each monitor: its verdict on a day, with the numbers it stands on.

Here: which monitors there are and what each is given. Belongs here: a monitor of one champion. Does not: comparing
candidates (``assets.monitoring.challengers``), acting on a verdict (``assets.monitoring.decision``).

All monitors of a day run in one step: they share the rows they read, and a step costs more than most of them. A
monitor that cannot be measured says UNKNOWN with the error; that pauses automation and never counts against a model.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.scorers import reference_of, scorer_of
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, MONITORING, automation, group, key
from mlops_assets.assets.files import champion_judged, put_judgement
from mlops_assets.assets.metadata import plain
from mlops_assets.assets.monitoring.evidence import Evidence, gather, recomputed
from mlops_assets.assets.monitoring.explained import explained_days
from mlops_assets.assets.monitoring.feeds import FEEDS, feeds_of
from mlops_assets.assets.monitoring.served import services
from mlops_assets.assets.monitoring.shown import revision_of, shown
from mlops_assets.assets.partitions import calendar, days_of, shift, window
from mlops_assets.contracts import Judgement, UseCase, Verdict
from mlops_assets.ml import label_sanity, monitoring, performance
from mlops_assets.ml.attribution_drift import attribution_drift
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.performance_intervals import week_intervals
from mlops_assets.ml.plausibility import implausible
from mlops_assets.ml.server_health import server_health


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a monitor may use besides the day's evidence."""

    use_case: UseCase
    tables: Tables
    releases: Releases
    feature_store: FeatureStore
    artifacts: Artifacts


def _data_contract(bench: Bench, seen: Evidence) -> Judgement:
    broken = implausible(feeds_of(bench.tables, bench.use_case.domain, seen.about.day))
    return monitoring.data_contract(seen.about, rows=seen.landed_rows, quarantined=seen.quarantined_rows, broken=broken)


def _feature_contract(bench: Bench, seen: Evidence) -> Judgement:
    traffic = seen.traffic.sort_values("event_time", kind="stable") if len(seen.traffic) else seen.traffic
    return monitoring.feature_contract(seen.about, _reference(bench, seen), traffic)


def _feature_skew(bench: Bench, seen: Evidence) -> Judgement:
    served = seen.of_champion(seen.traffic[seen.traffic["day"] == seen.about.day])
    sample = served.iloc[:: max(1, len(served) // SKEW_ROWS)]
    features = [f.name for f in _scorer(bench, seen).signature.features]
    fresh = recomputed(bench.feature_store, bench.use_case, sample)
    return monitoring.feature_skew(seen.about, sample, fresh, key=bench.use_case.entity_id, features=features)


def _data_drift(bench: Bench, seen: Evidence) -> Judgement:
    engine = drift_engine(bench.use_case.monitoring.drift_engine)
    return monitoring.data_drift(seen.about, _reference(bench, seen), seen.traffic, engine)


def _prediction_drift(bench: Bench, seen: Evidence) -> Judgement:
    engine = drift_engine(bench.use_case.monitoring.drift_engine)
    return monitoring.prediction_drift(seen.about, _reference(bench, seen), seen.of_champion(seen.traffic), engine)


def _attribution_drift(bench: Bench, seen: Evidence) -> Judgement:
    known = _reference(bench, seen).facts.attributions
    days = [] if known is None else explained_days(bench.artifacts, bench.use_case, _scorer(bench, seen), seen)
    return attribution_drift(seen.about, known, days)


def _label_drift(bench: Bench, seen: Evidence) -> Judgement:
    return monitoring.label_drift(seen.about, _reference(bench, seen), seen.outcomes, label=bench.use_case.label)


def _label_sanity(bench: Bench, seen: Evidence) -> Judgement:
    recent = seen.outcomes[seen.outcomes["day"] > shift(seen.about.day, -label_sanity.DAYS)]
    return label_sanity.label_sanity(seen.about, recent, label=bench.use_case.label)


def _performance(bench: Bench, seen: Evidence) -> Judgement:
    rows, label = seen.of_champion(seen.outcomes), bench.use_case.label
    found = performance.performance(seen.about, _reference(bench, seen), rows, label=label)
    if found.verdict is Verdict.UNKNOWN:
        return found
    return monitoring.with_numbers(found, week_intervals(rows, label=label))


def _estimated_performance(bench: Bench, seen: Evidence) -> Judgement:
    rows = seen.of_champion(seen.traffic[seen.traffic["day"] == seen.about.day])
    return performance.estimated_performance(seen.about, _reference(bench, seen), rows["score"].to_numpy())


def _predecessor_regret(bench: Bench, seen: Evidence) -> Judgement:
    if seen.predecessor is None:
        return monitoring.unknown("predecessor_regret", seen.about, "there is no earlier champion")
    use_case, rows = bench.use_case, seen.of_champion(seen.rollback_outcomes)
    if len(rows):
        predecessor = scorer_of(bench.releases.registry, use_case.name, seen.predecessor.version)
        rows = rows.assign(predecessor_score=predecessor.score(rows))
    facts, alpha = use_case.monitoring, use_case.release.alpha
    return performance.predecessor_regret(
        seen.about, rows, facts, label=use_case.label, alpha=alpha, before=seen.on_its_way()
    )


def _server_health(bench: Bench, seen: Evidence) -> Judgement:
    today, before = services(bench.artifacts, bench.tables, bench.use_case, seen)
    return server_health(seen.about, today, before, bench.use_case.monitoring.server)


MONITORS: Mapping[str, Callable[[Bench, Evidence], Judgement]] = {
    "data_contract": _data_contract,
    "feature_contract": _feature_contract,
    "feature_skew": _feature_skew,
    "data_drift": _data_drift,
    "prediction_drift": _prediction_drift,
    "attribution_drift": _attribution_drift,
    "label_drift": _label_drift,
    "label_sanity": _label_sanity,
    "performance": _performance,
    "estimated_performance": _estimated_performance,
    "predecessor_regret": _predecessor_regret,
    "server_health": _server_health,
}
DESCRIPTIONS: Mapping[str, str] = {
    "data_contract": "Is the day's data broken? Rows in quarantine, and feeds that contradict physics or each other.",
    "feature_contract": "Do the served features keep the relations, the pace and the presence of clean days?",
    "feature_skew": "Are the served feature vectors the ones that the features give when recomputed? Exact equality.",
    "data_drift": "Did the inputs of the last week leave the training distribution in an unexplained way?",
    "prediction_drift": "Did the answers move beyond what days move them?",
    "attribution_drift": "Does the champion decide by other features than on the days it was trained on?",
    "label_drift": "Did the outcome rate move beyond what days move it?",
    "label_sanity": "Do the labels contradict the departures that nearly decide them?",
    "performance": "Is the champion worse than it should be on the outcomes that became known?",
    "estimated_performance": "What the loss will be if the scores are calibrated; known before any outcome.",
    "predecessor_regret": "Is the champion worse than the one before it, on the rows that both scored?",
    "server_health": "Does the server answer as before this champion: in time, and with the model's own answers?",
}
SKEW_ROWS = 200
"""Served vectors recomputed a day; a skew of a feature touches most rows, so one in five shows it."""


def build_monitors(use_case: UseCase) -> list[Any]:
    """The monitors of a use case as assets, one step for all."""
    views = [key(use_case.domain, FEATURES, view) for view in FEATURE_VIEWS]
    week = window(1 - monitoring.WINDOW_DAYS)
    seen = [dg.AssetDep(key(use_case, MONITORING, name), partition_mapping=week) for name in ("traffic", "outcomes")]
    days = calendar(use_case.domain)

    def spec(name: str) -> dg.AssetSpec:
        feeds = [key(use_case.domain, DATASETS, dataset) for dataset in FEEDS]
        extra = {
            "data_contract": feeds,
            "feature_skew": views,
            "server_health": [key(use_case.domain, DATASETS, "flights")],
        }
        return dg.AssetSpec(
            key(use_case, MONITORING, name),
            deps=[*seen, *extra.get(name, [])],
            description=DESCRIPTIONS[name],
            group_name=group(use_case, MONITORING),
            partitions_def=days,
        )

    @dg.multi_asset(
        name=automation(use_case, "monitors"),
        specs=[spec(name) for name in MONITORS],
        check_specs=[_quiet(use_case, name) for name in MONITORS],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def monitors(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        releases: dg.ResourceParam[Releases],
        feature_store: dg.ResourceParam[FeatureStore],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> Iterator[dg.MaterializeResult]:
        bench = Bench(
            use_case=use_case, tables=tables, releases=releases, feature_store=feature_store, artifacts=artifacts
        )
        names = [name for name in MONITORS if key(use_case, MONITORING, name) in context.selected_asset_keys]
        *earlier, last = days_of(context)
        for day in earlier:
            _judge_day(context, bench, names, day)
        seen, judged = _judge_day(context, bench, names, last)
        yield from (_result(use_case, judgement, _shown(context, bench, seen, judgement)) for judgement in judged)

    return [monitors]


def _quiet(use_case: UseCase, name: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec("is_quiet", asset=key(use_case, MONITORING, name), description=DESCRIPTIONS[name])


def _judge_day(
    context: dg.AssetExecutionContext, bench: Bench, names: list[str], day: str
) -> tuple[Evidence, list[Judgement]]:
    about = champion_judged(bench.artifacts, bench.use_case, day)
    seen = gather(bench.tables, bench.releases, bench.use_case, day, about)
    judged = [_judge(context, bench, seen, name) for name in names]
    return seen, [put_judgement(bench.artifacts, bench.use_case, judgement) for judgement in judged]


def _judge(context: dg.AssetExecutionContext, bench: Bench, seen: Evidence, name: str) -> Judgement:
    if seen.champion is None:
        return monitoring.unknown(name, seen.about, "there is no champion")
    try:
        return MONITORS[name](bench, seen)
    except Exception as error:
        context.log.exception(f"{name} could not be measured on {seen.about.day}")
        return monitoring.unknown(name, seen.about, f"could not be measured: {type(error).__name__}: {error}")


def _shown(context: dg.AssetExecutionContext, bench: Bench, seen: Evidence, judgement: Judgement) -> dict[str, Any]:
    """Pictures and tables; a verdict stands without them."""
    judged = judgement.monitor == "performance" and judgement.verdict is not Verdict.UNKNOWN
    try:
        reference = _reference(bench, seen) if judged else None
        return shown(bench.artifacts, bench.use_case, seen, judgement, reference)
    except Exception as error:
        context.log.exception(f"{judgement.monitor} of {seen.about.day} could not be drawn")
        return {"not_drawn": f"{type(error).__name__}: {error}"}


def _result(use_case: UseCase, judgement: Judgement, pictures: dict[str, Any]) -> dg.MaterializeResult:
    check = dg.AssetCheckResult(
        passed=judgement.verdict is not Verdict.ALARM,
        check_name="is_quiet",
        asset_key=key(use_case, MONITORING, judgement.monitor),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"reason": judgement.reason},
    )
    return dg.MaterializeResult(
        asset_key=key(use_case, MONITORING, judgement.monitor),
        metadata={
            "verdict": str(judgement.verdict),
            "reason": judgement.reason,
            "champion_version": judgement.champion_version,
            "rows": judgement.rows,
            **revision_of(judgement),
            **plain(judgement.numbers),
            **pictures,
        },
        check_results=[check],
    )


def _reference(bench: Bench, seen: Evidence) -> Any:
    return reference_of(bench.releases.registry, bench.use_case.name, seen.about.champion_version or 0)


def _scorer(bench: Bench, seen: Evidence) -> Any:
    return scorer_of(bench.releases.registry, bench.use_case.name, seen.about.champion_version or 0)
