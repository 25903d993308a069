"""A traffic log whose writer is not waited for: answers leave before their records are on disk.

Here: ``AsynchronousTrafficLog``, around any log. Belongs here: the queue between the two, and what a full one means.
Does not: the log itself. It is a choice (MLOPS_TRAFFIC_LOG_WAIT=0): a process that is killed loses what it had not
written, at most ``max_records``, though callers were answered; and a disk that is full is noticed after the answer.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence

from mlops_assets.adapters.traffic_log import ArmScore, TrafficLog, TrafficLogError, TrafficRecord, with_score
from mlops_assets.ml.bundles import ModelFeature

MAX_RECORDS = 10_000
RETRY_S = 0.5


class AsynchronousTrafficLog(TrafficLog):
    """Appends in a thread of its own; reads wait until what was appended is written."""

    def __init__(self, log: TrafficLog, max_records: int = MAX_RECORDS) -> None:
        """``log`` is used by that thread, and by readers."""
        self._log, self._max_records = log, max_records
        self._pending: dict[str, TrafficRecord] = {}
        self._features: dict[str, tuple[ModelFeature, ...]] = {}
        self._scores: deque[tuple[str, ArmScore]] = deque()
        self._error: str | None = None
        self._changed = threading.Condition()
        self._one_by_one = threading.Lock()
        """Held by whoever uses the log's own connection."""
        self._closing = False
        self._writing = False
        self._thread = threading.Thread(target=self._run, name="traffic log", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """See TrafficLog."""
        with self._one_by_one:
            self._log.open()

    def append(
        self, records: Sequence[TrafficRecord], features: Mapping[str, Sequence[ModelFeature]] | None = None
    ) -> Mapping[str, TrafficRecord]:
        """See TrafficLog, but for the promise that they are durable. Raises TrafficLogError when too many wait."""
        with self._changed:
            if len(self._pending) + len(records) > self._max_records and self._pending:
                raise TrafficLogError(self._error or f"{len(self._pending)} records wait to be written already")
            known = {r.request_id: self._pending[r.request_id] for r in records if r.request_id in self._pending}
            for digest, columns in (features or {}).items():
                self._features.setdefault(digest, tuple(columns))
            for record in records:
                self._pending.setdefault(record.request_id, record)
            self._changed.notify_all()
        return {record.request_id: known[record.request_id] for record in records if _other(record, known)}

    def add_scores(self, scores: Sequence[tuple[str, ArmScore]]) -> None:
        """See TrafficLog; written after the records."""
        with self._changed:
            self._scores.extend(scores)
            self._changed.notify_all()

    def find(self, request_ids: Sequence[str]) -> dict[str, TrafficRecord]:
        """See TrafficLog."""
        with self._changed:
            waiting = {key: self._pending[key] for key in request_ids if key in self._pending}
            late = list(self._scores)
        # In this order: what is written in between is found in the log.
        found = dict(waiting)
        if rest := [key for key in request_ids if key not in waiting]:
            with self._one_by_one:
                found |= self._log.find(rest)
        for key, score in late:
            if key in found:
                found[key] = with_score(found[key], score)
        return found

    def read(self, day: str | None = None, model: str | None = None) -> list[TrafficRecord]:
        """See TrafficLog."""
        self.flush()
        return self._log.read(day, model)

    def days(self, model: str | None = None) -> list[str]:
        """See TrafficLog."""
        self.flush()
        return self._log.days(model)

    def features(self, features_digest: str) -> tuple[ModelFeature, ...]:
        """See TrafficLog."""
        self.flush()
        return self._log.features(features_digest)

    def forget(self, request_ids: Sequence[str]) -> int:
        """See TrafficLog."""
        self.flush()
        return self._log.forget(request_ids)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until everything is written, for ``timeout`` seconds. Raises TrafficLogError when it is not."""
        with self._changed:
            if not self._changed.wait_for(self._idle, timeout):
                raise TrafficLogError(self._error or "the traffic log is not written fast enough")

    def close(self) -> None:
        """Write what waits, for as long as ``flush`` does, and let go."""
        with self._changed:
            self._changed.wait_for(self._idle, 10.0)
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=10)
        self._log.close()

    def _idle(self) -> bool:
        return not self._pending and not self._scores and not self._writing

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._pending or self._scores)
                if self._closing:
                    return
                records, scores = list(self._pending.values()), list(self._scores)
                self._writing = True
            try:
                with self._one_by_one:
                    self._log.append(records, self._features)
                    if scores:
                        self._log.add_scores(scores)
            except TrafficLogError as error:
                written, self._error = False, str(error)
            else:
                written, self._error = True, None
            with self._changed:
                self._writing = False
                if written:
                    for record in records:
                        del self._pending[record.request_id]
                    for _ in scores:
                        self._scores.popleft()
                    self._changed.notify_all()
                else:
                    self._changed.wait_for(lambda: self._closing, RETRY_S)


def _other(record: TrafficRecord, known: Mapping[str, TrafficRecord]) -> bool:
    return known.get(record.request_id, record) != record
