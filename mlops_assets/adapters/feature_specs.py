"""What the Feast repo declares, as plain records that load without Feast.

Here: the records, their making from ``feature_repo``, and the file that remembers them. Belongs here: anything that
the asset graph, a model's signature or a card wants to know of a view or a service. Does not: values of features
(``adapters.feature_store``).

Importing Feast takes five seconds and is needed only when the repo's files changed: the records are kept in the state
folder under the SHA-256 of those files and Feast's version, and reading them back takes a millisecond.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets.contracts import to_json
from mlops_assets.ml.bundles import Inputs, Missing, ModelFeature, RequestField, ViewInput, digest_of
from mlops_assets.ml.missing import policy

REPO = ROOT / "feature_repo"
REQUEST_KINDS: Mapping[str, str] = {"String": "string", "Int64": "integer", "Float64": "number"}
COLUMN_KINDS: Mapping[str, str] = {"String": "string", "Int64": "int64", "Float64": "float64"}


class FieldSpec(msgspec.Struct, frozen=True):
    """One feature."""

    name: str
    dtype: str
    description: str
    tags: dict[str, str]


class ViewSpec(msgspec.Struct, frozen=True):
    """One feature view with snapshots in a table."""

    name: str
    description: str
    join_key: str
    fields: tuple[FieldSpec, ...]
    ttl_seconds: int
    tags: dict[str, str]
    owner: str
    table: str
    missing_share_at_most: float
    """Of a day's values: with more missing, something is wrong with what the view is made from."""
    policies: tuple[Missing, ...] = ()
    """Of the features that have one; a missing value of any other stays missing."""


class OnDemandSpec(msgspec.Struct, frozen=True):
    """One on-demand view: a name in ``ml.on_demand.TRANSFORMATIONS``."""

    name: str
    description: str
    fields: tuple[FieldSpec, ...]
    tags: dict[str, str]
    owner: str


class ServiceSpec(msgspec.Struct, frozen=True):
    """One feature service: views with the features taken from each, then on-demand views."""

    name: str
    description: str
    views: tuple[tuple[str, tuple[str, ...]], ...]
    on_demand: tuple[tuple[str, tuple[str, ...]], ...]
    tags: dict[str, str]
    owner: str


class RepoSpec(msgspec.Struct, frozen=True):
    """Everything the repo declares."""

    digest: str
    """Of the repo's files and Feast's version."""
    views: tuple[ViewSpec, ...]
    on_demand: tuple[OnDemandSpec, ...]
    request_fields: tuple[RequestField, ...]
    identity: str
    """The request field that names a decision and is no feature."""
    services: tuple[ServiceSpec, ...]

    def view(self, name: str) -> ViewSpec:
        """The view of that name. Raises KeyError that lists the known names."""
        return _named(self.views, name, "feature view")

    def service(self, name: str) -> ServiceSpec:
        """The service of that name. Raises KeyError that lists the known names."""
        return _named(self.services, name, "feature service")


def inputs_of(spec: RepoSpec, service: str) -> Inputs:
    """The inputs of a service. Raises KeyError for an unknown one."""
    chosen = spec.service(service)
    asked = [
        ModelFeature(name=field.name, kind="category" if field.dtype == "string" else "number")
        for field in spec.request_fields
        if field.name != spec.identity
    ]
    computed = [
        ModelFeature(name=f"{view}__{name}", kind="number")
        for view, names in (*chosen.views, *chosen.on_demand)
        for name in names
    ]
    views = []
    for name, features in chosen.views:
        view = spec.view(name)
        rules = tuple(rule for rule in view.policies if rule.feature in features)
        views.append(ViewInput(name, view.join_key, view.ttl_seconds, features, rules))
    return Inputs(
        features=(*asked, *computed),
        request_fields=spec.request_fields,
        views=tuple(views),
        transformations=tuple(name for name, _ in chosen.on_demand),
        digest=service_digest(spec, service),
    )


def service_digest(spec: RepoSpec, service: str) -> str:
    """SHA-256 of what a service means: its features, where and how long they hold, what stands for a missing one, and
    the request's fields.

    Texts for people (descriptions, tags, owners) are not part of it.
    """
    chosen = spec.service(service)
    taken = dict(chosen.views)
    views = [
        (v.name, v.join_key, v.ttl_seconds, v.table, taken[v.name], [msgspec.to_builtins(rule) for rule in v.policies])
        for v in spec.views
        if v.name in taken
    ]
    request = [(f.name, f.dtype, f.minimum, f.maximum) for f in spec.request_fields]
    return digest_of(to_json([sorted(views), chosen.on_demand, request, spec.identity]).encode())


def repo_spec(repo: Path = REPO, cache: Path | None = None) -> RepoSpec:
    """What a Feast repo declares; from the file that remembers it, or from Feast when the repo changed."""
    folder = Settings.from_environment().features if cache is None else cache
    digest = _digest(repo)
    remembered = folder / f"spec-{digest[:16]}.json"
    if remembered.exists():
        return msgspec.json.decode(remembered.read_bytes(), type=RepoSpec)
    spec = _read(repo, digest)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".spec-{digest[:16]}-{id(spec)}"
    partial.write_bytes(msgspec.json.encode(spec))
    partial.replace(remembered)
    return spec


def describe_views() -> list[ViewSpec]:
    """The feature views of this project's repo; cheap enough for loading the definitions."""
    return list(repo_spec().views)


def repo_objects(repo: Path) -> list[Any]:
    """Every Feast object that the repo's files define. Imports Feast."""
    from feast import Entity, FeatureService, OnDemandFeatureView
    from feast.base_feature_view import BaseFeatureView
    from feast.data_source import DataSource

    kinds = (Entity, BaseFeatureView, OnDemandFeatureView, FeatureService, DataSource)
    found = []
    for path in sorted(repo.glob("*.py")):
        definition = importlib.util.spec_from_file_location(f"feature_repo_{path.stem}", path)
        assert definition is not None
        assert definition.loader is not None
        module = importlib.util.module_from_spec(definition)
        definition.loader.exec_module(module)
        found += [value for value in vars(module).values() if isinstance(value, kinds)]
    return found


def _digest(repo: Path) -> str:
    content = hashlib.sha256(version("feast").encode())
    for path in sorted([*repo.glob("*.py"), *repo.glob("*.yaml")]):
        content.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return content.hexdigest()


def _read(repo: Path, digest: str) -> RepoSpec:
    from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView, RequestSource

    objects = repo_objects(repo)
    on_demand = _of(objects, OnDemandFeatureView)
    names = {view.name for view in on_demand}
    (request,) = _of(objects, RequestSource)
    entities = _of(objects, Entity)
    join_keys = {entity.name: entity.join_key for entity in entities}
    return RepoSpec(
        digest=digest,
        views=tuple(_view(view, join_keys) for view in _of(objects, FeatureView)),
        on_demand=tuple(_on_demand(view) for view in on_demand),
        request_fields=_request_fields(request, entities),
        identity=request.tags["identity"],
        services=tuple(_service(service, names) for service in _of(objects, FeatureService)),
    )


def _of(objects: Iterable[Any], kind: type) -> list[Any]:
    return [value for value in objects if type(value) is kind]


def _view(view: Any, join_keys: Mapping[str, str]) -> ViewSpec:
    (entity,) = view.entities
    return ViewSpec(
        name=view.name,
        description=view.description,
        join_key=join_keys[entity],
        fields=tuple(_field(field) for field in view.features),
        ttl_seconds=int(view.ttl.total_seconds()) if view.ttl else 0,
        tags=dict(view.tags),
        owner=view.owner,
        table=view.batch_source.path,
        missing_share_at_most=_bound(view),
        policies=tuple(rule for field in view.features if (rule := _policy(field))),
    )


def _policy(field: Any) -> Missing | None:
    return policy(field.tags.get("when_missing", "null"), field.name)


def _bound(view: Any) -> float:
    name = "missing_share_at_most"
    if name not in view.tags:
        raise ValueError(f"feature view {view.name} has no tag {name}: state which share of missing values is too much")
    return float(view.tags[name])


def _on_demand(view: Any) -> OnDemandSpec:
    fields = [
        FieldSpec(name=f.name, dtype=_kind(f, COLUMN_KINDS), description=view.tags.get(f.name, ""), tags={})
        for f in view.features
    ]
    return OnDemandSpec(
        name=view.name, description=view.description, fields=tuple(fields), tags=dict(view.tags), owner=view.owner
    )


def _service(service: Any, on_demand: set[str]) -> ServiceSpec:
    taken = [(p.name, tuple(f.name for f in p.features)) for p in service.feature_view_projections]
    return ServiceSpec(
        name=service.name,
        description=service.description,
        views=tuple((name, features) for name, features in taken if name not in on_demand),
        on_demand=tuple((name, features) for name, features in taken if name in on_demand),
        tags=dict(service.tags),
        owner=service.owner,
    )


def _field(field: Any) -> FieldSpec:
    return FieldSpec(
        name=field.name, dtype=_kind(field, COLUMN_KINDS), description=field.description, tags=dict(field.tags)
    )


def _request_fields(request: Any, entities: Iterable[Any]) -> tuple[RequestField, ...]:
    """What a caller sends: what identifies the decision, the join keys, the data of the request source."""
    identity = request.tags["identity"]
    named = [RequestField(name=identity, dtype="string", description=request.tags[identity])]
    named += [RequestField(name=e.join_key, dtype="string", description=e.description) for e in entities]
    return (*named, *(_request_field(field) for field in request.schema))


def _request_field(field: Any) -> RequestField:
    bounds = {name: float(field.tags[name]) for name in ("minimum", "maximum") if name in field.tags}
    kind: Any = _kind(field, REQUEST_KINDS)
    return RequestField(name=field.name, dtype=kind, description=field.description, **bounds)


def _kind(field: Any, kinds: Mapping[str, str]) -> str:
    return kinds[field.dtype.name.title() if hasattr(field.dtype, "name") else str(field.dtype)]


def _named(items: Iterable[Any], name: str, what: str) -> Any:
    known = {item.name: item for item in items}
    if name not in known:
        raise KeyError(f"no {what} named {name!r}; the repo declares {', '.join(sorted(known))}")
    return known[name]
