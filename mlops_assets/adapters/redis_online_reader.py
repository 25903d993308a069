"""Feast's Redis hashes, read without Feast.

Here: ``RedisOnlineReader``. Belongs here: the layout of those hashes: one for each entity key of a project, one field
for each feature of each view, one with the time of each view. Does not: the bytes in them (``adapters.feast_format``).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from mlops_assets.adapters.feast_format import Key, decode_instant, decode_value, entity_key, redis_field
from mlops_assets.adapters.online_reader import OnlineReader, OnlineStoreError, Snapshot
from mlops_assets.ml.bundles import ViewInput


class RedisOnlineReader(OnlineReader):
    """Reads all keys of all views in one round trip. Nothing is kept: what is in Redis now is what is read."""

    def __init__(self, address: str, project: str, patience_s: float = 0.25) -> None:
        """Name the database and Feast's project; ``patience_s`` is how long to wait for a connection or an answer."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # One more try, at once, for a connection that a restarted server has closed; the library's own three tries
        # wait for seconds.
        self._client = redis.Redis.from_url(
            address, socket_timeout=patience_s, socket_connect_timeout=patience_s, retry=Retry(NoBackoff(), 1)
        )
        self._errors = (redis.RedisError, OSError, ValueError, IndexError)
        self._place = self._client.connection_pool.connection_kwargs
        self._project = project.encode()

    def read(self, view: ViewInput, keys: Sequence[Key]) -> Mapping[Key, Snapshot]:
        """See OnlineReader."""
        return self.read_views([(view, keys)])[0]

    def read_views(self, wanted: Sequence[tuple[ViewInput, Sequence[Key]]]) -> list[Mapping[Key, Snapshot]]:
        """See OnlineReader."""
        asked = [(view, list(dict.fromkeys(keys))) for view, keys in wanted]
        try:
            answers = iter(self._fetch(asked))
            return [{key: s for key in keys if (s := _snapshot(view, next(answers)))} for view, keys in asked]
        except self._errors as error:
            names = ", ".join(view.name for view, _ in wanted)
            place = f"redis at {self._place.get('host')}:{self._place.get('port')}"
            raise OnlineStoreError(f"cannot read {names} from {place}: {error}") from error

    def close(self) -> None:
        """See OnlineReader."""
        self._client.close()

    def _fetch(self, asked: Sequence[tuple[ViewInput, Sequence[Key]]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for view, keys in asked:
                fields = _fields(view)
                for key in keys:
                    pipe.hmget(entity_key(view.join_key, key) + self._project, fields)
            return pipe.execute()


@lru_cache(maxsize=256)
def _fields(view: ViewInput) -> tuple[bytes, ...]:
    return (f"_ts:{view.name}".encode(), *(redis_field(view.name, feature) for feature in view.features))


def _snapshot(view: ViewInput, answer: Sequence[bytes | None]) -> Snapshot | None:
    at, *values = answer
    if at is None:
        return None
    decoded = (None if value is None else decode_value(value) for value in values)
    return Snapshot(decode_instant(at), dict(zip(view.features, decoded, strict=True)))
