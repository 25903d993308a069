"""Does a canary serve as well as the champion? Errors and time, on the same rows in the same minutes.

Here: the comparison of a canary's service with the champion's, from the traffic log. Belongs here: a signal that is
there without outcomes. Does not: the loss (``ml.paired``), what follows (``ml.releases``), the champion's own health.

Both score every row of a batch before the answer goes, so an answer's latency is the same whoever gives it, and says
nothing about who was slow: each arm's own time for the batch does (``took_ms``). The champion goes first, so it pays
for the features that both need. A row that the canary could not score is answered by the champion and logged without
the canary's score: that is its error, on disk like every answer.

"The same minutes" are those of the wall's clock (``received_at``): a machine is slow or quick in minutes, whatever day
is replayed in them. A day of 900 decisions has one row in two minutes, a replayed one has all of them in one or two.
So minutes are taken together until they hold ``ROWS_PER_BLOCK`` rows, and the middle of the blocks is judged.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mlops_assets.contracts import Release, Verdict

ROWS_PER_BLOCK = 20
"""Rows of both arms by which a median means something."""
MIN_ROWS = 100
"""Rows without which nothing is judged: a tenth of a normal day, as for outcomes."""
MIN_ANSWERS = 5
"""Answers of the canary itself without which its share was not tried. The first share gives 45 a day."""
MIN_ERRORS = 5
"""Rows that must have failed: one alone may be the caller's oddity."""
BLOCKS_FOR_THE_TAIL = 10
"""Blocks from which on the 95th percentile is judged too: in a replayed day's one or two it is the slowest batch of
some twenty, which any hiccup of the machine decides."""
LOADING_S = 60.0
"""Seconds that the server gets to load a canary; from its first score on it is judged, however early that comes."""


@dataclass(frozen=True, kw_only=True)
class Signals:
    """What the service of one canary says since it answers its present share."""

    verdict: Verdict
    """ALARM: worse than the champion. UNKNOWN: too little to judge."""
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


def compare_service(answers: pd.DataFrame, version: int, since: str, release: Release) -> Signals:
    """The canary ``version`` against the champion, on the answers received after the instant ``since``.

    ``answers`` are rows of traffic: received_at, arm, version, and for champion and canary score, version and took_ms.
    """
    rows = _judged(answers, version, since)
    if len(rows) < MIN_ROWS:
        return _thin(f"only {len(rows)} answers since it answers this share, {MIN_ROWS} are needed", len(rows))
    failed = rows["canary_version"] != version
    numbers = {
        "service_rows": float(len(rows)),
        "canary_answers": float(((rows["arm"] == "canary") & ~failed).sum()),
        "canary_errors": float(failed.sum()),
        "champion_errors": float(rows["champion_score"].isna().sum()),
    }
    if problem := _too_many_errors(numbers, release):
        return Signals(verdict=Verdict.ALARM, reason=problem, numbers=numbers)
    numbers |= _times(rows[~failed & rows["champion_score"].notna()])
    if problem := _too_slow(numbers, release):
        return Signals(verdict=Verdict.ALARM, reason=problem, numbers=numbers)
    if numbers["canary_answers"] < MIN_ANSWERS:
        return _thin(f"it gave only {numbers['canary_answers']:g} answers at this share", len(rows), numbers)
    if "blocks" not in numbers:
        return _thin("the server did not tell how long the arms took", len(rows), numbers)
    return Signals(verdict=Verdict.OK, reason=f"as quick and sure as the champion: {_told(numbers)}", numbers=numbers)


def _judged(answers: pd.DataFrame, version: int, since: str) -> pd.DataFrame:
    """The answers from the instant on at which the server had loaded the canary, or had had the time to."""
    if answers.empty or "canary_version" not in answers:
        return answers.iloc[:0]
    at = pd.to_datetime(answers["received_at"], utc=True, format="ISO8601")
    rows = answers.assign(__at=at)[at > pd.Timestamp(since)]
    scored = rows.loc[rows["canary_version"] == version, "__at"]
    begun = pd.Timestamp(since) + pd.Timedelta(seconds=LOADING_S)
    begun = min(begun, scored.min()) if len(scored) else begun
    return rows[rows["__at"] >= begun].sort_values("__at", kind="stable")


def _times(rows: pd.DataFrame) -> dict[str, float]:
    """The middle over the blocks of minutes of each arm's median and 95th percentile; none without told times."""
    rows = rows[rows["canary_took_ms"].notna() & rows["champion_took_ms"].notna()]
    if len(rows) < ROWS_PER_BLOCK:
        return {}
    blocks = rows.groupby(_blocks(rows["__at"].dt.floor("min").to_numpy()))[["champion_took_ms", "canary_took_ms"]]
    found = {"blocks": float(blocks.ngroups)}
    for name, quantile in (("median", 0.5), ("p95", 0.95)):
        champion, canary = blocks.quantile(quantile).to_numpy().T
        found[f"champion_{name}_ms"], found[f"canary_{name}_ms"] = float(np.median(champion)), float(np.median(canary))
        found[f"{name}_ratio"] = float(np.median(canary / np.maximum(champion, 1e-3)))
        found[f"{name}_excess_ms"] = float(np.median(canary - champion))
    return found


def _blocks(minutes: np.ndarray) -> np.ndarray:
    """For every row the number of its block: minutes in a row until they hold enough rows; a rest joins the last."""
    _, positions, counts = np.unique(minutes, return_inverse=True, return_counts=True)
    numbers, block, held = np.zeros(len(counts), dtype=int), 0, 0
    for place, count in enumerate(counts):
        numbers[place] = block
        held += int(count)
        if held >= ROWS_PER_BLOCK:
            block, held = block + 1, 0
    return np.minimum(numbers, max(block - 1, 0))[positions]


def _too_many_errors(numbers: dict[str, float], release: Release) -> str | None:
    mine, other, rows = numbers["canary_errors"], numbers["champion_errors"], numbers["service_rows"]
    if mine < MIN_ERRORS or (mine - other) / rows <= release.max_error_share:
        return None
    return (
        f"it could not score {mine:g} of {rows:g} rows in the minutes in which the champion missed {other:g} "
        f"(limit {release.max_error_share:.0%} more)"
    )


def _too_slow(numbers: dict[str, float], release: Release) -> str | None:
    tail = ["p95"] if numbers.get("blocks", 0) >= BLOCKS_FOR_THE_TAIL else []
    for name in ["median", *tail] if "blocks" in numbers else []:
        ratio, excess = numbers[f"{name}_ratio"], numbers[f"{name}_excess_ms"]
        if ratio > release.max_latency_ratio and excess > release.max_latency_excess_ms:
            return (
                f"its {name} time for the same rows in the same minutes is {ratio:.1f} times the champion's, "
                f"{excess:.1f} ms more (limits {release.max_latency_ratio:g} times and "
                f"{release.max_latency_excess_ms:g} ms)"
            )
    return None


def _thin(reason: str, rows: int, numbers: dict[str, float] | None = None) -> Signals:
    return Signals(verdict=Verdict.UNKNOWN, reason=reason, numbers=numbers or {"service_rows": float(rows)})


def _told(numbers: dict[str, float]) -> str:
    return (
        f"{numbers['canary_errors']:g} errors in {numbers['service_rows']:g} rows, median "
        f"{numbers['canary_median_ms']:.1f} ms beside {numbers['champion_median_ms']:.1f} ms"
    )
