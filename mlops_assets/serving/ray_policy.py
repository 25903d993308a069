"""How many replicas there should be, from what callers felt and from what waits.

Here: ``replicas_wanted``, a pure function, and ``LatencyPolicy``, which asks it in Ray Serve's controller. Belongs
here: the decision. Does not: counting (``serving.on_ray``), how long a wish must last before it is followed (Ray's
delays).

Ray carries this module to its controller by value, so it imports nothing of ours and defines nothing of msgspec's.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

COMFORT = 0.5
"""Below this share of the target latency a replica may go; between here and the target nothing changes. Half as many
replicas may answer twice as slowly: a narrower band would swing."""
LARGEST_STEP = 2.0
"""Times as many replicas at once: the latencies of a moment are too rough for more."""
MOST_LOADED = 0.8
"""A replica goes only when the others would then be at most this busy."""


class Load(NamedTuple):
    """What a deployment is asked and how it answers."""

    replicas: int
    p95_ms: float | None
    """Of the slowest replica; None when nothing was answered."""
    ongoing: float
    """Requests that wait or are being answered, of all replicas together."""


class Target(NamedTuple):
    """What is promised, and the bounds."""

    p95_ms: float
    ongoing: float
    """Per replica."""
    least: int
    most: int


def replicas_wanted(load: Load, target: Target) -> int:
    """As many as the latency or the requests ask for, whichever is more; within the bounds."""
    now = max(load.replicas, 1)
    by_requests = math.ceil(load.ongoing / target.ongoing)
    return min(max(_by_latency(load, target, now), min(by_requests, _most_at_once(now)), target.least), target.most)


def _by_latency(load: Load, target: Target, now: int) -> int:
    if load.p95_ms is not None and load.p95_ms > target.p95_ms:
        return min(math.ceil(now * load.p95_ms / target.p95_ms), _most_at_once(now))
    comfortable = load.p95_ms is None or load.p95_ms < COMFORT * target.p95_ms
    fits = load.ongoing <= MOST_LOADED * target.ongoing * (now - 1)
    return now - 1 if comfortable and fits else now


def _most_at_once(now: int) -> int:
    return math.ceil(LARGEST_STEP * now)


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """The value below which ``share`` of the counted lie, within its bucket by proportion; None without any.

    ``counts`` has one more entry than ``bounds``: what lies above the last bound counts as that bound.
    """
    rank, below = share * sum(counts), 0
    if not rank:
        return None
    for place, count in enumerate(counts[:-1]):
        if count and below + count >= rank:
            lower = bounds[place - 1] if place else 0.0
            return lower + (bounds[place] - lower) * (rank - below) / count
        below += count
    return bounds[-1]


class LatencyPolicy:
    """Ray Serve's custom policy: called with the context of a deployment, some times a second."""

    def __init__(self, p95_ms: float, ongoing: float) -> None:
        """The promise to callers, and the requests per replica."""
        self._p95_ms, self._ongoing = p95_ms, ongoing

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """The number of replicas, and what to remember: nothing."""
        told = (ctx.aggregated_metrics or {}).get("p95_ms", {})
        felt = [value for value in told.values() if value > 0]
        load = Load(ctx.target_num_replicas, max(felt, default=None), ctx.total_num_requests or 0.0)
        least, most = ctx.capacity_adjusted_min_replicas, ctx.capacity_adjusted_max_replicas
        return replicas_wanted(load, Target(self._p95_ms, self._ongoing, least, most)), {}
