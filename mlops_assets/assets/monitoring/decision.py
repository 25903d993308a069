"""What is to be done about a day: the decision table, applied to the verdicts of its monitors.

Here: decision, by day, with everything it looked at. Belongs here: gathering a situation. Does not: the table
(``ml.policy``), carrying a decision out (``assets.remediation``, started by ``automation.remediation``).
"""

from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import MONITORING, group, key, table
from mlops_assets.assets.files import decision_of, inputs_of, judgements_of, put_decision, put_inputs
from mlops_assets.assets.monitoring.monitors import MONITORS
from mlops_assets.assets.partitions import calendar, days_of, shift, span, window
from mlops_assets.contracts import Arm, Decision, Judgement, Transition, UseCase, to_json, to_plain
from mlops_assets.ml.episodes import left_on
from mlops_assets.ml.policy import Situation
from mlops_assets.ml.tenures import as_judged, as_of, holders, previous_champion
from mlops_assets.ml.what_if import Inputs, why

JUDGED_DAYS = 10
"""Days of verdicts that the table sees: more than any of its windows."""
DECIDED_DAYS = 30
NAMES = (*MONITORS, "challenger_regret")


def build_decision(use_case: UseCase) -> list[Any]:
    """The asset that holds the decision of a day."""
    week = window(-JUDGED_DAYS)
    upstream = [dg.AssetDep(key(use_case, MONITORING, name), partition_mapping=week) for name in NAMES]

    @dg.asset(
        key=key(use_case, MONITORING, "decision"),
        group_name=group(use_case, MONITORING),
        partitions_def=calendar(use_case.domain),
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=upstream,
    )
    def decision(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        releases: dg.ResourceParam[Releases],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        """The decision of the day and its reason: nothing, watch, hold, retrain, roll back; sensors act on it."""
        days = days_of(context)
        decisions = []
        for day in days:
            situation = situation_of(use_case, releases, artifacts, day)
            inputs = Inputs(situation=situation, monitoring=use_case.monitoring)
            put_inputs(artifacts, use_case, inputs)
            decisions.append(inputs.decide())
            put_decision(artifacts, use_case, decisions[-1])
        frame = pd.DataFrame([_row(made) for made in decisions])
        tables.replace(table(use_case, MONITORING, "decision"), frame, days, {"dagster_run_id": context.run.run_id})
        made = decisions[-1]
        return dg.MaterializeResult(
            metadata={
                "action": str(made.action),
                "reason": made.reason,
                "version": made.version or 0,
                "explanation": dg.MetadataValue.md(why(inputs)),
                "evidence": dg.MetadataValue.json(to_plain(made.evidence)),
            }
        )

    return [decision]


def situation_of(use_case: UseCase, releases: Releases, artifacts: Artifacts, day: str) -> Situation:
    """Everything that the decision table looks at, at the end of one day.

    A day that is decided again is decided with its verdicts as they are now, its versions as they were then, and in the
    knowledge of what was done since.
    """
    history = releases.promotions.all(use_case.name)
    first = inputs_of(artifacts, use_case, day)
    situation = first.situation if first else _situation(use_case, releases, history, day)
    champion = holders(as_judged(history, day, situation.champion_version)).get(Arm.CHAMPION)
    known = (decision_of(artifacts, use_case, one) for one in _decided_days(artifacts, use_case, day))
    return replace(
        situation,
        judgements=tuple(judged(artifacts, use_case, shift(day, 1 - JUDGED_DAYS), day)),
        decisions=tuple(made for made in known if made is not None),
        champion_left=left_on(history, champion, day),
    )


def _situation(use_case: UseCase, releases: Releases, history: list[Transition], day: str) -> Situation:
    """The versions, as they stand."""
    arms, then = holders(history), as_of(history, day)
    champion, before = holders(then).get(Arm.CHAMPION), previous_champion(then)
    challenger = arms.get(Arm.CANARY) or arms.get(Arm.SHADOW)
    cutoffs = {version.version: version.cutoff_day for version in releases.registry.versions(use_case.name)}
    return Situation(
        day=day,
        judgements=(),
        champion_version=champion.version if champion else None,
        champion_since=champion.day if champion else None,
        champion_cutoff=cutoffs.get(champion.version) if champion else None,
        data_since=use_case.domain.first_day,
        predecessor_version=before.version if before else None,
        challenger_version=challenger.version if challenger else None,
    )


def _decided_days(artifacts: Artifacts, use_case: UseCase, day: str) -> list[str]:
    """The days before; and those since, unless this day has acted itself: then it is not held back by what followed."""
    own = decision_of(artifacts, use_case, day)
    since = [] if own and own.acts else span(shift(day, 1), shift(day, DECIDED_DAYS))
    return [*span(shift(day, -DECIDED_DAYS), shift(day, -1)), *since]


def judged(artifacts: Artifacts, use_case: UseCase, first: str, last: str) -> list[Judgement]:
    """Every verdict of the days from the first to the last."""
    return [j for day in span(first, last) for j in judgements_of(artifacts, use_case, day, NAMES)]


def _row(made: Decision) -> dict[str, Any]:
    return {
        "day": made.day,
        "action": str(made.action),
        "reason": made.reason,
        "version": made.version or 0,
        "decision": to_json(made),
    }
