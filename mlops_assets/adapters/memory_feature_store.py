"""The feature store's twin: snapshots from any ``Tables``, joined by pandas; the online side is a dict.

Here: ``MemoryFeatureStore``. Belongs here: the contract of ``adapters.feature_store`` in memory. Does not: Feast.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.adapters.feature_specs import RepoSpec, ViewSpec, repo_spec
from mlops_assets.adapters.feature_store import FeatureStore, Snapshot, records
from mlops_assets.adapters.frames import settled
from mlops_assets.adapters.tables import Tables
from mlops_assets.ml.bitemporal import CREATED_TIMESTAMP, EVENT_TIMESTAMP, known_at
from mlops_assets.ml.on_demand import TRANSFORMATIONS


class MemoryFeatureStore(FeatureStore):
    """See the module."""

    def __init__(self, tables: Tables, spec: RepoSpec | None = None) -> None:
        self._tables = tables
        self._spec = spec
        self._online: dict[str, dict[str, tuple[dt.datetime, Snapshot]]] = {}

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
            side = rows[[view.join_key, EVENT_TIMESTAMP, CREATED_TIMESTAMP, *features]]
            frame = _joined(frame, side.rename(columns={f: f"{name}__{f}" for f in features}), view)
        frame = frame.sort_values("__position", ignore_index=True)
        for name, _ in self.spec.service(service).on_demand:
            frame = frame.assign(**TRANSFORMATIONS[name](self._sent(frame)))
        return self._completed(service, settled(frame[self._columns(service, entities)]))

    def write_online(self, view: str, frame: pd.DataFrame) -> int:
        """As in FeatureStore."""
        spec = self.spec.view(view)
        held, keys = self._online.setdefault(view, {}), frame[spec.join_key]
        fresh = zip(keys, known_at(frame).dt.to_pydatetime(), records(spec, frame), strict=True)
        written = {
            key: (created, snapshot) for key, created, snapshot in fresh if _newer(held.get(key), created, snapshot)
        }
        held.update(written)
        return len(written)

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

    def snapshots(self, view: str, keys: Sequence[str]) -> list[Snapshot | None]:
        """As in FeatureStore."""
        held = self._online.get(view, {})
        return [held[key][1] if key in held else None for key in keys]

    def apply(self) -> None:
        """As in FeatureStore."""


def _joined(frame: pd.DataFrame, side: pd.DataFrame, view: ViewSpec) -> pd.DataFrame:
    """The frame, ordered by time, with the snapshot that each row could see, if it is young enough."""
    event, created = side[EVENT_TIMESTAMP], side[CREATED_TIMESTAMP]
    since = event.where(event > created, created)
    # A snapshot that a newer one had overtaken before it became known is never seen.
    side = side.assign(__since=since).sort_values(["__since", EVENT_TIMESTAMP, CREATED_TIMESTAMP], kind="stable")
    leads = side.groupby(view.join_key)[EVENT_TIMESTAMP].cummax() == side[EVENT_TIMESTAMP]
    side = side[leads & side["__since"].notna()].rename(columns={EVENT_TIMESTAMP: "__event"})
    side = side.drop(columns=CREATED_TIMESTAMP).drop_duplicates([view.join_key, "__since"], keep="last")
    joined = pd.merge_asof(frame, side, left_on=EVENT_TIMESTAMP, right_on="__since", by=view.join_key)
    values = [name for name in side.columns if name not in (view.join_key, "__event", "__since")]
    old = joined[EVENT_TIMESTAMP] - joined["__event"] > pd.Timedelta(seconds=view.ttl_seconds)
    if view.ttl_seconds:
        joined.loc[old, values] = np.nan
    return joined.drop(columns=["__event", "__since"])


def _newer(held: tuple[dt.datetime, Snapshot] | None, created: dt.datetime, snapshot: Snapshot) -> bool:
    """True when the snapshot says something else than what is held, and is not older."""
    if held is None:
        return True
    return (snapshot[0], created) >= (held[1][0], held[0]) and snapshot != held[1]
