"""What a candidate must show before it may be released: each gate one function, one answer, one reason in words.

Here: the gates. Belongs here: a judgement that is possible before any traffic. Does not: measuring
(``ml.evaluation``, ``ml.slices``, ``serving.probe``), the limits (a use case's ``Gates``, each chosen on rolling
cut-offs of the real year: ``benchmarks.gates``), what follows from a refusal (``ml.releases``).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mlops_assets.contracts import Gate, Gates, ServerAnswers
from mlops_assets.ml.day_blocks import Difference

RANKS, BEATS_CONSTANT = "ranks_better_than_the_minimum", "beats_the_constant_rate"
CALIBRATED, AGREES = "probabilities_are_calibrated", "released_bytes_agree"
CHAMPION, SLICES = "no_worse_than_the_champion", "no_slice_is_much_worse"
SAME_SCORES, IN_TIME, FITS = "server_gives_the_offline_scores", "server_answers_in_time", "bundle_is_small_enough"
GATES: Mapping[str, str] = {
    RANKS: "The AUC on held-out days reaches the use case's minimum.",
    BEATS_CONSTANT: "The log-loss beats that of the constant training rate by the stated ratio.",
    CALIBRATED: "Scores and rates agree within the stated error.",
    AGREES: "The bytes to release score the held-out rows as well as the fit that never saw them.",
    CHAMPION: "On the same rows it is no worse than the champion, by day blocks.",
    SLICES: "No slice is worse than the champion's (without one: than the constant rate) by more than the margin.",
    SAME_SCORES: "The real server, holding these bytes alone, gives the offline scores to the last bit.",
    IN_TIME: "The real server answers one row within the stated time.",
    FITS: "The bundle's files are no larger than stated.",
}
"""Every gate of an evaluation, in order, with what it asks."""

AGREEMENT = 0.002
"""Log-loss by which the released fit may be worse on rows it has seen: rounding, not another model."""
FEWEST_DAYS = 3
"""Days below which the day-block interval is too wide to refuse anybody honestly."""
FEWEST_SLICE_DAYS = 7
"""The same of a slice, of which there are forty: with fewer days one of them is far off by chance."""


def better_than_chance(metrics: Mapping[str, float], gates: Gates) -> Gate:
    """The ranking."""
    value = metrics["auc"]
    return Gate(
        name=RANKS,
        passed=value >= gates.min_auc,
        reason=f"AUC {value:.3f} on held-out days; at least {gates.min_auc:.3f} is asked for",
        numbers={"auc": value, "least": gates.min_auc},
    )


def better_than_constant(metrics: Mapping[str, float], gates: Gates) -> Gate:
    """The loss, against knowing nothing."""
    ratio = metrics["log_loss"] / metrics["constant_log_loss"]
    return Gate(
        name=BEATS_CONSTANT,
        passed=ratio <= gates.max_log_loss_ratio,
        reason=(
            f"log-loss {metrics['log_loss']:.4f} is {ratio:.3f} times that of the constant training rate "
            f"({metrics['constant_log_loss']:.4f}); at most {gates.max_log_loss_ratio:.3f} is asked for"
        ),
        numbers={"ratio": ratio, "most": gates.max_log_loss_ratio},
    )


def calibrated(metrics: Mapping[str, float], gates: Gates) -> Gate:
    """The probabilities."""
    error = metrics["calibration_error"]
    return Gate(
        name=CALIBRATED,
        passed=error <= gates.max_calibration_error,
        reason=(
            f"scores and late rates differ by {error:.3f} on average over ten bins (mean score "
            f"{metrics['mean_score']:.3f}, late rate {metrics['late_rate']:.3f}); "
            f"at most {gates.max_calibration_error:.3f} is asked for"
        ),
        numbers={"calibration_error": error, "most": gates.max_calibration_error},
    )


def released_agrees(losses: np.ndarray, released_losses: np.ndarray | None) -> Gate:
    """The released bytes were fitted on these rows, so they must do at least as well as the fit that was not."""
    if released_losses is None:
        reason = "the bytes to release are not those that the training left: they were not even loaded"
        return Gate(name=AGREES, passed=False, reason=reason)
    excess = float((released_losses - losses).mean())
    return Gate(
        name=AGREES,
        passed=excess <= AGREEMENT,
        reason=(
            f"the bytes to release have log-loss {excess:+.4f} against the evaluated fit on the same rows; "
            f"at most {AGREEMENT:+.4f} is asked for"
        ),
        numbers={"difference": excess, "most": AGREEMENT},
    )


def beats_champion(difference: Difference | None, gates: Gates) -> Gate:
    """A winner passes whatever its interval: two stormy weeks once gave -0.018 with an upper end above the margin."""
    if difference is None:
        return Gate(name=CHAMPION, passed=True, judged=False, reason="not judged: there is no champion to compare with")
    if difference.days < FEWEST_DAYS:
        reason = (
            f"not judged: only {difference.days} held-out days that the champion has not seen; the shadow will tell"
        )
        numbers = {"days": float(difference.days)}
        return Gate(name=CHAMPION, passed=True, judged=False, reason=reason, numbers=numbers)
    return Gate(
        name=CHAMPION,
        passed=difference.mean <= 0 or difference.high <= gates.champion_margin,
        reason=(
            f"log-loss {difference.mean:+.4f} against the champion on the same {difference.rows} rows "
            f"(95 % interval by {difference.days} days: {difference.low:+.4f} to {difference.high:+.4f}); "
            f"who does not win needs an upper end of at most {gates.champion_margin:+.4f}"
        ),
        numbers={
            "difference": difference.mean,
            "low": difference.low,
            "high": difference.high,
            "margin": gates.champion_margin,
        },
    )


def no_slice_worse(differences: Mapping[str, Difference], gates: Gates, against: str) -> Gate:
    """A slice refuses when it is surely worse by more than the margin: the whole interval lies above.

    The interval is what keeps small slices honest: with forty of them, some are always worse by chance.
    """
    judged = {
        name: difference
        for name, difference in differences.items()
        if difference.rows >= gates.slice_min_rows and difference.days >= FEWEST_SLICE_DAYS
    }
    if not judged:
        enough = f"{gates.slice_min_rows} rows and {FEWEST_SLICE_DAYS} days"
        reason = f"not judged: no slice has {enough} to compare with {against}"
        return Gate(name=SLICES, passed=True, judged=False, reason=reason)
    bad = {name: d for name, d in judged.items() if d.low > gates.slice_margin}
    name, nearest = max(judged.items(), key=lambda item: item[1].low)
    told = f"{len(bad)} of {len(judged)} slices" if bad else f"none of {len(judged)} slices"
    place = "surest" if bad else "nearest to a refusal"
    return Gate(
        name=SLICES,
        passed=not bad,
        reason=(
            f"{told} is surely worse than {against}: a 95 % interval by days whose lower end is above "
            f"{gates.slice_margin:+.3f} log-loss; {place} is {_in_words(name, nearest)}"
            + _largest_mean(judged, name)
            + (f"; all: {', '.join(bad)}" if len(bad) > 1 else "")
        ),
        numbers={
            "highest_low": nearest.low,
            "difference_there": nearest.mean,
            "margin": gates.slice_margin,
            "slices": float(len(judged)),
            "refused_slices": float(len(bad)),
        },
    )


def _largest_mean(judged: Mapping[str, Difference], told: str) -> str:
    """The slice with the largest mean where it is another than the one told: few rows make a wide interval."""
    name = max(judged, key=lambda name: judged[name].mean)
    return "" if name == told else f"; largest mean is {_in_words(name, judged[name])}"


def _in_words(name: str, difference: Difference) -> str:
    return (
        f"{name}: lower end {difference.low:+.4f}, mean {difference.mean:+.4f}, upper end {difference.high:+.4f} on "
        f"{difference.rows} rows of {difference.days} days"
    )


def server_gates(
    answers: ServerAnswers, offline: Sequence[float], digest: str, gates: Gates
) -> tuple[Gate, Gate, Gate]:
    """What the real server showed with these bytes: same scores, in time, not too large.

    ``offline`` are the scores that the same rows get outside the server.
    """
    return _same_scores(answers, offline, digest), _in_time(answers, gates), _fits(answers, gates)


def _same_scores(answers: ServerAnswers, offline: Sequence[float], digest: str) -> Gate:
    differing = sum(a != b for a, b in zip(answers.scores, offline, strict=False)) + abs(
        len(answers.scores) - len(offline)
    )
    if answers.problem is not None:
        reason = f"the server did not answer with this bundle: {answers.problem}"
    elif answers.digest != digest:
        reason = f"the server reports digest {answers.digest}, evaluated was {digest}"
    else:
        reason = f"{len(offline) - differing} of {len(offline)} rows have the offline score to the last bit"
    return Gate(
        name=SAME_SCORES,
        passed=answers.problem is None and answers.digest == digest and bool(offline) and not differing,
        reason=reason,
        numbers={"rows": float(len(offline)), "differing": float(differing)},
    )


def _in_time(answers: ServerAnswers, gates: Gates) -> Gate:
    if not answers.latencies_ms:
        reason = f"nothing was timed: {answers.problem or 'no row was asked'}"
        return Gate(name=IN_TIME, passed=False, reason=reason, numbers={"most": gates.max_latency_ms})
    median, slowest = float(np.median(answers.latencies_ms)), max(answers.latencies_ms)
    return Gate(
        name=IN_TIME,
        passed=median <= gates.max_latency_ms,
        reason=(
            f"one row takes {median:.1f} ms in the median of {len(answers.latencies_ms)} requests (slowest "
            f"{slowest:.1f} ms); at most {gates.max_latency_ms:.1f} ms is asked for"
        ),
        numbers={"median_ms": median, "slowest_ms": slowest, "most": gates.max_latency_ms},
    )


def _fits(answers: ServerAnswers, gates: Gates) -> Gate:
    return Gate(
        name=FITS,
        passed=answers.bundle_bytes <= gates.max_bundle_bytes,
        reason=f"the bundle has {answers.bundle_bytes:,} bytes; at most {gates.max_bundle_bytes:,} are asked for",
        numbers={"bytes": float(answers.bundle_bytes), "most": float(gates.max_bundle_bytes)},
    )
