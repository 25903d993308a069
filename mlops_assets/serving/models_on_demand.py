"""A replica that loads the models it is asked for, and no others.

Here: ``ModelsOnDemand``. Belongs here: which models are wanted now. Does not: which one has to make room (Ray Serve's
multiplexing), loading (``serving.follower``).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping

from mlops_assets.serving.desired import DesiredState

PATIENCE_S = 30.0


class Held:
    """A model that is loaded. Ray calls ``__del__`` when it has to make room; requests in flight keep it until then."""

    def __init__(self, name: str, let_go: Callable[["Held"], None]) -> None:
        """``let_go`` is called when nobody uses it any more."""
        self.name, self._let_go = name, let_go
        self.users, self.unwanted = 0, False

    def __del__(self) -> None:
        """Ray's word that another model needs the room."""
        self.unwanted = True
        self.settle()

    def settle(self) -> None:
        """Let go when nobody uses it and room is needed."""
        if self.unwanted and not self.users:
            self._let_go(self)


class ModelsOnDemand:
    """The models of one replica. Belongs to the event loop; ``Held`` may be let go from any thread."""

    def __init__(
        self,
        most: int,
        serves: Callable[[str], bool],
        desire: Callable[[DesiredState], Awaitable[None]],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """``desire`` makes the replica serve a state, ``serves`` says whether it serves a model."""
        self._most, self._serves, self._desire, self._patience_s = most, serves, desire, patience_s
        self._desired = DesiredState()
        self._wanted: dict[str, Held] = {}

    @property
    def known(self) -> Mapping[str, object]:
        """Every model that could be asked for, by name."""
        return {entry.facts.name: entry for entry in self._desired.models}

    def tell(self, desired: DesiredState) -> None:
        """What should serve, of every model."""
        self._desired = desired

    def chosen(self) -> DesiredState:
        """What should serve here. Before anybody asked, the first ones, so that a new replica is ready."""
        wanted = set(self._wanted) or set(list(self.known)[: self._most])
        return DesiredState(models=tuple(entry for entry in self._desired.models if entry.facts.name in wanted))

    async def load(self, name: str) -> Held:
        """Have a model loaded. Raises TimeoutError."""
        held = Held(name, self._forget)
        self._wanted[name] = held
        await self._desire(self.chosen())
        deadline = time.monotonic() + self._patience_s
        while not self._serves(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} was not loaded in {self._patience_s:g} s")
            await asyncio.sleep(0.005)
        return held

    @contextlib.contextmanager
    def used(self, held: Held) -> Iterator[None]:
        """Keep a model until a request is answered."""
        held.users += 1
        # It may have had to make room since it was asked for.
        self._wanted.setdefault(held.name, held)
        try:
            yield
        finally:
            held.users -= 1
            held.settle()

    def _forget(self, held: Held) -> None:
        if self._wanted.get(held.name) is held:
            del self._wanted[held.name]
