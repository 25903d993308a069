"""The files under deploy/, and what is wrong with one by its schema.

Belongs here: reading them, asking the schemas. Does not: assertions.

Kubernetes' own schemas come with kubernetes-validate, those of KEDA and the Prometheus operator as the models of
cloudcoil, compose's with compose-spec: all without a network. KubeRay's are nowhere to be installed from: what a
RayService holds is asked of the schemas of its parts, and of the real definition where MLOPS_TESTS_CRDS has it.
"""

import copy
import functools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from mlops_assets.adapters.settings import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = ("1.30", "1.34")
"""The oldest version with everything that is used (a preStop that sleeps), and a newer one."""
Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kubernetes_files() -> list[Path]:
    every = sorted((DEPLOY / "kubernetes").rglob("*.yaml")) + sorted((DEPLOY / "ray").glob("*.yaml"))
    return [path for path in every if path.name != "adapter-values.yaml"]


def found(kind: str) -> Document:
    """The one document of that kind."""
    (only,) = [d for path in kubernetes_files() for d in documents(path) if d["kind"] == kind]
    return only


def problem(document: Document) -> str | None:
    """What the schema says against a document; None when nothing."""
    api, kind = document["apiVersion"], document["kind"]
    if api.startswith("kustomize"):
        unknown = set(document) - {"apiVersion", "kind", "namespace", "resources", "images"}
        return f"unknown fields: {sorted(unknown)}" if unknown else None
    if api == "ray.io/v1":
        return ray_service_problem(document)
    model = {
        ("keda.sh/v1alpha1", "ScaledObject"): scaled_object,
        ("monitoring.coreos.com/v1", "PodMonitor"): pod_monitor,
    }
    if (api, kind) in model:
        return model_problem(model[api, kind](), document)
    return kubernetes_problem(document)


def kubernetes_problem(document: Document) -> str | None:
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            return f"{version}: {'.'.join(map(str, error.path))}: {error.message}"
    return None


def scaled_object() -> Any:
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    return ScaledObject


def pod_monitor() -> Any:
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor

    return PodMonitor


def model_problem(model: Any, document: Document) -> str | None:
    """The models take what they do not know and forget it, so it must come out as it went in."""
    try:
        known = model.model_validate(copy.deepcopy(document)).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValueError as error:
        return str(error)
    return f"unknown: {sorted(set(paths(document)) - set(paths(known)))}" if known != document else None


def paths(value: object, at: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from paths(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from paths(inner, f"{at}[{place}]")
    else:
        yield f"{at}={value}"


def ray_service_problem(document: Document) -> str | None:
    """The pods by Kubernetes' own schema; the whole by KubeRay's definition where it is."""
    cluster = document["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": group.get("template")}
        if (told := kubernetes_problem(pod)) is not None:
            return told
    return definition_problem(document, "ray.io_rayservices.yaml") if os.environ.get("MLOPS_TESTS_CRDS") else None


def definition_problem(document: Document, name: str) -> str | None:
    import jsonschema

    definition = yaml.safe_load((Path(os.environ["MLOPS_TESTS_CRDS"]) / name).read_text())
    version = document["apiVersion"].rpartition("/")[2]
    (schema,) = [v["schema"]["openAPIV3Schema"] for v in definition["spec"]["versions"] if v["name"] == version]
    errors = sorted(jsonschema.Draft202012Validator(closed(schema)).iter_errors(document), key=str)
    return f"{errors[0].json_path}: {errors[0].message}" if errors else None


def closed(schema: Any) -> Any:
    """A definition prunes what it does not know; here that is a mistake. Integers or strings are written as both."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(inner) for name, inner in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        made.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


def crds() -> None:
    """Skip the test without KubeRay's definitions."""
    if not os.environ.get("MLOPS_TESTS_CRDS"):
        pytest.skip("MLOPS_TESTS_CRDS names no folder with KubeRay's resource definitions")


@functools.cache
def compose_text() -> str:
    return (DEPLOY / "compose.yaml").read_text()


VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


class NotGiven(Exception):
    """A variable that must be given and is not."""


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """A compose file with its variables filled in, as compose does it. Raises NotGiven."""

    def value(match: re.Match[str]) -> str:
        name, how, told = match.groups()
        if given.get(name):
            return given[name]
        if how == "?":
            raise NotGiven(f"{name}: {told}")
        return told or ""

    return VARIABLE.sub(value, text)


def compose_problem(text: str) -> str | None:
    """What the compose specification says against a file whose variables are filled in."""
    plain = yaml.safe_load(text)
    merged = yaml.safe_dump({name: part for name, part in plain.items() if not name.startswith("x-")})
    try:
        compose_spec.PyCompose.from_yaml(merged).validate()
    except Exception as error:
        return str(error)
    return None
