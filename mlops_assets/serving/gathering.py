"""What all workers tell about themselves, together.

Here: ``Gatherings``: asking all of them, and waiting, but not for ever. Belongs here: who has told. Does not: what is
made of it (``serving.union``).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mlops_assets.serving.frames import Report

PATIENCE_S = 1.0
"""A worker that tells nothing for so long is left out."""
Told = Mapping[int, tuple[int, Report | None]]
"""Place -> process id, and its report, if it gave one."""


class _Gathering(NamedTuple):
    pids: dict[int, int]
    reports: dict[int, Report]
    done: Callable[[Told], None]


class Gatherings:
    """Those that are going on. Belongs to the event loop's thread."""

    def __init__(self, ask: Callable[[int, int], None]) -> None:
        """``ask(place, number)`` asks a worker for its report; ``told`` hears it."""
        self._ask = ask
        self._going: dict[int, _Gathering] = {}

    def begin(self, number: int, pids: Mapping[int, int], done: Callable[[Told], None]) -> None:
        """Ask the workers of these places; ``done`` is called once, with what was told in time."""
        self._going[number] = _Gathering(dict(pids), {}, done)
        for place in pids:
            self._ask(place, number)
        asyncio.get_running_loop().call_later(PATIENCE_S, self._end, number)
        self._look(number)

    def told(self, number: int, place: int, pid: int, report: Report) -> None:
        """A worker's report."""
        if (gathering := self._going.get(number)) is not None and gathering.pids.get(place) == pid:
            gathering.reports[place] = report
            self._look(number)

    def lost(self, place: int, pid: int) -> None:
        """A worker is gone: nobody waits for it."""
        for number, gathering in list(self._going.items()):
            if gathering.pids.get(place) == pid:
                del gathering.pids[place]
                gathering.reports.pop(place, None)
                self._look(number)

    def _look(self, number: int) -> None:
        if (gathering := self._going.get(number)) and len(gathering.reports) == len(gathering.pids):
            self._end(number)

    def _end(self, number: int) -> None:
        if (gathering := self._going.pop(number, None)) is not None:
            gathering.done({place: (pid, gathering.reports.get(place)) for place, pid in gathering.pids.items()})
