"""The feature store: past values at the time they were known, latest values for answering now.

Here: the interface ``FeatureStore``. Belongs here: what storing and finding values of features means. Does not: the
real one (``adapters.feast_feature_store``), the twin (``adapters.memory_feature_store``), computing values
(``ml.features``), declaring features (``feature_repo``), the records of the declaration (``adapters.feature_specs``),
the server's own reader (``adapters.online_reader``).

Features are called ``<view>__<feature>`` everywhere. A snapshot has two clocks (``ml.bitemporal``): the instant it is
about, and the instant at which it became known.
"""

import abc
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.adapters.feature_specs import Inputs, RepoSpec, ViewSpec, describe_views, inputs_of
from mlops_assets.ml.bitemporal import EVENT_TIMESTAMP
from mlops_assets.ml.missing import FeatureMissing, completed

__all__ = ["FeatureStore", "Inputs", "Snapshot", "ViewSpec", "describe_views"]
Snapshot = tuple[dt.datetime, dict[str, float | None]]
"""The instant it is about, and its values."""


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
        live; a snapshot that became known later is not seen. ``tables`` pins the version of every table that is read;
        None reads the current ones. Rows keep their order. A missing value is what its feature's policy says. Raises
        KeyError for an unknown service or a table without pin, TableMissing, ml.missing.FeatureMissing where a feature
        is missing that must not be.
        """

    @abc.abstractmethod
    def write_online(self, view: str, frame: pd.DataFrame) -> int:
        """Put one snapshot per key online, in place of what was there; returns how many keys it changed.

        ``frame`` has the join key (unique), ``event_timestamp``, the view's features, and perhaps
        ``created_timestamp`` (without it a snapshot is known at its own instant). A key keeps what it has when that is
        newer (event, then created) or the same. All keys of a call change at once or, where the store cannot do that,
        one by one: a write that broke off is completed by writing again.
        """

    @abc.abstractmethod
    def online(self, service: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The latest features of each row (a request's fields), None where missing, whatever their age."""

    @abc.abstractmethod
    def snapshots(self, view: str, keys: Sequence[str]) -> list[Snapshot | None]:
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
        wanted = records(spec, frame)
        return sum(have != want for have, want in zip(found, wanted, strict=True))

    def _sent(self, entities: pd.DataFrame) -> dict[str, np.ndarray]:
        """The request fields, which are all that an on-demand transformation may read."""
        names = [field.name for field in self.spec.request_fields if field.name in entities]
        return {name: entities[name].to_numpy() for name in names}

    def _completed(self, service: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with the policies of the service's features applied. Raises FeatureMissing."""
        for view in self.inputs(service).views:
            names = [f"{view.name}__{rule.feature}" for rule in view.when_missing]
            filled, barred = completed(view, {name: frame[name].to_numpy("float64") for name in names})
            for name, rows in barred.items():
                positions = np.flatnonzero(rows)
                first = frame[view.join_key].iloc[positions[0]], frame[EVENT_TIMESTAMP].iloc[positions[0]]
                raise FeatureMissing(
                    f"{name} is missing for {len(positions)} of {len(frame)} decisions, the first of {view.join_key} "
                    f"{first[0]!r} at {first[1]}: its policy is to fail. Leave those decisions out, or give it another "
                    "when_missing in feature_repo",
                    positions.tolist(),
                )
            frame = frame.assign(**filled)
        return frame

    def _columns(self, service: str, entities: pd.DataFrame) -> list[str]:
        chosen = self.spec.service(service)
        features = [f"{view}__{name}" for view, names in (*chosen.views, *chosen.on_demand) for name in names]
        return [*entities.columns, *features]


def records(spec: ViewSpec, frame: pd.DataFrame) -> list[Snapshot]:
    """The snapshots of a frame as (time, values); NaN becomes None."""
    names = [field.name for field in spec.fields]
    matrix = frame[names].to_numpy("float64")
    times = pd.DatetimeIndex(frame[EVENT_TIMESTAMP]).to_pydatetime()
    return [
        (at, {name: None if value != value else value for name, value in zip(names, row, strict=True)})
        for at, row in zip(times, matrix.tolist(), strict=True)
    ]
