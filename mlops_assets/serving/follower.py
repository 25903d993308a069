"""Makes what answers follow what is desired: load beside, prove, swap, let the old one go.

Here: ``Follower``, the one writer of the data plane's states. Belongs here: what happens when a desired version
cannot be loaded. Does not: where the desired state comes from (``serving.reconciler``), the proofs (``serving.arms``).

When a version cannot be loaded, the champion that answered last keeps answering; a canary or shadow steps aside
instead, for the version it would keep may be one that was refused since. Either way the problem is told, and loading
is tried again until it works or something else is desired.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from mlops_assets.contracts import Arm
from mlops_assets.serving.arms import (
    ORDER,
    BundleRefused,
    Holding,
    LoadedBundle,
    ModelState,
    files_of,
    load_bundle,
    memory_of,
)
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.desired import DesiredArm, DesiredModel, DesiredState, read_desired
from mlops_assets.serving.residents import Residents, champion_named
from mlops_assets.serving.room import Room

LOG = logging.getLogger(__name__)
RETRY_S = 1.0
SILENCE_S = 30.0
"""The reconciler touches the desired state at every look; after this long without, it is told as a problem."""


class Follower:
    """Follows the file of the desired state. ``look`` belongs to one thread."""

    def __init__(
        self,
        plane: DataPlane,
        desired: Path,
        bundles: Path,
        *,
        threads: int = 1,
        compiled: bool = True,
        retry_s: float = RETRY_S,
        room: Room | None = None,
    ) -> None:
        """``bundles`` holds one folder per digest; ``retry_s`` lies between two attempts to load what failed.

        With ``room`` models are loaded as ``serving.residents`` says; without, all of them, at once.
        """
        self._plane = plane
        self._desired = desired
        self._bundles = bundles
        self._threads, self._compiled = threads, compiled
        self._retry_s = retry_s
        self._applied: DesiredState | None = None
        self._stamp: tuple[int, int] | None = None
        self._failed_at: float | None = None
        self.residents = Residents(plane, room, self._state, self._memory) if room else None

    def look(self) -> None:
        """See whether something else is desired, or something failed a while ago, and act on it."""
        stamp = self._read_stamp()
        due = self._failed_at is not None and time.monotonic() - self._failed_at >= self._retry_s
        if stamp == self._stamp and not due:
            return
        try:
            desired = read_desired(self._desired)
        except (msgspec.DecodeError, OSError) as error:
            self._plane.note("desired state", f"cannot read {self._desired.name}: {error}")
            self._stamp = stamp
            return
        self._stamp = stamp
        self._plane.note("desired state", None)
        if desired is not None and (desired != self._applied or due):
            self.apply(desired)

    def apply(self, desired: DesiredState) -> None:
        """Make the data plane serve a desired state as far as it can be loaded."""
        self._failed_at, self._applied = None, desired
        if self.residents is not None:
            self.residents.follow(desired)
            return
        states = {entry.facts.name: self._state(entry) for entry in desired.models}
        self._plane.adopt(states, desired.preparing)

    def watch(self, stop: threading.Event, wake: threading.Event, every_s: float) -> None:
        """Look until ``stop`` is set: every ``every_s`` seconds, and at once when ``wake`` is set."""
        while not stop.is_set():
            worked = False
            try:
                self.look()
                self._notice_silence()
                worked = self.residents is not None and self.residents.work()
            except Exception as error:
                LOG.exception("following the desired state failed")
                self._plane.note("desired state", f"{type(error).__name__}: {error}")
            if not worked:
                wake.wait(every_s)
                wake.clear()

    def _read_stamp(self) -> tuple[int, int] | None:
        try:
            status = self._desired.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _notice_silence(self) -> None:
        silent_s = time.time() - self._stamp[0] / 1e9 if self._stamp else 0.0
        told = f"has not looked at the registry for {silent_s:.0f} s" if silent_s > SILENCE_S else None
        self._plane.note("reconciler", told)

    def _state(self, entry: DesiredModel) -> ModelState:
        before = self._plane.states.get(entry.facts.name)
        loaded = _bundles_of(before)
        arms: dict[Arm, Holding] = {}
        problems: list[str] = []
        for arm in ORDER:
            if (wanted := entry.arms.get(arm)) is None:
                continue
            try:
                arms[arm] = self._hold(entry, wanted, loaded, arms)
            except BundleRefused as error:
                self._failed_at = self._failed_at or time.monotonic()
                problems.append(f"{arm} version {wanted.version} is not loaded: {error}")
                self._plane.metrics.count("mlops_load_failures_total", model=entry.facts.name)
                if arm is Arm.CHAMPION and before and arm in before.arms:
                    arms[arm] = before.arms[arm]
        self._count_swaps(entry.facts.name, before, arms)
        told = (*entry.problems, *problems)
        named = champion_named(entry)
        state = ModelState(entry.facts, arms, entry.canary_basis_points, told, entry.refused, named)
        state.warm_up()
        return state

    def _hold(
        self, entry: DesiredModel, wanted: DesiredArm, loaded: dict[str, LoadedBundle], arms: Mapping[Arm, Holding]
    ) -> Holding:
        if wanted.digest not in loaded:
            loaded[wanted.digest] = load_bundle(
                self._bundles / wanted.digest,
                wanted.digest,
                model=entry.facts.name,
                transformations=self._plane.transformations,
                threads=self._threads,
                compiled=self._compiled,
            )
        bundle = loaded[wanted.digest]
        reference = next(iter(arms.values()), None)
        if reference is not None:
            form = ModelState(entry.facts, {Arm.CHAMPION: reference}).form
            if not form.same_fields(bundle.signature):
                raise BundleRefused("it asks callers for other fields than the version before it in the arms")
        return Holding(wanted.version, bundle)

    def _memory(self, entry: DesiredModel) -> int:
        """Bytes that a model's versions will take; of those whose files are not there, nothing."""
        total = 0
        for digest in {wanted.digest for wanted in entry.arms.values()}:
            with contextlib.suppress(OSError):
                total += memory_of(sum(file.stat().st_size for file in files_of(self._bundles / digest)))
        return total

    def _count_swaps(self, model: str, before: ModelState | None, arms: Mapping[Arm, Holding]) -> None:
        for arm, holding in arms.items():
            if before is None or before.digests.get(arm) != holding.bundle.digest:
                LOG.info("%s %s is now version %d (%s)", model, arm, holding.version, holding.bundle.digest[:12])
                self._plane.metrics.count("mlops_swaps_total", model=model, arm=arm)


def _bundles_of(state: ModelState | None) -> dict[str, LoadedBundle]:
    return {held.bundle.digest: held.bundle for held in state.arms.values()} if state else {}


def follow_in_background(follower: Follower, every_s: float) -> tuple[Callable[[], None], Callable[[], None]]:
    """Start a thread that watches. Returns how to wake it and how to stop it."""
    stop, wake = threading.Event(), threading.Event()
    thread = threading.Thread(target=follower.watch, args=(stop, wake, every_s), name="follower", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        wake.set()
        thread.join(timeout=10)

    return wake.set, end
