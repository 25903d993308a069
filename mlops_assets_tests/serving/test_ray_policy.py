"""How many replicas: a pure function of what callers felt and what waits."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.configuration import ServerConfig
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.ray_policy import LatencyPolicy, Load, Target, quantile, replicas_wanted
from mlops_assets.serving.ray_scale import Scale, refused_on_ray, scale_of

AIM = Target(p95_ms=100.0, ongoing=10.0, least=1, most=8)
LOADS = st.builds(
    Load,
    replicas=st.integers(0, 12),
    p95_ms=st.none() | st.floats(0.1, 10_000),
    ongoing=st.floats(0, 1000),
)


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (Load(1, None, 0), 1),
        (Load(2, 150, 0), 3),
        (Load(2, 1000, 0), 4),
        (Load(2, 100, 5), 2),
        (Load(3, 51, 5), 3),
        (Load(3, 49, 5), 2),
        (Load(3, 49, 17), 3),
        (Load(3, None, 0), 2),
        (Load(1, 20, 35), 2),
        (Load(4, 20, 35), 4),
        (Load(8, 900, 500), 8),
        (Load(0, None, 0), 1),
    ],
)
def test_latency_and_requests_ask_for_replicas(load: Load, wanted: int) -> None:
    assert replicas_wanted(load, AIM) == wanted


@given(LOADS)
def test_it_stays_within_its_bounds(load: Load) -> None:
    assert AIM.least <= replicas_wanted(load, AIM) <= AIM.most


@given(LOADS, st.floats(1, 10))
def test_more_latency_never_asks_for_fewer(load: Load, factor: float) -> None:
    slower = load._replace(p95_ms=(load.p95_ms or 0.1) * factor)
    assert replicas_wanted(slower, AIM) >= replicas_wanted(load, AIM)


@given(LOADS, st.floats(0, 500))
def test_more_requests_never_ask_for_fewer(load: Load, more: float) -> None:
    assert replicas_wanted(load._replace(ongoing=load.ongoing + more), AIM) >= replicas_wanted(load, AIM)


@given(st.integers(1, 7), st.floats(0.1, 99.9))
def test_a_step_down_does_not_ask_for_a_step_up_again(replicas: int, p95_ms: float) -> None:
    """Latency at most doubles when a replica of at least two goes: the band is as wide as that."""
    load = Load(replicas, p95_ms, 0.0)
    after = replicas_wanted(load, AIM)
    if after < replicas:
        then = Load(after, p95_ms * replicas / after, 0.0)
        assert replicas_wanted(then, AIM) <= replicas - 1 or then.p95_ms > AIM.p95_ms
        assert then.p95_ms <= AIM.p95_ms


def test_a_quantile_of_buckets() -> None:
    assert quantile((1, 2, 4), [0, 0, 0, 0], 0.95) is None
    assert quantile((1, 2, 4), [10, 0, 0, 0], 0.5) == 0.5
    assert quantile((1, 2, 4), [50, 50, 0, 0], 0.95) == pytest.approx(1.9)
    assert quantile((1, 2, 4), [0, 0, 0, 7], 0.95) == 4


def test_buckets_are_summed_over_the_series() -> None:
    metrics = Metrics()
    metrics.observe_each("mlops_request_seconds", (("path", "/predict"),), [0.0004, 0.0007])
    metrics.observe_each("mlops_request_seconds", (("path", "/invocations"),), [0.0004, 9.0])
    bounds, counts = metrics.buckets("mlops_request_seconds")
    assert len(counts) == len(bounds) + 1
    assert (counts[:2], counts[-1], sum(counts)) == ([2, 1], 1, 4)


def test_the_policy_reads_ray_s_context() -> None:
    context = SimpleNamespace(
        aggregated_metrics={"p95_ms": {"a": 0.0, "b": 150.0}},
        target_num_replicas=2,
        total_num_requests=3.0,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
    )
    assert LatencyPolicy(p95_ms=100.0, ongoing=10.0)(context) == (3, {})
    context.aggregated_metrics = None
    assert LatencyPolicy(p95_ms=100.0, ongoing=10.0)(context) == (1, {})


def test_a_scale_is_read_from_words() -> None:
    assert scale_of({"most_replicas": "4", "target_p95_ms": "50"}) == Scale(most_replicas=4, target_p95_ms=50.0)
    for wrong in ({"most_replicas": "0"}, {"replicas": "2"}, {"policy": "hope"}, {"least_replicas": 3}):
        with pytest.raises(ValueError):
            scale_of(wrong)


def config(**told: object) -> ServerConfig:
    return ServerConfig(folder="/f", online_store="o", registry_uri="http://127.0.0.1:1", models=(), **told)


def test_several_replicas_without_a_shared_log_are_refused() -> None:
    assert refused_on_ray(config(), Scale(), alone=True) is None
    for scale, alone in ((Scale(most_replicas=2), True), (Scale(), False)):
        assert "MLOPS_TRAFFIC_LOG=postgresql://" in (refused_on_ray(config(), scale, alone=alone) or "")
        assert refused_on_ray(config(traffic_log="postgresql://h/d"), scale, alone=alone) is None


def test_tokens_are_demanded_on_ray_too() -> None:
    assert "MLOPS_PREDICT_TOKEN" in (refused_on_ray(config(host="0.0.0.0"), Scale(), alone=True) or "")
