"""One thread that answers everything that is queued, at once.

Here: ``Batcher``. Belongs here: the queue between the transport and the data plane. Does not: what answering means.

No timer: the thread takes whatever waits the moment it is free. Under load a batch forms while the previous one is
being answered; a lone request waits for nobody. What a batch shares is the feature read and the disk sync, for
LightGBM's cost per row hardly falls.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlops_assets.serving.admission import TOO_MUCH, Admission
from mlops_assets.serving.metrics import Labels
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.requests import Answer, PredictRequest

LOG = logging.getLogger(__name__)
BUSY_S = 0.001
"""How soon an empty queue is looked at again while requests are in flight."""
LAST_WORK_S = 2.0
"""How long the end waits for work that nobody waits for."""
Done = Callable[[Answer | Refusal], None]


class _Waiting(NamedTuple):
    request: PredictRequest
    done: Done
    loop: asyncio.AbstractEventLoop
    at: float
    """``time.perf_counter()`` when it was queued."""


class Batcher:
    """Hands requests to ``predict`` in batches, from a thread of its own."""

    def __init__(
        self,
        predict: Callable[[Sequence[PredictRequest]], list[Answer | Refusal]],
        max_batch_rows: int = 4000,
        max_queued_rows: int = 20_000,
        admission: Admission | None = None,
        work: Callable[[], float | None] = lambda: None,
    ) -> None:
        """Start the thread.

        ``work`` does a little of what nobody waits for and tells after how many seconds there is more (None: when
        something was answered): called while nobody waits for an answer.
        """
        self._work = work
        self._predict = predict
        self._max_batch_rows = max_batch_rows
        self._max_queued_rows = max_queued_rows
        self._admission = admission or Admission()
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._waited_s = 0.0
        """What the first request of the last batch had waited; kept by the batcher's thread."""
        self.queued_rows = 0
        """Rows accepted and not yet answered; kept by the event loop's thread."""
        self.in_flight = 0
        """Requests accepted and not yet answered; kept by the event loop's thread."""
        self._began: float | None = None
        """When the batch that is being answered began."""
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def admit(self) -> None:
        """Let a request in before it is read. Raises Refusal, with 429, while a queue stands.

        All that is queued is taken at once, so the wait of the last batch's first request tells that of the next.
        """
        self._admission.require(self.in_flight, max(self._waited_s, self.busy_s))

    def submit(self, request: PredictRequest, done: Done) -> None:
        """Have a request answered: ``done`` is called with the outcome, later, by the running event loop.

        Raises Refusal, with 429 when too much is queued already.
        """
        rows = len(request.rows)
        if self.queued_rows and self.queued_rows + rows > self._max_queued_rows:
            raise Refusal(429, None, TOO_MUCH)
        self.queued_rows += rows
        self.in_flight += 1
        self._queue.put(_Waiting(request, done, asyncio.get_running_loop(), time.perf_counter()))

    @property
    def busy_s(self) -> float:
        """How long the thread has been at its batch; nothing when it waits for one."""
        began = self._began
        return 0.0 if began is None else time.perf_counter() - began

    def gauges(self) -> dict[tuple[str, Labels], float]:
        """What is here at this moment."""
        return {
            ("mlops_in_flight_requests", ()): float(self.in_flight),
            ("mlops_queued_rows", ()): float(self.queued_rows),
        }

    def stop(self) -> None:
        """Answer what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._take()
            if batch:
                self._answer(batch)
        deadline = time.monotonic() + LAST_WORK_S
        while time.monotonic() < deadline and (wait_s := self._worked()) is not None:
            time.sleep(wait_s)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """Wait for one request, then take whatever else is there."""
        batch: list[_Waiting] = []
        rows = 0
        waiting = self._next()
        while waiting is not None:
            batch.append(waiting)
            rows += len(waiting.request.rows)
            if rows >= self._max_batch_rows:
                return batch, True
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _next(self) -> _Waiting | None:
        """The next request; until there is one, the work that nobody waits for."""
        wait_s: float | None = 0.0
        while True:
            try:
                return self._queue.get(block=wait_s != 0.0, timeout=wait_s)
            except queue.Empty:
                # While requests are being read or answers written, the processor is wanted elsewhere.
                wait_s = BUSY_S if self.in_flight else self._worked()

    def _worked(self) -> float | None:
        try:
            return self._work()
        except Exception:
            LOG.exception("work that nobody waits for failed")
            return None

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        self._began = began = time.perf_counter()
        self._waited_s = began - batch[0].at
        try:
            outcomes = self._predict([waiting.request for waiting in batch])
        except Exception:
            LOG.exception("a batch of %d requests failed", len(batch))
            outcomes = [Refusal(500, None, "the server failed; its log says why") for _ in batch]
        self._began = None
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Answer | Refusal]]] = {}
        for waiting, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(waiting.loop, []).append((waiting, outcome))
        for loop, answers in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver, answers)

    def _deliver(self, answers: Sequence[tuple[_Waiting, Answer | Refusal]]) -> None:
        for waiting, outcome in answers:
            self.queued_rows -= len(waiting.request.rows)
            self.in_flight -= 1
            waiting.done(outcome)
