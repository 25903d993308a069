"""A stopwatch on what Dagster spends on telling its events, and on what assets and checks spend themselves.

Here: ``EventsWatched``. Does not belong here: any change of what is told or written.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg
from dagster._core.execution.plan import compute
from dagster._core.log_manager import DagsterLogManager


class EventsWatched:
    """Counts and times Dagster's events while it is entered: those of steps and runs, from the event to the storage
    and to the console, and the planned ones at the creation of a run. Times the bodies of assets and checks as well,
    between two events of theirs."""

    DOORS = ((DagsterLogManager, "log_dagster_event"), (dg.DagsterInstance, "report_dagster_event"))

    def __init__(self) -> None:
        self.events, self.seconds, self.body_seconds = 0, 0.0, 0.0
        self._inside = False

    def __enter__(self) -> "EventsWatched":
        self._plain = [(owner, name, getattr(owner, name)) for owner, name in self.DOORS]
        for owner, name, plain in self._plain:
            setattr(owner, name, self._timed(plain))
        self._iterate, compute.iterate_with_context = compute.iterate_with_context, self._bodies
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, plain in self._plain:
            setattr(owner, name, plain)
        compute.iterate_with_context = self._iterate

    def _bodies(self, boundary: Callable[[], AbstractContextManager[Any]], body: Iterator[Any]) -> Iterator[Any]:
        def timed() -> Iterator[Any]:
            while True:
                begin = time.perf_counter()
                event = next(body, self)
                self.body_seconds += time.perf_counter() - begin
                if event is self:
                    return
                yield event

        return self._iterate(boundary, timed())

    def _timed(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return plain(*args, **kwargs)
            self._inside, begin = True, time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                self._inside = False
                self.events, self.seconds = self.events + 1, self.seconds + time.perf_counter() - begin

        return timed
