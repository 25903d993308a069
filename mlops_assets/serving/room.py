"""How many models fit into memory, and which one has to make room.

Here: ``Room``, a budget and the order of use. Belongs here: the choice. Does not: loading and letting go
(``serving.follower``), waiting for a model (``serving.demand``).

The models that were asked for last stay. One that was loaded before anybody asked is the first to go.
"""

import itertools
from collections.abc import Callable, Iterable


class Room:
    """The memory of one worker. ``used`` may be called from any thread, the rest belongs to the follower's."""

    def __init__(self, budget_bytes: int, favourite: Callable[[str], bool] = lambda model: True) -> None:
        """``favourite`` says of which models this worker is asked first."""
        self.budget_bytes = budget_bytes
        self.favourite = favourite
        self._held: dict[str, int] = {}
        """Model -> bytes."""
        self._used: dict[str, int] = {}
        """Model -> a number that grows with every use; below zero while nobody asked, the favourites' nearest to it."""
        self._clock = itertools.count(1)

    @property
    def taken_bytes(self) -> int:
        """Of all models that are held."""
        return sum(self._held.values())

    def holds(self, model: str) -> bool:
        """True when a model is in memory."""
        return model in self._held

    def used(self, model: str) -> None:
        """Somebody asked for a model."""
        self._used[model] = next(self._clock)

    def fits(self, bytes_: int) -> bool:
        """True when so much more fits without letting anything go."""
        return self.taken_bytes + bytes_ <= self.budget_bytes

    def put(self, model: str, bytes_: int) -> list[str]:
        """Give a model so much memory. Those that have to go for it; never itself, however large it is."""
        self._held[model] = bytes_
        self._used.setdefault(model, -next(self._clock))
        gone: list[str] = []
        excess = self.taken_bytes - self.budget_bytes
        if excess > 0:
            for other in sorted(self._held.keys() - {model}, key=self._used.__getitem__):
                if excess > 0:
                    excess -= self._held.pop(other)
                    gone.append(other)
        return gone

    def forget(self, models: Iterable[str]) -> None:
        """These models are not in memory any more."""
        for model in models:
            self._held.pop(model, None)
            self._used.pop(model, None)
