"""How the server on Ray Serve grows.

Here: ``Scale`` and what is refused. Belongs here: knobs of the operator. Does not: addresses and tokens
(``serving.configuration``), the policy (``serving.ray_policy``), anything that imports Ray (``serving.on_ray``).
"""

from typing import Annotated, Any, Literal

import msgspec

from mlops_assets.serving.configuration import ServerConfig, refused

Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Scale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds and targets of the autoscaler, and what one replica holds."""

    least_replicas: Count = 1
    most_replicas: Count = 1
    policy: Literal["requests", "latency"] = "latency"
    """requests: as many replicas as keep ``target_ongoing_requests``. latency: that, and ``target_p95_ms``."""
    target_ongoing_requests: Positive = 16.0
    """Per replica: the same as in deploy/kubernetes."""
    target_p95_ms: Positive = 100.0
    max_ongoing_requests: Count = 512
    """Per replica; what is more waits in the proxies. Far above the target, so that batches can form."""
    replicas_per_node: Annotated[int, msgspec.Meta(ge=0)] = 0
    """At most; 1 spreads them, so that no node that dies takes all of them along. 0: as many as fit."""
    models_per_replica: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Models that a replica loads, the least recently asked one makes room; 0: every model."""
    look_back_s: Positive = 10.0
    upscale_delay_s: Positive = 5.0
    downscale_delay_s: Positive = 300.0
    """A replica that is missed a minute later costs more than one that idles for five."""
    release: str = ""
    """Any word; another one replaces the replicas, one after the other."""


def scale_of(told: Any) -> Scale:
    """From plain values. Raises ValueError, naming the field."""
    scale = msgspec.convert(told, Scale, strict=False)
    if scale.least_replicas > scale.most_replicas:
        raise ValueError(f"least_replicas ({scale.least_replicas}) is more than most_replicas ({scale.most_replicas})")
    return scale


def refused_on_ray(config: ServerConfig, scale: Scale, *, alone: bool) -> str | None:
    """Why this must not start; None when it may. ``alone``: on a Ray of this machine that nobody else uses."""
    if config.traffic_log or (alone and scale.most_replicas == 1):
        return refused(config)
    many = f"up to {scale.most_replicas} replicas" if scale.most_replicas > 1 else "a cluster of several machines"
    return (
        f"{many} cannot keep one log in a SQLite file, and a log in each would answer a repeated request twice and be "
        "lost with its replica: set MLOPS_TRAFFIC_LOG=postgresql://..."
    )
