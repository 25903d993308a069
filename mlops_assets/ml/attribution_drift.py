"""Does the champion decide by other features than on the days it was trained on?

Here: the monitor ``attribution_drift``. Belongs here: its verdict. Does not: what is normal
(``ml.attribution_reference``), what differs between two versions (``ml.explanations``), what follows (nothing: it
informs).

Inputs may move and nothing come of it, or move little where the model looks closely: this monitor sees what the move
does to the answers, before any outcome.
"""

from collections.abc import Mapping, Sequence

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.attribution_reference import AttributionReference, DayAttributions, distance, shares_of
from mlops_assets.ml.drift import WINDOW_DAYS
from mlops_assets.ml.monitoring import Subject, judgement, unknown

MONITOR = "attribution_drift"
TOLD = 3
"""Features that a reason names."""


def attribution_drift(
    about: Subject, reference: AttributionReference | None, days: Sequence[DayAttributions]
) -> Judgement:
    """``days``: what was explained of the last ``WINDOW_DAYS`` days that this version scored."""
    rows = sum(day.rows for day in days)
    if reference is None:
        return unknown(MONITOR, about, "the version is from before attributions were kept with it", rows)
    if len(days) < WINDOW_DAYS:
        return unknown(MONITOR, about, f"{len(days)} of {WINDOW_DAYS} days have enough answers of it", rows)
    now = shares_of(days)
    apart = distance(now, reference.shares)
    moved = farthest(now, reference.shares)
    told = ", ".join(f"{name} {there:.3f} to {here:.3f}" for name, (there, here) in moved.items())
    return judgement(
        MONITOR,
        about,
        Verdict.ALARM if apart > reference.limit else Verdict.OK,
        f"distance {apart:.3f} from the training window, limit {reference.limit:.3f} of clean weeks; farthest: {told}",
        {
            "distance": apart,
            "limit": reference.limit,
            **{f"moved {name}": here - there for name, (there, here) in moved.items()},
        },
        rows,
    )


def farthest(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Feature -> (share before, share now), of those that moved most, farthest first."""
    moves = {name: (before.get(name, 0.0), now.get(name, 0.0)) for name in {**before, **now}}
    return dict(sorted(moves.items(), key=lambda move: (-abs(move[1][1] - move[1][0]), move[0]))[:TOLD])
