"""A candidate and the champion on the same rows: live, or replayed where the traffic is too little.

Here: the paired evidence, and which logged rows may be replayed. Belongs here: what two versions' scores of the same
rows say. Does not: what follows from it (``ml.releases``, ``ml.performance``), reading or scoring rows (``assets``).

In a canary the champion scores every row too, whoever answers it, so the share of the traffic changes nothing here:
one process of evidence runs from the shadow's first row on through all shares. A process for each step would have as
many chances to reject an equal canary, and each would be young: on the real year, weekly challengers of a champion 56
days old, better by 0.038 log-loss, were refused in three of four cases for one stormy day in canary. What is wrong with
real answers alone (errors, time, features served otherwise) has signals and monitors of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlops_assets.ml.day_blocks import Difference, paired_difference
from mlops_assets.ml.metrics import brier_scores
from mlops_assets.ml.sequential import Evidence, worse_than

MIN_ROWS_PER_DAY = 100
"""Paired rows that make a day full. A tenth of a normal day: fewer means that scoring or outcomes broke down."""
AGREEING_DAYS = 3
"""Full days from which on it is asked whether days agree: fewer have no interval worth reading."""


@dataclass(frozen=True, kw_only=True)
class ArmEvidence:
    """What the paired rows of a candidate's way say about a candidate. Brier scores, candidate minus champion."""

    difference: Difference
    evidence: Evidence
    days_at_share: int | None = None
    """Full days since a canary answers its present share; None: all of ``full_days``."""
    told: str = ""
    """How it was come by, where that is not the arm's own scores."""

    @property
    def full_days(self) -> int:
        """Days with enough paired rows."""
        return self.evidence.full_days

    @property
    def step_days(self) -> int:
        """Full days that count for the present share."""
        return self.full_days if self.days_at_share is None else self.days_at_share

    def is_worse(self, margin: float, alpha: float) -> bool:
        """True when the candidate is worse by more than the margin: in the mean, by the e-process, and on days alike.

        One stormy day is enough for the e-process, whose rows are not independent; with days before it, it is not
        enough here. Where there are none yet, the e-process decides alone: a bad model must not answer for days.
        """
        agreed = self.full_days < AGREEING_DAYS or self.difference.low > 0
        return agreed and self.difference.mean > margin and self.evidence.rejects(alpha)

    def numbers(self) -> dict[str, float | None]:
        """Everything as plain numbers, for a decision's record."""
        return {
            "brier_difference": _finite(self.difference.mean),
            "low": _finite(self.difference.low),
            "high": _finite(self.difference.high),
            "rows": float(self.difference.rows),
            "full_days": float(self.full_days),
            "days_at_share": float(self.step_days),
            "e_value": self.evidence.fast,
            "e_value_by_days": self.evidence.strict,
        }


def compare_arms(
    rows: pd.DataFrame,
    *,
    candidate: str,
    champion: str,
    label: str,
    margin: float,
    day: str = "day",
    since: str | None = None,
) -> ArmEvidence:
    """The paired evidence of ``rows``: one row per decision that both models scored and whose outcome is known.

    ``candidate`` and ``champion`` name the columns of scores; ``day`` is the day on which the outcome became known;
    rows come in the order in which they did. Rows before the candidate set out must not be among them.
    ``since`` is the day on which the canary's present share began: later days count for it.
    """
    labels = rows[label].to_numpy(np.float64)
    losses = brier_scores(rows[candidate].to_numpy(np.float64), labels)
    other = brier_scores(rows[champion].to_numpy(np.float64), labels)
    days = rows[day].to_numpy()
    return ArmEvidence(
        difference=paired_difference(days, losses, other),
        evidence=worse_than(days, losses - other, margin, MIN_ROWS_PER_DAY),
        days_at_share=None if since is None else full_days(days[days > since]),
    )


def full_days(days: np.ndarray) -> int:
    """How many days have enough rows, ``days`` being one entry a row."""
    return int((np.unique(days, return_counts=True)[1] >= MIN_ROWS_PER_DAY).sum())


def is_too_little(outcomes_by_day: Sequence[int]) -> bool:
    """True when the days' traffic itself cannot fill a day: fewer than half of them had enough outcomes.

    Where there are outcomes enough and no scores of the candidate beside them, something is broken, and a replay would
    hide it.
    """
    return 2 * sum(outcomes >= MIN_ROWS_PER_DAY for outcomes in outcomes_by_day) < len(outcomes_by_day)


def replayable(outcomes: pd.DataFrame, cutoff_day: str, champion_version: int, day: str = "day") -> pd.DataFrame:
    """The logged rows on which a candidate may be judged after the fact: nothing of them was known when it was trained.

    ``outcomes`` are answers with their outcomes; those whose outcome was known on the cut-off day are left out, asked
    about before or not, and those that the present champion did not score.
    """
    return outcomes[(outcomes[day] > cutoff_day) & (outcomes["champion_version"] == champion_version)]


def compare_replayed(
    rows: pd.DataFrame, *, candidate: str, champion: str, label: str, margin: float, days_at_share: int | None = None
) -> ArmEvidence:
    """The paired evidence of replayed rows, days with little traffic taken together until they make a full one.

    ``days_at_share``: days that the canary has lived at its present share, for which nothing can be replayed.
    """
    found = compare_arms(
        rows.assign(day=in_blocks(rows["day"].to_numpy())),
        candidate=candidate,
        champion=champion,
        label=label,
        margin=margin,
    )
    told = f"replayed {len(rows)} logged rows of {rows['day'].nunique()} days for want of traffic: "
    return ArmEvidence(difference=found.difference, evidence=found.evidence, days_at_share=days_at_share, told=told)


def in_blocks(days: np.ndarray) -> np.ndarray:
    """For every row the last day of its block: days in a row, taken together until they have rows for a full day."""
    names, positions, counts = np.unique(days, return_inverse=True, return_counts=True)
    ends, first, held = np.empty(len(names), dtype=names.dtype), 0, 0
    for last, count in enumerate(counts):
        held += int(count)
        if held >= MIN_ROWS_PER_DAY or last == len(names) - 1:
            ends[first : last + 1] = names[last]
            first, held = last + 1, 0
    return ends[positions]


def in_words(paired: ArmEvidence) -> str:
    """The evidence in one line."""
    difference = paired.difference
    return (
        f"{paired.told}Brier {difference.mean:+.4f} against the champion on the same {difference.rows} rows of "
        f"{difference.days} days (95 % interval by days {difference.low:+.4f} to {difference.high:+.4f}), "
        f"e-value {paired.evidence.fast:.3g}"
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
