"""The durable log of every acknowledged prediction: written by the server, read by monitoring.

Here: ``TrafficRecord``, the interface ``TrafficLog``, its view as a frame, the in-memory twin, and opening a log by its
address. Belongs here: what every log of traffic must keep and give back. Does not: the logs on disk
(``adapters.sqlite_traffic_log``, ``adapters.postgres_traffic_log``), what is done with the records (``ml``), when they
become a table (``assets``).

pandas is imported by ``frame`` only: the server's worker imports this module.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlops_assets.ml.bundles import ModelFeature

if TYPE_CHECKING:
    import pandas as pd

Scalar = str | int | float | bool | None


class ArmScore(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one arm said of one row."""

    arm: str
    version: int
    digest: str
    score: float
    took_ms: float | None = None
    """How long the arm took for the batch that the row came in; the first arm pays for the features that several need.
    None where nobody waited for it, and in logs from before it was told."""


class TrafficRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One answered row."""

    request_id: str
    event_time: str
    """The decision's time on the domain's clock, ISO 8601 UTC."""
    day: str
    """Local calendar day of ``event_time``."""
    model: str
    entity_id: str
    arm: str
    """Which arm answered; ``fallback`` when no champion was there to answer."""
    version: int | None
    digest: str | None
    score: float
    """What was answered."""
    scores: tuple[ArmScore, ...] = ()
    """What every loaded arm said of this row, the answering one included."""
    request: Mapping[str, Scalar] = {}
    """The request fields as sent: raw categories, before any encoding."""
    features: bytes = b""
    """The encoded vector as little-endian float64, in the order of ``features_digest``'s features."""
    features_digest: str | None = None
    """The bundle whose signature names the vector's columns."""
    feature_times: Mapping[str, str | None] = {}
    """View -> instant of the values used; None when they were missing."""
    missing: int = 0
    """Values that the views should have given and did not."""
    latency_ms: float = 0.0
    """From the arrival of the request to the hand-over to this log; the commit itself is not in it."""
    received_at: str = ""
    """Wall-clock instant."""


class TrafficLogError(RuntimeError):
    """The log could not be written or read: nothing of the batch was kept."""


class TrafficLog(ABC):
    """Where acknowledged predictions are kept."""

    @abstractmethod
    def append(
        self, records: Sequence[TrafficRecord], features: Mapping[str, Sequence[ModelFeature]] | None = None
    ) -> Mapping[str, TrafficRecord]:
        """Keep all records or none; on return they are durable. The request ids of one call are all different.

        Several writers may append at once. A request id that is already there is left alone, and when the record that
        is there is another one than was given, it is returned under its id, whoever wrote it and when: what the log
        holds is the answer, so the caller answers with what is returned and not with what it made.

        ``features`` tells the columns of each ``features_digest`` among the records.
        Raises TrafficLogError.
        """

    @abstractmethod
    def add_scores(self, scores: Sequence[tuple[str, ArmScore]]) -> None:
        """Add what an arm said later to the records with these request ids; a record that has that arm's already, or
        is not there any more, is left alone. Raises TrafficLogError.
        """

    @abstractmethod
    def find(self, request_ids: Sequence[str]) -> dict[str, TrafficRecord]:
        """The records with these request ids, by request id."""

    @abstractmethod
    def read(self, day: str | None = None, model: str | None = None) -> list[TrafficRecord]:
        """The records of one local day (of all days without one), in the order in which they were kept."""

    @abstractmethod
    def days(self, model: str | None = None) -> list[str]:
        """The local days that have records, sorted."""

    @abstractmethod
    def features(self, features_digest: str) -> tuple[ModelFeature, ...]:
        """The columns of the vectors logged under that digest. Raises KeyError."""

    @abstractmethod
    def forget(self, request_ids: Sequence[str]) -> int:
        """Drop the records with these request ids; how many there were. They must lie elsewhere before."""

    def open(self) -> None:  # noqa: B027 - a log that needs no opening
        """Make it ready to be written; the first ``append`` does so too. Raises TrafficLogError."""

    def close(self) -> None:  # noqa: B027 - a log without anything to let go of
        """Let go of it; the next ``append`` opens it again."""

    def frame(self, day: str | None = None, model: str | None = None) -> "pd.DataFrame":
        """The records of decisions as columns. Features that callers sent themselves are in ``read`` alone: nobody can
        say where they come from.

        Book-keeping columns as in TrafficRecord; ``<arm>_score``, ``<arm>_version``, ``<arm>_digest`` and
        ``<arm>_took_ms`` for every arm that scored; ``<view>__feature_time``; the request fields by name; the features
        by name: numbers as the model saw them, categories by level (the raw value where the caller sent it). A name
        of the book-keeping wins.
        """
        import pandas as pd

        names: dict[str, tuple[ModelFeature, ...]] = {}
        rows = []
        for record in self.read(day, model):
            if not record.request:
                continue
            key = record.features_digest
            if key is not None and key not in names:
                names[key] = self.features(key)
            rows.append(_flat(record, names.get(key or "", ())))
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=pd.Index(BOOK_KEEPING))


BOOK_KEEPING = (
    "request_id",
    "event_time",
    "day",
    "model",
    "entity_id",
    "arm",
    "version",
    "digest",
    "score",
    "features_digest",
    "missing",
    "latency_ms",
    "received_at",
)


def with_score(record: TrafficRecord, score: ArmScore) -> TrafficRecord:
    """The record with what an arm said later, unless it has that arm's score already."""
    if score.arm in {said.arm for said in record.scores}:
        return record
    return msgspec.structs.replace(record, scores=(*record.scores, score))


def vector(record: TrafficRecord, features: Sequence[ModelFeature]) -> dict[str, float]:
    """The encoded vector of a record by feature name, bit for bit what the model was given."""
    return dict(zip((f.name for f in features), np.frombuffer(record.features, dtype="<f8").tolist(), strict=True))


def _flat(record: TrafficRecord, features: Sequence[ModelFeature]) -> dict[str, Any]:
    decoded = {f.name: _plain(f, value) for f, value in zip(features, vector(record, features).values(), strict=True)}
    raw = {f.name: record.request[f.name] for f in features if f.kind == "category" and f.name in record.request}
    arms: dict[str, Any] = {}
    for said in record.scores:
        arms |= {f"{said.arm}_{name}": getattr(said, name) for name in ("score", "version", "digest", "took_ms")}
    times = {f"{view}__feature_time": at for view, at in record.feature_times.items()}
    book = {name: getattr(record, name) for name in BOOK_KEEPING}
    return book | {k: v for k, v in (dict(record.request) | decoded | raw | times | arms).items() if k not in book}


def _plain(feature: ModelFeature, value: float) -> Scalar:
    if feature.kind == "number":
        return value
    return None if value != value else feature.levels[int(value)]


class MemoryTrafficLog(TrafficLog):
    """A log that lasts as long as the process."""

    def __init__(self) -> None:
        """An empty log."""
        self._records: dict[str, TrafficRecord] = {}
        self._features: dict[str, tuple[ModelFeature, ...]] = {}

    def append(
        self, records: Sequence[TrafficRecord], features: Mapping[str, Sequence[ModelFeature]] | None = None
    ) -> Mapping[str, TrafficRecord]:
        """See TrafficLog."""
        for digest, columns in (features or {}).items():
            self._features.setdefault(digest, tuple(columns))
        kept = [self._records.setdefault(record.request_id, record) for record in records]
        return {was.request_id: was for was, given in zip(kept, records, strict=True) if was != given}

    def add_scores(self, scores: Sequence[tuple[str, ArmScore]]) -> None:
        """See TrafficLog."""
        for key, score in scores:
            if key in self._records:
                self._records[key] = with_score(self._records[key], score)

    def find(self, request_ids: Sequence[str]) -> dict[str, TrafficRecord]:
        """See TrafficLog."""
        return {key: self._records[key] for key in request_ids if key in self._records}

    def read(self, day: str | None = None, model: str | None = None) -> list[TrafficRecord]:
        """See TrafficLog."""
        return [r for r in self._records.values() if day in (None, r.day) and model in (None, r.model)]

    def forget(self, request_ids: Sequence[str]) -> int:
        """See TrafficLog."""
        return sum(self._records.pop(key, None) is not None for key in request_ids)

    def days(self, model: str | None = None) -> list[str]:
        """See TrafficLog."""
        return sorted({record.day for record in self.read(None, model)})

    def features(self, features_digest: str) -> tuple[ModelFeature, ...]:
        """See TrafficLog."""
        return self._features[features_digest]


def open_traffic_log(address: str, max_bytes: int | None = None, *, wait: bool = True) -> TrafficLog:
    """The log at an address: ``postgresql://...``, or the path of a SQLite file, which becomes no larger than
    ``max_bytes`` by this writer. ``wait``: what is appended is on disk before ``append`` returns. Opens nothing yet.
    Raises TrafficLogError.
    """
    if not wait:
        from mlops_assets.adapters.asynchronous_traffic_log import AsynchronousTrafficLog

        return AsynchronousTrafficLog(open_traffic_log(address, max_bytes))
    if address.startswith(("postgresql://", "postgres://")):
        from mlops_assets.adapters.postgres_traffic_log import PostgresTrafficLog

        return PostgresTrafficLog(address)
    from mlops_assets.adapters.sqlite_traffic_log import SqliteTrafficLog

    return SqliteTrafficLog(Path(address), max_bytes)
