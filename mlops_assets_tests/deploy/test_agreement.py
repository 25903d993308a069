"""What the files under deploy/ say of the server is what the server says of itself."""

import ast
import asyncio
import re
import subprocess
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from mlops_assets.adapters.online_reader import MemoryOnlineReader
from mlops_assets.adapters.settings import FORMS, ROOT, Settings
from mlops_assets.adapters.traffic_log import MemoryTrafficLog
from mlops_assets.serving.app import App
from mlops_assets.serving.asgi import Asgi
from mlops_assets.serving.batching import Batcher
from mlops_assets.serving.configuration import configure, refused
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.endpoints import Endpoints
from mlops_assets.serving.guard import Needs
from mlops_assets.serving.ray_scale import refused_on_ray, scale_of
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.deploy.dockerfile import environment_of, stages
from mlops_assets_tests.deploy.manifests import DEPLOY, compose_text, documents, found, interpolated
from mlops_assets_tests.deploy.test_schemas import GIVEN
from mlops_assets_tests.serving.ray_nodes import BIN, installed

VARIABLES = {f"MLOPS_{name.upper()}" for name in FORMS if name != "tables_folder"} | {"MLOPS_TABLES"}
PORT = 8757
METRIC = re.compile(r"\bmlops_[a-z0-9_]+")
PASSWORDS = {
    "MLOPS_TRAFFIC_LOG": "postgresql://u:p@postgres/traffic",
    "MLOPS_ONLINE_STORE": "redis://:p@redis:6379/0",
    "MLOPS_PREDICT_TOKEN": "0123456789abcdef",
    "MLOPS_ADMIN_TOKEN": "fedcba9876543210",
}


@pytest.fixture(scope="module")
def endpoints() -> Endpoints:
    plane = DataPlane(MemoryTrafficLog(), MemoryOnlineReader(), {})
    return Endpoints(plane, Batcher(plane.predict), lambda: None)


@pytest.fixture(scope="module")
def rendered(endpoints: Endpoints) -> set[str]:
    """The names of the series on /metrics of a server that was asked once."""

    async def ask() -> str:
        transport = httpx.ASGITransport(Asgi(App(endpoints, endpoints._plane.metrics)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/predict", content=b"{}")
            return (await client.get("/metrics")).text

    return {line.partition("{")[0].split()[0] for line in asyncio.run(ask()).splitlines() if line[:1] != "#"}


def compose() -> dict[str, Any]:
    return yaml.safe_load(interpolated(compose_text(), GIVEN))


def adapter_rules() -> list[dict[str, Any]]:
    (values,) = documents(DEPLOY / "kubernetes" / "on-hpa" / "adapter-values.yaml")
    return values["rules"]["custom"]


def unknown_series(query: str, rendered: set[str]) -> set[str]:
    return set(METRIC.findall(query)) - rendered


def test_every_series_that_an_autoscaler_asks_for_is_one_that_the_server_renders(rendered: set[str]) -> None:
    triggers = [trigger["metadata"]["query"] for trigger in found("ScaledObject")["spec"]["triggers"]]
    rules = [rule[field] for rule in adapter_rules() for field in ("seriesQuery", "metricsQuery")]
    assert len(triggers) == 2
    assert len(rules) == 4
    for query in (*triggers, *rules):
        assert METRIC.findall(query)
        assert not unknown_series(query, rendered)


def test_a_series_that_is_not_rendered_is_seen(rendered: set[str]) -> None:
    assert unknown_series("sum(mlops_inflight_requests)", rendered) == {"mlops_inflight_requests"}
    assert unknown_series("rate(mlops_request_seconds[1m])", rendered) == {"mlops_request_seconds"}


def test_the_autoscaler_asks_for_what_the_adapter_makes() -> None:
    asked = {metric["pods"]["metric"]["name"] for metric in found("HorizontalPodAutoscaler")["spec"]["metrics"]}
    assert asked == {rule["name"]["as"] for rule in adapter_rules()}


def test_both_autoscalers_want_the_same() -> None:
    hpa, keda = found("HorizontalPodAutoscaler")["spec"], found("ScaledObject")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (keda["minReplicaCount"], keda["maxReplicaCount"])
    assert hpa["behavior"] == keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert hpa["scaleTargetRef"] == keda["scaleTargetRef"]
    assert hpa["scaleTargetRef"]["name"] == found("Deployment")["metadata"]["name"]
    targets = [metric["pods"]["target"]["averageValue"] for metric in hpa["metrics"]]
    assert targets == ["16", "100m"]
    assert [trigger["metadata"]["threshold"] for trigger in keda["triggers"]] == ["16", "0.1"]


def ray_pods() -> list[dict[str, Any]]:
    cluster = found("RayService")["spec"]["rayClusterConfig"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def ray_environment() -> dict[str, str]:
    return {entry["name"]: entry["value"] for pod in ray_pods() for c in pod["containers"] for entry in c["env"]}


def variables_everywhere() -> dict[str, dict[str, str]]:
    """Place -> the variables of ours that are set there."""
    places = {f"compose {name}": service.get("environment", {}) for name, service in compose()["services"].items()}
    places["config map"], places["secret"] = found("ConfigMap")["data"], found("Secret")["stringData"]
    places["ray"] = ray_environment()
    places |= {f"image {stage.name}": environment_of(stage) for stage in stages()}
    ours = {p: {k: v for k, v in told.items() if k.startswith("MLOPS_")} for p, told in places.items()}
    return {place: told for place, told in ours.items() if told}


def unknown_variables(told: dict[str, str]) -> set[str]:
    return set(told) - VARIABLES


def test_every_variable_is_one_that_the_settings_read() -> None:
    everywhere = variables_everywhere()
    assert len(everywhere) >= 6
    for place, told in everywhere.items():
        assert not unknown_variables(told), place
    assert unknown_variables({"MLOPS_TRAFIC_LOG": ""}) == {"MLOPS_TRAFIC_LOG"}


def settings_of(told: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def server_in(where: str) -> dict[str, str]:
    image = next(environment_of(stage) for stage in stages() if stage.name == "server")
    if where == "compose":
        told = {**image, **compose()["services"]["server"]["environment"]}
    else:
        secret = dict.fromkeys(found("Secret")["stringData"], "") | PASSWORDS
        assert set(secret) == set(found("Secret")["stringData"]), "the template names every secret"
        told = {**image, **found("ConfigMap")["data"], **secret}
    return {name: value for name, value in told.items() if name.startswith("MLOPS_")}


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_server_starts_with_what_it_is_told_and_not_without_its_tokens(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = server_in(where)
    config = configure(settings_of(told, monkeypatch), USE_CASES)
    assert (config.host, config.port) == ("0.0.0.0", PORT)
    assert refused(config) is None
    assert config.traffic_log.startswith("postgresql://")
    assert config.online_store.startswith("redis://")
    for token in ("MLOPS_PREDICT_TOKEN", "MLOPS_ADMIN_TOKEN"):
        bare = configure(settings_of({**told, token: ""}, monkeypatch), USE_CASES)
        assert token in (refused(bare) or "")


def test_nothing_secret_stands_in_a_manifest_or_an_image() -> None:
    assert set(found("Secret")["stringData"].values()) == {""}
    for place, told in variables_everywhere().items():
        if not place.startswith("compose"):
            assert not {name: told[name] for name in PASSWORDS if told.get(name)}, place


def asked_by(probe: dict[str, Any]) -> str:
    assert probe["httpGet"]["port"] == "http"
    return probe["httpGet"]["path"]


def test_probes_ask_paths_that_are_there_and_need_no_token(endpoints: Endpoints) -> None:
    (container,) = found("Deployment")["spec"]["template"]["spec"]["containers"]
    paths = {name: asked_by(container[name]) for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/live"}
    for path in paths.values():
        endpoint, _, _ = endpoints.at(path)
        assert endpoint is not None
        assert endpoint.needs is Needs.NOTHING
    assert endpoints.at("/healthy")[0] is None


def test_what_prometheus_reads_is_there_and_it_sends_the_token_that_is_needed(endpoints: Endpoints) -> None:
    (where,) = found("PodMonitor")["spec"]["podMetricsEndpoints"]
    endpoint, _, _ = endpoints.at(where["path"])
    assert endpoint is not None
    assert endpoint.needs is Needs.PREDICT
    told = where["authorization"]["credentials"]
    assert told["name"] == found("Secret")["metadata"]["name"]
    assert told["key"] in found("Secret")["stringData"]


def test_ports_are_the_server_s() -> None:
    pod = found("Deployment")["spec"]["template"]["spec"]
    assert pod["containers"][0]["ports"] == [{"name": "http", "containerPort": PORT}]
    assert urlsplit(found("ConfigMap")["data"]["MLOPS_ENDPOINT_URL"]).port == PORT
    assert found("Service")["spec"]["ports"] == [{"name": "http", "port": PORT, "targetPort": "http"}]
    server = next(stage for stage in stages() if stage.name == "server")
    assert [i.words for i in server.instructions if i.name == "EXPOSE"] == [str(PORT)]
    assert urlsplit(Settings().endpoint_url).port == PORT
    dagster = compose()["services"]["dagster-webserver"]["environment"]
    assert dagster["MLOPS_ENDPOINT_URL"] == f"http://server:{PORT}"
    registry = urlsplit(dagster["MLOPS_REGISTRY_URI"])
    assert f"--port={registry.port}" in compose()["services"]["registry"]["command"]


def test_the_pods_are_selected_by_what_they_carry() -> None:
    labels = found("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        found("Service")["spec"]["selector"],
        *(found(k)["spec"]["selector"]["matchLabels"] for k in ("Deployment", "PodDisruptionBudget", "PodMonitor")),
        found("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()


def test_pods_may_do_nothing_but_serve() -> None:
    pod = found("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {found("ConfigMap")["data"]["MLOPS_STATE"], "/tmp"} == written
    user = next(i.words for s in stages() if s.name == "server" for i in s.instructions if i.name == "USER")
    assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"


def test_what_is_in_flight_is_answered_before_a_pod_is_killed() -> None:
    from mlops_assets.serving.children import GRACE_S
    from mlops_assets.serving.listening import DRAIN_S

    pod = found("Deployment")["spec"]["template"]["spec"]
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert DRAIN_S < GRACE_S
    assert sleep_s + GRACE_S < pod["terminationGracePeriodSeconds"]
    assert compose()["services"]["server"]["stop_grace_period"] == "20s"
    assert GRACE_S < 20


def test_compose_publishes_on_loopback_alone() -> None:
    published = [port for service in compose()["services"].values() for port in service.get("ports", ())]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_image_has_a_pinned_tag() -> None:
    images = [service["image"] for service in compose()["services"].values()]
    images += [stage.base for stage in stages() if ":" in stage.base]
    assert not [image for image in images if not re.fullmatch(r".+:(local|\d[\w.-]*)", image)]


def test_the_ray_service_builds_what_is_there_and_starts_with_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve = yaml.safe_load(found("RayService")["spec"]["serveConfigV2"])
    (application,) = serve["applications"]
    module, _, name = application["import_path"].partition(":")
    tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    told = {**found("ConfigMap")["data"], **PASSWORDS, **ray_environment()}
    told = {name: value for name, value in told.items() if name in VARIABLES}
    config = configure(settings_of(told, monkeypatch), USE_CASES)
    assert (config.host, config.port) == tuple(serve["http_options"].values())
    assert refused_on_ray(config, scale_of(application["args"]), alone=False) is None
    bare = configure(settings_of({**told, "MLOPS_TRAFFIC_LOG": ""}, monkeypatch), USE_CASES)
    assert "MLOPS_TRAFFIC_LOG" in (refused_on_ray(bare, scale_of(application["args"]), alone=False) or "")


def test_the_ray_service_s_pods_have_the_secrets_the_ports_and_the_version() -> None:
    cluster = found("RayService")["spec"]["rayClusterConfig"]
    assert f"ray=={cluster['rayVersion']} " in (DEPLOY / "ray" / "requirements.lock").read_text()
    assert cluster["authOptions"] == {"mode": "token"}
    for pod in ray_pods():
        (container,) = pod["containers"]
        sources = [(kind, name["name"]) for source in container["envFrom"] for kind, name in source.items()]
        assert sources == [("configMapRef", "model-server"), ("secretRef", "model-server")]
        assert container["ports"] == [{"name": "serve", "containerPort": 8000}]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


@pytest.mark.integration
def test_the_serve_configuration_holds_by_ray_s_own_schema() -> None:
    installed()
    serve = found("RayService")["spec"]["serveConfigV2"]
    assert ray_refuses(serve) == ""
    assert "proxy_locaton" in ray_refuses(serve.replace("proxy_location", "proxy_locaton"))
    assert "port" in ray_refuses(serve.replace("port: 8000", "port: many"))


def ray_refuses(serve: str) -> str:
    """What Ray says against a configuration."""
    code = "import sys, yaml; from ray.serve.schema import ServeDeploySchema as S; told = yaml.safe_load(sys.stdin); "
    # It takes what it does not know and forgets it.
    code += "S.model_validate(told); sys.exit(' '.join(set(told) - set(S.model_fields)) or 0)"
    done = subprocess.run([BIN / "python", "-c", code], input=serve, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("lock", ["pipeline.lock", "server.lock", "ray/requirements.lock"])
def test_a_lock_of_an_image_pins_what_the_tests_ran_with(lock: str) -> None:
    tested = pins((ROOT / "requirements.lock").read_text())
    mine = pins((DEPLOY / lock).read_text())
    assert len(mine) > 50
    assert "pytest" not in mine
    assert not {name: (version, tested[name]) for name, version in mine.items() if tested.get(name, version) != version}


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))
