"""Requests that wait until a model is in memory.

Here: ``Demand``. Belongs here: who waits for which model, and for how long. Does not: loading (``serving.follower``),
which models stay (``serving.room``), what is answered afterwards (``serving.app``).

Nobody blocks: a request is put aside, and asked anew when its model is loaded, or found not to load. Requests for one
model share one load.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from mlops_assets.serving.metrics import Labels
from mlops_assets.serving.refusal import Refusal

PATIENCE_S = 10.0
"""A request waits no longer than this for its model; less than a front waits for an answer."""
MOST = 2000
"""Requests that wait at once."""
GoOn = Callable[[Refusal | None], None]


class _Waiting(NamedTuple):
    go_on: GoOn
    loop: asyncio.AbstractEventLoop
    timer: asyncio.TimerHandle


class Demand:
    """The requests that wait. ``wait`` belongs to an event loop's thread, ``settled`` may come from any."""

    def __init__(self, want: Callable[[str], None], patience_s: float = PATIENCE_S, most: int = MOST) -> None:
        """``want`` has a model loaded, from another thread, which calls ``settled`` afterwards in any case."""
        self._want, self.patience_s, self._most = want, patience_s, most
        self._lock = threading.Lock()
        self._waiting: dict[str, list[_Waiting]] = defaultdict(list)
        self._count = 0

    def wait(self, model: str, seconds: float, late: Refusal, go_on: GoOn) -> None:
        """Call ``go_on`` once, later, from this loop: when the model is settled, or after ``seconds`` with ``late``.

        Raises Refusal, with 503 when too many wait already.
        """
        if self._count >= self._most:
            raise Refusal(503, "model", f"{model} is not loaded, and too many requests wait for models: try again")
        loop = asyncio.get_running_loop()
        self._count += 1
        mine = _Waiting(go_on, loop, loop.call_later(max(0.0, seconds), lambda: self._give_up(model, mine, late)))
        with self._lock:
            self._waiting[model].append(mine)
        self._want(model)

    def settled(self, model: str) -> None:
        """A model is loaded, or will not be: whoever waited for it goes on."""
        with self._lock:
            waiting = self._waiting.pop(model, [])
        for mine in waiting:
            if not mine.loop.is_closed():
                mine.loop.call_soon_threadsafe(self._go_on, mine)

    def gauges(self) -> dict[tuple[str, Labels], float]:
        """What is here at this moment."""
        return {("mlops_requests_waiting_for_models", ()): float(self._count)}

    def _go_on(self, mine: _Waiting) -> None:
        mine.timer.cancel()
        self._end(mine, None)

    def _give_up(self, model: str, mine: _Waiting, late: Refusal) -> None:
        with self._lock:
            if mine not in self._waiting.get(model, ()):
                # Its model was settled a moment ago: it goes on by that.
                return
            self._waiting[model].remove(mine)
        self._end(mine, late)

    def _end(self, mine: _Waiting, refusal: Refusal | None) -> None:
        self._count -= 1
        mine.go_on(refusal)
