"""The feature store: past values at the time they were known, latest values for answering now.

Here: the interface ``FeatureStore``, the real one (Feast) and its in-memory twin. Belongs here: storing and finding
values of features. Does not: computing them (``ml.features``), declaring them (``feature_repo``), the records of the
declaration (``adapters.feature_specs``), the server's own reader (``adapters.online_reader``).

Features are called ``<view>__<feature>`` everywhere.
"""

import abc
import datetime as dt
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.adapters.feature_specs import (
    REPO,
    Inputs,
    RepoSpec,
    ViewSpec,
    describe_views,
    inputs_of,
    repo_objects,
    repo_spec,
)
from mlops_assets.adapters.frames import settled
from mlops_assets.adapters.locks import locked
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import Tables
from mlops_assets.ml.on_demand import TRANSFORMATIONS

__all__ = [
    "FeastFeatureStore",
    "FeatureStore",
    "Inputs",
    "MemoryFeatureStore",
    "ViewSpec",
    "describe_views",
]
EVENT_TIMESTAMP = "event_timestamp"


class FeatureStore(abc.ABC):
    """Where features are kept and found."""

    @property
    @abc.abstractmethod
    def spec(self) -> RepoSpec:
        """What the repo declares."""

    @abc.abstractmethod
    def training_frame(
        self, service: str, entities: pd.DataFrame, tables: Mapping[str, int] | None = None
    ) -> pd.DataFrame:
        """``entities`` with every feature of a service as it was known at each row's ``event_timestamp``.

        A value is the newest snapshot at or before that instant, missing when it is older than the view's time to
        live. ``tables`` pins the version of every table that is read; None reads the current ones. Rows keep their
        order. Raises KeyError for an unknown service or a table without pin, TableMissing.
        """

    @abc.abstractmethod
    def write_online(self, view: str, frame: pd.DataFrame) -> None:
        """Put one snapshot per key online, in place of what was there; one transaction.

        ``frame`` has the join key (unique), ``event_timestamp`` and the view's features.
        """

    @abc.abstractmethod
    def online(self, service: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The latest features of each row (a request's fields), None where missing, whatever their age."""

    @abc.abstractmethod
    def snapshots(self, view: str, keys: Sequence[str]) -> list[tuple[dt.datetime, dict[str, float | None]] | None]:
        """What is online of each key: its time and its values, or None."""

    @abc.abstractmethod
    def apply(self) -> None:
        """Make the store fit the repo's present declarations."""

    def describe(self) -> list[ViewSpec]:
        """The feature views."""
        return list(self.spec.views)

    def inputs(self, service: str) -> Inputs:
        """What a model of that service is fed with. Raises KeyError."""
        return inputs_of(self.spec, service)

    def service_digest(self, service: str) -> str:
        """Digest of a service's definitions. Raises KeyError."""
        return self.inputs(service).digest

    def online_differences(self, view: str, frame: pd.DataFrame) -> int:
        """How many keys of ``frame`` have another time or value online, or none; equality is to the last bit."""
        spec = self.spec.view(view)
        found = self.snapshots(view, list(frame[spec.join_key]))
        wanted = _records(spec, frame)
        return sum(have != want for have, want in zip(found, wanted, strict=True))

    def _sent(self, entities: pd.DataFrame) -> dict[str, np.ndarray]:
        """The request fields, which are all that an on-demand transformation may read."""
        names = [field.name for field in self.spec.request_fields if field.name in entities]
        return {name: entities[name].to_numpy() for name in names}

    def _columns(self, service: str, entities: pd.DataFrame) -> list[str]:
        chosen = self.spec.service(service)
        features = [f"{view}__{name}" for view, names in (*chosen.views, *chosen.on_demand) for name in names]
        return [*entities.columns, *features]


class MemoryFeatureStore(FeatureStore):
    """The twin: snapshots from any ``Tables``, joined by pandas; the online side is a dict."""

    def __init__(self, tables: Tables, spec: RepoSpec | None = None) -> None:
        self._tables = tables
        self._spec = spec
        self._online: dict[str, dict[str, tuple[dt.datetime, dict[str, float | None]]]] = {}

    @property
    def spec(self) -> RepoSpec:
        """As in FeatureStore."""
        self._spec = self._spec or repo_spec()
        return self._spec

    def training_frame(
        self, service: str, entities: pd.DataFrame, tables: Mapping[str, int] | None = None
    ) -> pd.DataFrame:
        """As in FeatureStore."""
        frame = settled(entities).assign(__position=np.arange(len(entities))).sort_values(EVENT_TIMESTAMP)
        for name, features in self.spec.service(service).views:
            view = self.spec.view(name)
            rows = self._tables.read(view.table, version=None if tables is None else tables[view.table])
            side = rows[[view.join_key, EVENT_TIMESTAMP, *features]].sort_values(EVENT_TIMESTAMP)
            frame = pd.merge_asof(
                frame,
                side.rename(columns={feature: f"{name}__{feature}" for feature in features}),
                on=EVENT_TIMESTAMP,
                by=view.join_key,
                tolerance=pd.Timedelta(seconds=view.ttl_seconds) if view.ttl_seconds else None,
            )
        frame = frame.sort_values("__position", ignore_index=True)
        for name, _ in self.spec.service(service).on_demand:
            frame = frame.assign(**TRANSFORMATIONS[name](self._sent(frame)))
        return settled(frame[self._columns(service, entities)])

    def write_online(self, view: str, frame: pd.DataFrame) -> None:
        """As in FeatureStore."""
        spec = self.spec.view(view)
        held = self._online.setdefault(view, {})
        held.update(zip(frame[spec.join_key], _records(spec, frame), strict=True))

    def online(self, service: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """As in FeatureStore."""
        answers: list[dict[str, Any]] = [dict(row) for row in rows]
        for name, features in self.spec.service(service).views:
            found = self.snapshots(name, [row[self.spec.view(name).join_key] for row in rows])
            for answer, snapshot in zip(answers, found, strict=True):
                values = snapshot[1] if snapshot else {}
                answer.update({f"{name}__{feature}": values.get(feature) for feature in features})
        for name, _ in self.spec.service(service).on_demand:
            columns = TRANSFORMATIONS[name](pd.DataFrame(rows).to_dict("series"))  # type: ignore[arg-type]
            for index, answer in enumerate(answers):
                answer.update({column: float(values[index]) for column, values in columns.items()})
        return answers

    def snapshots(self, view: str, keys: Sequence[str]) -> list[tuple[dt.datetime, dict[str, float | None]] | None]:
        """As in FeatureStore."""
        return [self._online.get(view, {}).get(key) for key in keys]

    def apply(self) -> None:
        """As in FeatureStore."""


class FeastFeatureStore(FeatureStore):
    """Feast: SQL registry, SQLite online store, and our offline store over Delta.

    Feast is imported (five seconds) by the first call that needs a value; the repo is applied by itself when it
    changed since.
    """

    def __init__(self, settings: Settings, repo: Path = REPO) -> None:
        self._settings = settings
        self._repo = repo
        self._views: dict[str, Any] = {}

    @cached_property
    def spec(self) -> RepoSpec:  # type: ignore[override]
        """As in FeatureStore."""
        return repo_spec(self._repo, self._settings.features)

    def training_frame(
        self, service: str, entities: pd.DataFrame, tables: Mapping[str, int] | None = None
    ) -> pd.DataFrame:
        """As in FeatureStore."""
        from mlops_assets.adapters.offline_store import pinned

        chosen, asked = self.spec.service(service), settled(entities)
        wanted = [f"{view}:{name}" for view, names in chosen.views for name in names]
        with pinned(tables):
            found = self._feast.get_historical_features(asked, wanted, full_feature_names=True).to_arrow()
        # Column by column: a whole frame to and fro, with Feast's door to the on-demand views, takes 1.5 s a year.
        columns = {name: asked[name] for name in asked.columns}
        columns |= {name: found[name].to_numpy() for name in found.column_names if name not in columns}
        for name, _ in chosen.on_demand:
            columns |= TRANSFORMATIONS[name](self._sent(asked))
        return pd.DataFrame({name: columns[name] for name in self._columns(service, asked)}, copy=False)

    def write_online(self, view: str, frame: pd.DataFrame) -> None:
        """As in FeatureStore.

        Builds Feast's messages directly: the 106 keys of an hour, four views, take 8 ms; through
        ``FeatureStore.write_to_online_store`` (a frame, an Arrow table, type inference) 17 ms.
        """
        from feast.protos.feast.types.Value_pb2 import Value

        spec = self.spec.view(view)
        missing = Value()
        batch = [
            (
                key,
                {name: missing if value is None else Value(double_val=value) for name, value in values.items()},
                at,
                None,
            )
            for key, (at, values) in zip(self._keys(spec, frame[spec.join_key]), _records(spec, frame), strict=True)
        ]
        self._feast.provider.online_write_batch(self._feast.config, self._view(view), batch, None)

    def online(self, service: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """As in FeatureStore."""
        wanted = self._feast.get_feature_service(service, allow_cache=True)
        asked = [{name: value for name, value in row.items() if name != self.spec.identity} for row in rows]
        answer = self._feast.get_online_features(wanted, asked, full_feature_names=True).to_dict()
        names = self._columns(service, pd.DataFrame(rows))
        columns = {name: answer.get(name, [row.get(name) for row in rows]) for name in names}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def snapshots(self, view: str, keys: Sequence[str]) -> list[tuple[dt.datetime, dict[str, float | None]] | None]:
        """As in FeatureStore."""
        spec = self.spec.view(view)
        found = self._feast.provider.online_read(self._feast.config, self._view(view), self._keys(spec, keys))
        return [_snapshot(at, values) for at, values in found]

    def apply(self) -> None:
        """As in FeatureStore. Two processes that apply at once do so one after the other."""
        with locked(self._settings.features / "apply.lock"), warnings.catch_warnings():
            # Feast calls on-demand views experimental each time.
            warnings.simplefilter("ignore", RuntimeWarning)
            self._open().apply(repo_objects(self._repo))
            self._applied.touch()

    @property
    def _applied(self) -> Path:
        """Exists when the registry fits the repo as it is now."""
        return self._settings.features / f"applied-{self.spec.digest[:16]}"

    @cached_property
    def _feast(self) -> Any:
        if not self._applied.exists():
            self.apply()
        return self._open()

    def _open(self) -> Any:
        import yaml
        from feast import FeatureStore as Feast
        from feast import RepoConfig

        folder = self._settings.features
        folder.mkdir(parents=True, exist_ok=True)
        raw = yaml.safe_load((self._repo / "feature_store.yaml").read_text())
        raw["registry"]["path"] = f"sqlite:///{folder / 'registry.db'}"
        raw["offline_store"]["tables"] = str(self._settings.tables)
        raw["online_store"]["path"] = str(folder / "online.db")
        return Feast(config=RepoConfig(**raw))

    def _view(self, name: str) -> Any:
        if name not in self._views:
            self._views[name] = self._feast.get_feature_view(name)
        return self._views[name]

    def _keys(self, spec: ViewSpec, keys: Sequence[str]) -> list[Any]:
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import Value

        return [EntityKey(join_keys=[spec.join_key], entity_values=[Value(string_val=key)]) for key in keys]


def _records(spec: ViewSpec, frame: pd.DataFrame) -> list[tuple[dt.datetime, dict[str, float | None]]]:
    """The snapshots of a frame as (time, values); NaN becomes None."""
    names = [field.name for field in spec.fields]
    matrix = frame[names].to_numpy("float64")
    times = pd.DatetimeIndex(frame[EVENT_TIMESTAMP]).to_pydatetime()
    return [
        (at, {name: None if value != value else value for name, value in zip(names, row, strict=True)})
        for at, row in zip(times, matrix.tolist(), strict=True)
    ]


def _snapshot(at: dt.datetime | None, values: Mapping[str, Any] | None) -> tuple[dt.datetime, dict[str, Any]] | None:
    if at is None or values is None:
        return None
    found = {name: value.double_val if value.HasField("double_val") else None for name, value in values.items()}
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC), found
