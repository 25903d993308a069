"""What is measured of a candidate every day: its loss and its service beside the champion's, and the alarms.

Here: which versions are candidates, the rows that are looked at, and ``measured``. Belongs here: reading and scoring
for the release table. Does not: the table (``ml.releases``), what makes evidence of rows (``ml.paired``,
``ml.canary_signals``), keeping the verdict (``assets.monitoring.challengers``).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.scorers import scorer_of
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.monitoring.alarms import unarmed, without_reference
from mlops_assets.assets.monitoring.evidence import arm_scores
from mlops_assets.assets.monitoring.traffic import rows_between
from mlops_assets.assets.partitions import shift, span
from mlops_assets.contracts import Arm, Transition, UseCase
from mlops_assets.ml.canary_signals import compare_service
from mlops_assets.ml.paired import ArmEvidence, compare_arms, compare_replayed, is_too_little, replayable
from mlops_assets.ml.releases import Measured
from mlops_assets.ml.sign_offs import SIGNED_OFF
from mlops_assets.ml.tenures import entered, set_out

MINE, OTHERS = "challenger_score", "score"
"""Columns of paired rows: the candidate's score and the champion's."""


@dataclass(frozen=True)
class Standing:
    """A candidate on one day: where it stands, and since when."""

    use_case: UseCase
    day: str
    held: Transition
    """The line that put it there, or gave it its present share."""
    came: Transition
    """The line with which it came into the arm."""
    set_out: Transition
    """The line with which its way began: for a canary that was in shadow before, the one into the shadow."""
    champion: Transition | None

    @property
    def days_in_arm(self) -> int:
        """Calendar days since it came into the arm."""
        return days_between(self.came.day, self.day)

    @property
    def days_at_share(self) -> int:
        """Calendar days since it answers its present share."""
        return days_between(self.held.day, self.day)


@dataclass
class Bench:
    """What measuring reads from, and what went wrong in it."""

    tables: Tables
    releases: Releases
    artifacts: Artifacts
    tell: Callable[[str], None]
    """Where an error goes with its traceback."""
    problems: list[str] = field(default_factory=list)

    def tried(self, what: str, measure: Callable[[], Any]) -> Any:
        """What was measured; None, with the error among the problems, when it could not be."""
        try:
            return measure()
        except Exception as error:
            self.tell(f"{what} could not be measured")
            self.problems.append(f"{what}: {type(error).__name__}: {error}")
            return None


def standings(releases: Releases, use_case: UseCase, day: str) -> list[Standing]:
    """Every candidate of the day."""
    history = releases.promotions.all(use_case.name)
    champion = releases.promotions.arms(use_case.name).get(Arm.CHAMPION)
    return [
        Standing(use_case, day, held, entered(history, held), set_out(history, held), champion)
        for held in candidates_on(releases, use_case, day)
    ]


def candidates_on(releases: Releases, use_case: UseCase, day: str) -> list[Transition]:
    """The versions in shadow or canary that entered before the end of the day; without a champion, the newest that was
    registered and is in no arm: it waits for a sign-off, and is looked at again every day."""
    arms = releases.promotions.arms(use_case.name)
    held = [arms[arm] for arm in (Arm.SHADOW, Arm.CANARY) if arm in arms and arms[arm].day <= day]
    return held if held or Arm.CHAMPION in arms else unreleased(releases, use_case, day)


def unreleased(releases: Releases, use_case: UseCase, day: str) -> list[Transition]:
    """The newest version, where nothing but its registration and sign-offs has happened to it by the day."""
    history = [line for line in releases.promotions.all(use_case.name) if line.day <= day]
    mine = [line for line in history if line.version == history[-1].version] if history else []
    return mine[:1] if mine and {line.kind for line in mine} <= {"registered", SIGNED_OFF} else []


def measured(bench: Bench, at: Standing) -> Measured:
    """Everything that the release table is given about a candidate; what fails in measuring is told, and missing."""
    registry, version = bench.releases.registry, at.held.version
    if at.held.to_arm is None:
        return Measured(unarmed=without_reference(registry, at.use_case, version))
    canary = at.held.to_arm == Arm.CANARY
    paired = bench.tried("paired rows", lambda: _paired(bench, at))
    if paired is None and not bench.problems:
        bench.problems.append("no outcome is known yet of a row that it scored")
    return Measured(
        paired=paired,
        signals=bench.tried("service", lambda: _signals(bench, at)) if canary else None,
        unarmed=unarmed(registry, bench.artifacts, at.use_case, version, at.day),
        problems=tuple(bench.problems),
    )


def paired_rows(tables: Tables, at: Standing) -> pd.DataFrame:
    """Outcomes of the rows that the candidate scored on its way, in shadow and canary, beside the champion's score.

    Columns of outcomes, with the candidate's score as challenger_score and the champion's as score. Rows that another
    champion scored are not among them.
    """
    rows = rows_between(tables, at.use_case, "outcomes", at.set_out.day, at.day)
    if rows.empty or at.champion is None:
        return pd.DataFrame()
    rows = rows[rows["champion_version"] == at.champion.version]
    mine = arm_scores(rows, at.held.version)
    return rows.assign(**{MINE: mine, OTHERS: rows["champion_score"]})[mine.notna()]


def _paired(bench: Bench, at: Standing) -> ArmEvidence | None:
    """The paired evidence; None when there are no rows yet."""
    rows, canary = paired_rows(bench.tables, at), at.held.to_arm == Arm.CANARY
    live = None if rows.empty else compare_arms(rows, since=at.held.day if canary else None, **_comparing(at))
    needed = 1 if canary else at.use_case.release.shadow_days
    if (live and live.step_days >= needed) or not _is_quiet(bench.tables, at, needed):
        return live
    return _replayed(bench, at) or live


def _is_quiet(tables: Tables, at: Standing, needed: int) -> bool:
    """True when the days since it came, enough of them, had too little traffic to judge anybody by."""
    if at.days_in_arm < needed or at.champion is None:
        return False
    lived = span(shift(at.came.day, 1), at.day)
    rows = rows_between(tables, at.use_case, "outcomes", lived[0], lived[-1])
    counts = rows["day"].value_counts() if len(rows) else {}
    return is_too_little([int(counts.get(day, 0)) for day in lived])


def _replayed(bench: Bench, at: Standing) -> ArmEvidence | None:
    """The evidence of the candidate's own bundle on the vectors that were logged since it was trained."""
    registry, release = bench.releases.registry, at.use_case.release
    cutoff = registry.version(at.use_case.name, at.held.version).cutoff_day
    first = max(shift(cutoff, 1), shift(at.day, -2 * release.max_days))
    logged = rows_between(bench.tables, at.use_case, "outcomes", first, at.day)
    if logged.empty or at.champion is None:
        return None
    rows = replayable(logged, cutoff, at.champion.version)
    if rows.empty:
        return None
    scores = scorer_of(registry, at.use_case.name, at.held.version).score(rows)
    rows = rows.assign(**{MINE: scores, OTHERS: rows["champion_score"]})
    found = compare_replayed(rows, **_comparing(at))
    if at.held.to_arm != Arm.CANARY:
        return found
    # No day can be replayed in which callers got its answers: those of the calendar count, once the rows suffice.
    lived = at.days_at_share if found.full_days >= release.shadow_days else 0
    return compare_replayed(rows, days_at_share=lived, **_comparing(at))


def _comparing(at: Standing) -> dict[str, Any]:
    return {
        "candidate": MINE,
        "champion": OTHERS,
        "label": at.use_case.label,
        "margin": at.use_case.release.margin,
    }


def _signals(bench: Bench, at: Standing) -> Any:
    answers = rows_between(bench.tables, at.use_case, "traffic", at.held.day, at.day)
    return compare_service(answers, at.held.version, at.held.at, at.use_case.release)


def days_between(first: str, last: str) -> int:
    """Days from one to the other."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
