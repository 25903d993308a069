"""Every manifest under deploy/ holds by its schema, and each of these checks has been seen refusing."""

import copy
from pathlib import Path

import pytest
import yaml

from mlops_assets_tests.deploy.manifests import (
    DEPLOY,
    NotGiven,
    compose_problem,
    compose_text,
    crds,
    documents,
    found,
    interpolated,
    kubernetes_files,
    problem,
)

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "MLOPS_PREDICT_TOKEN", "MLOPS_ADMIN_TOKEN")
GIVEN = {name: f"0123456789abcde{place:x}" for place, name in enumerate(sorted(SECRETS))}
FILES = kubernetes_files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_manifest_holds_by_its_schema(path: Path) -> None:
    assert [problem(document) for document in documents(path)] == [None] * len(documents(path))


def without(document: dict, *path: str) -> dict:
    made = copy.deepcopy(document)
    at = made
    for name in path[:-1]:
        at = at[name]
    del at[path[-1]]
    return made


def changed(document: dict, value: object, *path: str) -> dict:
    made = copy.deepcopy(document)
    at = made
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return made


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replcias"), 2),
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSeconds"), "soon"),
        ("Service", ("spec", "ports"), "8757"),
        ("HorizontalPodAutoscaler", ("spec", "behavior", "scaleDown", "stabilisationWindowSeconds"), 300),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), "ten"),
        ("PodDisruptionBudget", ("spec", "maxUnavailabel"), 1),
        ("NetworkPolicy", ("spec", "policyTypes"), "Ingress"),
        ("ScaledObject", ("spec", "maxReplicas"), 10),
        ("ScaledObject", ("spec", "pollingInterval"), "often"),
        ("PodMonitor", ("spec", "podMetricsEndpoint"), []),
        ("PodMonitor", ("spec", "podMetricsEndpoints"), "http"),
    ],
)
def test_a_wrong_field_or_a_wrong_type_is_seen(kind: str, path: tuple[str, ...], value: object) -> None:
    assert problem(changed(found(kind), value, *path)) is not None


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ("spec", "selector")),
        ("HorizontalPodAutoscaler", ("spec", "scaleTargetRef")),
        ("ScaledObject", ("spec", "triggers")),
        ("PodMonitor", ("spec", "selector")),
    ],
)
def test_a_missing_field_is_seen(kind: str, path: tuple[str, ...]) -> None:
    assert problem(without(found(kind), *path)) is not None


def test_what_kustomize_names_is_there_and_what_is_there_is_named() -> None:
    for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"):
        (listed,) = documents(path)
        assert all((path.parent / name).exists() for name in listed["resources"])
        beside = {file.name for file in path.parent.glob("*.yaml")}
        apart = {"kustomization.yaml", "secret.example.yaml", "adapter-values.yaml"}
        assert beside - apart == {name for name in listed["resources"] if name.endswith(".yaml")}


def test_the_compose_file_holds_by_its_specification() -> None:
    assert compose_problem(interpolated(compose_text(), GIVEN)) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("condition: service_healthy", "condition: service_helthy"),
        ("    stop_grace_period: 20s", "    stop_graceperiod: 20s"),
        ('ports: ["127.0.0.1:8757:8757"]', 'ports: ["127.0.0.1:x:8757"]'),
        ("image: redis:8.2.1-alpine", "image: [redis]"),
    ],
)
def test_a_damaged_compose_file_is_seen(right: str, wrong: str) -> None:
    assert right in compose_text()
    assert compose_problem(interpolated(compose_text().replace(right, wrong), GIVEN)) is not None


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_has_no_default(secret: str) -> None:
    with pytest.raises(NotGiven, match=secret):
        interpolated(compose_text(), {**GIVEN, secret: ""})


def test_volumes_and_services_that_are_named_are_there() -> None:
    plain = yaml.safe_load(interpolated(compose_text(), GIVEN))
    for service in plain["services"].values():
        assert set(service.get("depends_on", ())) <= set(plain["services"])
        sources = [volume.partition(":")[0] for volume in service.get("volumes", ())]
        assert {name for name in sources if not name.startswith(".")} <= set(plain["volumes"])
        assert all((DEPLOY / name).exists() for name in sources if name.startswith("."))


def test_the_ray_service_holds_by_kuberay_s_definition() -> None:
    crds()
    service = found("RayService")
    assert problem(service) is None
    assert problem(changed(service, 1, "spec", "rayClusterConfig", "headGroupSpec", "replcias")) is not None
    assert (
        problem(changed(service, "many", "spec", "rayClusterConfig", "workerGroupSpecs", 0, "maxReplicas")) is not None
    )
    assert problem(without(service, "spec", "rayClusterConfig", "headGroupSpec", "template")) is not None
