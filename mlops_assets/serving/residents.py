"""The models of a worker whose memory does not hold them all.

Here: ``Residents``: load what is asked for, let go what was not asked for the longest time. Belongs here: what is
loaded next. Does not: the order of use (``serving.room``), loading one model (``serving.follower``), who waits
(``serving.demand``).

What is asked for comes first, then models in memory whose versions changed (the old ones answer until then), then,
while there is room, models that nobody asked for yet. A model that is not in memory takes a new version by name alone.
"""

import queue
from collections import deque
from collections.abc import Callable, Mapping

from mlops_assets.contracts import Arm
from mlops_assets.serving.arms import MEMORY_OF_A_BUNDLE, ModelState
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.desired import DesiredModel, DesiredState
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.room import Room


class Residents:
    """Of one worker. All but ``want`` belongs to the follower's thread."""

    def __init__(
        self,
        plane: DataPlane,
        room: Room,
        load: Callable[[DesiredModel], ModelState],
        memory: Callable[[DesiredModel], int],
    ) -> None:
        """``load`` makes a state of a model, with the arms that load; ``memory`` says how many bytes it will take."""
        self._plane, self._room, self._load_model, self._memory = plane, room, load, memory
        self._entries: Mapping[str, DesiredModel] = {}
        self._preparing = 0
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._changed: dict[str, None] = {}
        """In memory, but not as desired; in their order."""
        self._next: deque[str] = deque()
        """What nobody asked for yet."""
        self.settled: Callable[[str], None] = lambda model: None
        """Called with every model that was wanted: it is loaded now, or is not going to be."""
        plane.used = room.used

    def want(self, model: str) -> None:
        """Have a model loaded soon; from any thread."""
        self._asked.put(model)

    def follow(self, desired: DesiredState) -> None:
        """Serve another desired state from now on; what does not load is tried again at every call."""
        before, entries = self._plane.states, {entry.facts.name: entry for entry in desired.models}
        states: dict[str, ModelState] = {}
        for name, entry in entries.items():
            old, same = before.get(name), self._entries.get(name) == entry
            if old is not None and (self._room.holds(name) or (same and not old.unloaded)):
                states[name] = old
                if not same or not _as_desired(old, entry):
                    self._changed[name] = None
            elif old is not None and same:
                states[name] = old
            else:
                states[name] = unloaded(entry)
                count_swaps(self._plane.metrics, old, states[name])
        self._room.forget(before.keys() - entries.keys())
        self._entries, self._preparing = entries, desired.preparing
        self._plane.adopt(states, self._preparing)
        waiting = [name for name, state in states.items() if state.unloaded]
        self._next = deque(sorted(waiting, key=lambda name: not self._room.favourite(name)))

    def work(self) -> bool:
        """Load one model, if there is one to load; False when there is none."""
        try:
            asked = self._asked.get_nowait()
        except queue.Empty:
            return self._work_unasked()
        try:
            if asked in self._entries and self._plane.states[asked].unloaded:
                self._load(asked)
        finally:
            self.settled(asked)
        return True

    def _work_unasked(self) -> bool:
        while self._changed:
            name = next(iter(self._changed))
            del self._changed[name]
            if name in self._entries:
                self._load(name)
                return True
        while self._next and self._room.fits(MEMORY_OF_A_BUNDLE):
            name = self._next.popleft()
            if self._plane.states[name].unloaded and self._room.fits(self._memory(self._entries[name])):
                self._load(name)
                return True
        self._next.clear()
        return False

    def _load(self, name: str) -> None:
        """Make room first, so that memory never holds more than the budget and what is in flight."""
        entry, metrics = self._entries[name], self._plane.metrics
        gone = self._room.put(name, self._memory(entry))
        if gone:
            self._plane.adopt(
                {**self._plane.states, **{other: unloaded(self._entries[other]) for other in gone}}, self._preparing
            )
            metrics.count("mlops_model_evictions_total", len(gone))
            for other in gone:
                self._changed.pop(other, None)
        was_unloaded = bool(self._plane.states[name].unloaded)
        state = self._load_model(entry)
        self._plane.adopt({**self._plane.states, name: state}, self._preparing)
        if not state.arms:
            self._room.forget([name])
        elif was_unloaded:
            metrics.count("mlops_model_loads_total")


def unloaded(entry: DesiredModel) -> ModelState:
    """The state of a model that is loaded when somebody asks."""
    return ModelState(
        entry.facts,
        canary_basis_points=entry.canary_basis_points,
        problems=entry.problems,
        refused=entry.refused,
        champion_named=champion_named(entry),
        unloaded=entry.arms,
    )


def champion_named(entry: DesiredModel) -> bool:
    """True when the registry names a champion, whether it can be served or not."""
    return Arm.CHAMPION in entry.arms or any(known.arm == Arm.CHAMPION for known in entry.refused)


def count_swaps(metrics: Metrics, before: ModelState | None, after: ModelState) -> list[str]:
    """Count the versions that took an arm of a model that was known before; the arms."""
    new = [arm for arm, digest in after.digests.items() if before and before.digests.get(arm) != digest]
    for arm in new:
        metrics.count("mlops_swaps_total", model=after.facts.name, arm=arm)
    return new


def _as_desired(state: ModelState, entry: DesiredModel) -> bool:
    return {arm: held.version for arm, held in state.arms.items()} == {a: v.version for a, v in entry.arms.items()}
