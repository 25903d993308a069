"""Reading the online store without importing Feast.

Here: the interface ``OnlineReader``, its in-memory twin, and the choice of the real one by address. Belongs here: what
every reader promises. Does not: Feast's formats (``adapters.feast_format``), writing (``adapters.feature_store``), what
a missing or old value means (``serving.features``).

Why not Feast's own client: importing it costs 5 s and 200 MB, and one row of four views takes it longer than the model
(docs/benchmarks/features.md). A contract test compares every value with ``get_online_features``.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlops_assets.adapters.feast_format import Key, Value
from mlops_assets.ml.bundles import ViewInput


class Snapshot(NamedTuple):
    """The latest values of one key in one view."""

    at: float
    """Event time, seconds since 1970 UTC."""
    values: Mapping[str, Value]


class OnlineStoreError(RuntimeError):
    """The online store is not there, not applied or not readable."""


class OnlineReader(ABC):
    """The latest feature values by key."""

    @abstractmethod
    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """What the store holds of these keys; a key it does not know is absent. One batched read.

        Raises OnlineStoreError.
        """

    def read_views(self, wanted: Sequence[tuple[ViewInput, Sequence[Key]]]) -> list[Mapping[Key, Snapshot]]:
        """``read`` for several views, in their order; one round trip where that saves time. Raises OnlineStoreError."""
        return [self.read(view, keys) for view, keys in wanted]

    def close(self) -> None:  # noqa: B027 - a store without anything to let go of
        """Let go of the store; the next read opens it again."""


class MemoryOnlineReader(OnlineReader):
    """An online store in the memory of this process; ``put`` fills it."""

    def __init__(self) -> None:
        """An empty store."""
        self._snapshots: dict[str, dict[Key, Snapshot]] = {}

    def put(self, view: str, key: Key, at: float, values: Mapping[str, Value]) -> None:
        """Keep the values of one key, in place of older ones."""
        self._snapshots.setdefault(view, {})[key] = Snapshot(at, dict(values))

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """See OnlineReader."""
        held = self._snapshots.get(view.name, {})
        return {key: held[key] for key in keys if key in held}


def open_online_reader(address: str, project: str) -> OnlineReader:
    """The reader of the store at an address: ``redis://...``, or the path of a SQLite file. Opens nothing yet."""
    if address.startswith("redis://"):
        from mlops_assets.adapters.redis_online_reader import RedisOnlineReader

        return RedisOnlineReader(address, project)
    from mlops_assets.adapters.sqlite_online_reader import SqliteOnlineReader

    return SqliteOnlineReader(Path(address), project)
