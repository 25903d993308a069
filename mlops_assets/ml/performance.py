"""What the outcomes say of the champion: alone, against a simple model, its predecessor and its challenger.

Here: monitors of loss. Belongs here: a monitor that reads scores together with outcomes, or estimates them. Does not:
thresholds of clean days (``ml.references``), what follows from a verdict (``ml.policy``, ``ml.releases``).

Frames hold one row per decision whose outcome became known: the ``score`` that was answered, the 0/1 label, ``day``
(the day on which the outcome became known), a column per feature where said, in the order in which outcomes came.
"""

import math

import numpy as np
import pandas as pd

from mlops_assets.contracts import Judgement, Monitoring, Verdict
from mlops_assets.ml.metrics import auc, brier_scores, calibration_slope, log_losses
from mlops_assets.ml.monitoring import DEVIATIONS, MIN_ROWS, Subject, judgement, unknown
from mlops_assets.ml.paired import ArmEvidence, compare_arms, full_days
from mlops_assets.ml.references import SCORE, DriftReference, OutcomeReference, expected_log_losses

SPANS = (1, 3, 5, 7)
"""Days whose means are judged: a broken model shows in one, a stale one in seven, a changed world in between."""
_MOST_REGRET = 0.1
"""Log-loss by which no model may lose to the simple one over a day (by the square root of the days less over more)."""
_SLOPE_DEVIATIONS = 3.0
"""Slopes of days are nearly independent (means of seven vary by 0.13, by 0.11 if they were), so three standard errors
are enough where the others need four."""
_UNKNOWN_SLOPE_DEVIATION = 0.5
"""Of a day, where a reference does not tell it."""
_ESTIMATE_DEVIATIONS = 2.0
"""The estimate only informs, so it may speak often; at 4 its limit would lie above log 2, which it cannot exceed."""


def performance(
    about: Subject, reference: DriftReference, window: pd.DataFrame, *, label: str, day: str = "day"
) -> Judgement:
    """Is the champion worse than it should be on these rows?

    ``window``: the last seven days' outcomes with the features. Judged are the log-loss minus that of the simple model
    on the same rows, which shares the weather of the day, the calibration gap (mean score minus rate), and the
    calibration slope within a day (who is late, whatever the day's rate: blind to storms, and both models lose it when
    the world changes), over 1, 3, 5 and 7 days, against what held-out days showed. A span is judged only when all of
    its days have outcomes.
    """
    last = window.loc[window[day] == about.day]
    if len(last) < MIN_ROWS:
        return unknown("performance", about, f"{len(last)} outcomes", len(last))
    daily = _daily(window, reference, label, day)
    found = [_span(daily.tail(span), reference.facts.outcomes) for span in SPANS if len(daily) >= span]
    numbers = {**_of_day(last, label), **{name: value for span in found for name, value in span.items()}}
    problems = [problem for span in found for problem in _problems(span)]
    reason = "; ".join(problems) or (
        f"log-loss {numbers['log_loss']:.3f}, {numbers['regret_1']:+.3f} against the simple model, "
        f"calibration gap {numbers['gap_1']:+.3f}, slope {numbers['slope_1']:.2f}: as on held-out days"
    )
    return judgement("performance", about, Verdict.ALARM if problems else Verdict.OK, reason, numbers, len(last))


def estimated_performance(about: Subject, reference: DriftReference, scores: np.ndarray) -> Judgement:
    """What the log-loss and the AUC of the day will be if the scores are calibrated: known before any outcome.

    Confidence-based performance estimation (the idea of NannyML's CBPE). It follows covariate shift and is blind to
    concept drift: informs, never acts.
    """
    if len(scores) < MIN_ROWS:
        return unknown("estimated_performance", about, "too few answers", len(scores))
    clean = reference.facts.outcomes.expected_log_loss
    estimate, limit = float(expected_log_losses(scores).mean()), clean.bound(1, _ESTIMATE_DEVIATIONS)
    return judgement(
        "estimated_performance",
        about,
        Verdict.ALARM if estimate > limit else Verdict.OK,
        f"expected log-loss {estimate:.3f} (held-out days {clean.mean:.3f}, limit {limit:.3f}); blind to concept drift",
        {"log_loss": estimate, "limit": limit, "auc": expected_auc(scores), "rate": float(np.mean(scores))},
        len(scores),
    )


def expected_auc(scores: np.ndarray) -> float:
    """AUC of scores that are the true probabilities: share of (late, on time) pairs in the right order, in expectation.

    Each row counts as late with its score and as on time with the rest; ties count half.
    """
    ordered = np.sort(scores)
    on_time_below = np.cumsum(1 - ordered) - (1 - ordered)
    pairs = ordered @ on_time_below + 0.5 * ordered @ (1 - ordered)
    total = ordered.sum() * (1 - ordered).sum()
    return float(pairs / total) if total > 0 else float("nan")


def predecessor_regret(
    about: Subject,
    rows: pd.DataFrame,
    monitoring: Monitoring,
    *,
    label: str,
    alpha: float,
    before: pd.DataFrame | None = None,
    predecessor: str = "predecessor_score",
    score: str = SCORE,
    day: str = "day",
) -> Judgement:
    """Is the champion worse than the champion before it, on the same rows?

    ``rows``: all rows since the promotion, with both scores; ``before``: those that both scored on its way there, for
    it is the same comparison (``ml.paired``). No verdict before a full day since the promotion. Alarm when the mean
    Brier difference exceeds the margin, the sequential evidence for it reaches 1/alpha at the end of a full day, and
    days agree.
    """
    if len(rows) < monitoring.rollback_min_rows:
        few = f"{len(rows)} of {monitoring.rollback_min_rows} rows since promotion"
        return unknown("predecessor_regret", about, few, len(rows))
    if not full_days(rows[day].to_numpy()):
        return unknown("predecessor_regret", about, "no full day of outcomes since promotion", len(rows))
    margin = monitoring.rollback_margin
    whole = rows if before is None or before.empty else pd.concat([before, rows], ignore_index=True)
    paired = compare_arms(whole, candidate=score, champion=predecessor, label=label, margin=margin, day=day)
    return _paired_judgement("predecessor_regret", about, paired, "its predecessor", paired.is_worse(margin, alpha))


def challenger_regret(
    about: Subject,
    rows: pd.DataFrame,
    *,
    label: str,
    margin: float,
    challenger: str = "challenger_score",
    score: str = SCORE,
    day: str = "day",
) -> Judgement:
    """Would retraining have helped? Champion against a challenger that scored the same rows, since it entered.

    Alarm means that the champion lost: its mean Brier score is higher than the challenger's.
    """
    if len(rows) < MIN_ROWS:
        return unknown("challenger_regret", about, "no challenger scored these rows", len(rows))
    paired = compare_arms(rows, candidate=score, champion=challenger, label=label, margin=margin, day=day)
    return _paired_judgement("challenger_regret", about, paired, "its challenger", paired.difference.mean > 0)


def _paired_judgement(monitor: str, about: Subject, paired: ArmEvidence, other: str, worse: bool) -> Judgement:
    difference = paired.difference
    return judgement(
        monitor,
        about,
        Verdict.ALARM if worse else Verdict.OK,
        f"Brier {difference.mean:+.4f} against {other} on the same {difference.rows} rows of {difference.days} days, "
        f"e-value {paired.evidence.fast:.3g}",
        paired.numbers(),
        difference.rows,
    )


def _daily(window: pd.DataFrame, reference: DriftReference, label: str, day: str) -> pd.DataFrame:
    """Mean regret and gap, and the slope, of every day with enough outcomes, in order of days."""
    labels, scores = window[label].to_numpy(np.float64), window[SCORE].to_numpy(np.float64)
    regret = log_losses(scores, labels) - log_losses(reference.base_scores(window), labels)
    rows = pd.DataFrame({"day": window[day].to_numpy(), "regret": regret, "gap": scores - labels})
    grouped = rows.groupby("day")
    daily = grouped.mean().loc[grouped.size() >= MIN_ROWS]
    of_day = {name: np.flatnonzero(rows["day"].to_numpy() == name) for name in daily.index}
    return daily.assign(slope=[calibration_slope(scores[mine], labels[mine]) for mine in of_day.values()])


def _span(daily: pd.DataFrame, clean: OutcomeReference) -> dict[str, float]:
    """A model that was bad on its held-out days already must not set itself a bad standard: regret limits are capped,
    and the clean range of the gap is centred on zero."""
    span = len(daily)
    wide = clean.gap.bound(span, DEVIATIONS) - clean.gap.mean
    flat = clean.slope.deviation if clean.slope else _UNKNOWN_SLOPE_DEVIATION
    return {
        f"regret_{span}": float(daily["regret"].mean()),
        f"regret_{span}_limit": min(max(clean.regret.bound(span, DEVIATIONS), 0.0), _MOST_REGRET / math.sqrt(span)),
        f"gap_{span}": float(daily["gap"].mean()),
        f"gap_{span}_low": -wide,
        f"gap_{span}_high": wide,
        f"slope_{span}": float(daily["slope"].mean()),
        f"slope_{span}_limit": 1 - _SLOPE_DEVIATIONS * flat / math.sqrt(span),
    }


def _problems(span: dict[str, float]) -> list[str]:
    days = next(iter(span)).removeprefix("regret_")
    regret, limit = span[f"regret_{days}"], span[f"regret_{days}_limit"]
    gap, low, high = span[f"gap_{days}"], span[f"gap_{days}_low"], span[f"gap_{days}_high"]
    problems = []
    if regret > limit:
        problems.append(f"over {days} days its log-loss is {regret:+.3f} against the simple model (limit {limit:+.3f})")
    slope, least = span[f"slope_{days}"], span[f"slope_{days}_limit"]
    if slope < least:
        problems.append(f"over {days} days its calibration slope is {slope:.2f} (clean: {least:.2f} and more)")
    if not low <= gap <= high:
        problems.append(f"over {days} days scores are {gap:+.3f} off the rate (clean range {low:+.3f} to {high:+.3f})")
    return problems


def _of_day(rows: pd.DataFrame, label: str) -> dict[str, float]:
    labels, scores = rows[label].to_numpy(np.float64), rows[SCORE].to_numpy(np.float64)
    return {
        "log_loss": float(log_losses(scores, labels).mean()),
        "brier": float(brier_scores(scores, labels).mean()),
        "auc": auc(scores, labels),
        "rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
    }
