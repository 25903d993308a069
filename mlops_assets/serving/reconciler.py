"""The process that follows the registry and prepares what should serve.

Here: ``Reconciler``, which turns aliases into a desired state whose bundles lie verified on this machine. Belongs
here: everything that needs the registry. Does not: answering requests, loading for good (``serving.follower``).
Run as ``python -m mlops_assets.serving.reconciler <config file>``.

A bundle gets its place under its digest only after its files hashed to the digest that the registry recorded and a
child process loaded it. A version enters an arm only after its documents hashed to theirs too and, where a public key
is configured, its signature held over all of them; it is asked again each time that it comes back. What cannot be
prepared changes nothing: the champion of before stays desired, a canary or shadow steps aside, the reason is written
beside them. A registry that does not answer changes nothing at all.
"""

import logging
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from mlops_assets.adapters.endpoint import CANARY_SHARE_TAG
from mlops_assets.adapters.registry import RegisteredModel, Registry
from mlops_assets.adapters.signatures import Signatures
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.arms import ALL, BundleRefused, files_of, read_bundle
from mlops_assets.serving.configuration import ServedModel, ServerConfig, read_config
from mlops_assets.serving.desired import (
    DesiredArm,
    DesiredModel,
    DesiredState,
    RefusedVersion,
    read_desired,
    replace_file,
    sync_folder,
    write_desired,
)
from mlops_assets.serving.families import ask, members
from mlops_assets.serving.parent import end_with_parent
from mlops_assets.serving.trial import Trials

LOG = logging.getLogger(__name__)
NUDGE_CHECK_S = 0.05
LONGEST_WAIT_S = 30.0
"""Between two attempts to prepare a version that could not be prepared; starts at one second and doubles."""
LONGEST_PROBLEM = 400
REST, LONGEST_REST_S = 4.0, 5.0
"""A look at a thousand models takes half a second: after such, a pause of so many times that, and no longer."""
PROGRESS_S = 1.0
"""In a look that takes longer, what is prepared already is written down now and again."""


class _Waiting(msgspec.Struct, frozen=True):
    """A version that could not be prepared: why, and when to try again."""

    reason: str
    why: str
    until: float
    wait_s: float


class NotPrepared(BundleRefused):
    """A version that failed a moment ago and is not tried again yet."""

    def __init__(self, waiting: _Waiting) -> None:
        super().__init__(waiting.reason)
        self.why = waiting.why


class Reconciler:
    """Looks at the registry and keeps the desired state and its bundles. One per folder."""

    def __init__(
        self,
        registry: Registry,
        models: Sequence[ServedModel],
        desired: Path,
        bundles: Path,
        trial: Callable[[Path, str, str], None] | None = None,
        progress_s: float = PROGRESS_S,
    ) -> None:
        """``trial(folder, digest, model)`` raises BundleRefused for a bundle that does not load; None: in a child."""
        self._registry = registry
        self._models = models
        self._desired = desired
        self._bundles = bundles
        self._trials = Trials()
        self._trial = trial or self._trials
        self._progress_s = progress_s
        self._state = _last_state(desired)
        self._digests = {
            (entry.facts.name, arm.version): arm.digest
            for entry in (self._state or DesiredState()).models
            for arm in entry.arms.values()
        }
        self._verified: dict[str, tuple[tuple[int, int], ...]] = {}
        self._vouched: set[tuple[str, int]] = set()
        """Versions whose documents and signature held when they entered the arm that they hold."""
        self._waiting: dict[tuple[str, int], _Waiting] = {}

    def look(self, *, nudged: bool = False) -> DesiredState:
        """Ask the registry once and write down what should serve. ``nudged``: try again now what failed before."""
        if nudged:
            self._waiting.clear()
        before = {entry.facts.name: entry for entry in self._state.models} if self._state else {}
        models: dict[str, DesiredModel] = {}
        try:
            told = ask(self._registry, self._models)
        except Exception as error:
            problem = _problem("the registry cannot be asked", error)
            for facts in members(self._models, before):
                kept = before.get(facts.name) or DesiredModel(facts=facts)
                models[facts.name] = msgspec.structs.replace(kept, facts=facts, problems=(problem,))
        else:
            served = members(self._models, told)
            write_at = time.monotonic() + self._progress_s
            for facts in served:
                known = told.get(facts.name) or RegisteredModel(name=facts.name)
                kept = before.get(facts.name) or DesiredModel(facts=facts)
                models[facts.name] = self._model(facts, known, kept)
                if time.monotonic() >= write_at:
                    there = {**before, **models}
                    self._write(DesiredState(models=tuple(there.values()), preparing=len(served) - len(there)))
                    write_at = time.monotonic() + self._progress_s
        state = self._write(DesiredState(models=tuple(models.values())))
        self._vouched &= {(m.facts.name, arm.version) for m in state.models for arm in m.arms.values()}
        self._trials.rest()
        return state

    def _write(self, state: DesiredState) -> DesiredState:
        if state != self._state or not self._desired.exists():
            write_desired(self._desired, state)
        else:
            self._desired.touch()
        self._state = state
        return state

    def _model(self, facts: ServedModel, told: RegisteredModel, kept: DesiredModel) -> DesiredModel:
        arms: dict[str, DesiredArm] = {}
        problems, refused = [], []
        for arm in Arm:
            if (number := told.aliases.get(arm)) is None:
                continue
            try:
                arms[arm] = DesiredArm(version=number, digest=self._prepare(facts.name, number))
            except Exception as error:
                problems.append(_problem(_not_served(arm, number, kept), error))
                refused.append(RefusedVersion(arm=arm, version=number, why=_why(error)))
                if arm is Arm.CHAMPION and arm in kept.arms:
                    arms[arm] = kept.arms[arm]
        share = _share(told.tags.get(CANARY_SHARE_TAG), problems)
        return DesiredModel(
            facts=facts, arms=arms, canary_basis_points=share, problems=tuple(problems), refused=tuple(refused)
        )

    def _prepare(self, model: str, version: int) -> str:
        """Have the bundle of a version in its place; its digest. Raises when that is not possible now."""
        key = (model, version)
        if (waiting := self._waiting.get(key)) and time.monotonic() < waiting.until:
            raise NotPrepared(waiting)
        try:
            if key not in self._digests:
                self._digests[key] = self._registry.version(model, version).digest
            digest = self._digests[key]
            if key not in self._vouched or not self._in_place(digest):
                self._fetch(model, version, digest)
                self._vouched.add(key)
        except Exception as error:
            wait_s = min(2 * waiting.wait_s, LONGEST_WAIT_S) if waiting else 1.0
            self._waiting[key] = _Waiting(str(error), _why(error), time.monotonic() + wait_s, wait_s)
            LOG.warning("%s version %d cannot be prepared: %s", model, version, error)
            raise
        self._waiting.pop(key, None)
        return digest

    def _in_place(self, digest: str) -> bool:
        """True when the bundle's folder holds the right bytes; read again whenever the files changed."""
        try:
            stats = [file.stat() for file in files_of(self._bundles / digest)]
        except OSError:
            return False
        stamp = tuple((status.st_mtime_ns, status.st_size) for status in stats)
        if self._verified.get(digest) != stamp:
            if bundle_digest(read_bundle(self._bundles / digest)) != digest:
                LOG.warning("the bundle %s on this machine is damaged: it is fetched again", digest)
                return False
            self._verified[digest] = stamp
        return True

    def _fetch(self, model: str, version: int, digest: str) -> None:
        self._bundles.mkdir(parents=True, exist_ok=True)
        arriving = self._bundles / f".arriving-{uuid.uuid4().hex}"
        try:
            self._registry.verify(model, version, keep=arriving / "download")
            files = read_bundle(arriving / "download")
            if (found := bundle_digest(files)) != digest:
                raise BundleRefused(f"what came has digest {found}, the registry recorded {digest}")
            if self._in_place(digest):
                return
            for name, content in files.items():
                replace_file(arriving / "bundle" / name, content)
            self._trial(arriving / "bundle", digest, model)
            self._put_in_place(arriving / "bundle", digest)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _put_in_place(self, prepared: Path, digest: str) -> None:
        place = self._bundles / digest
        if place.exists():
            place.rename(prepared.with_name("damaged"))
        prepared.rename(place)
        sync_folder(self._bundles)


def _last_state(desired: Path) -> DesiredState | None:
    try:
        return read_desired(desired)
    except (msgspec.DecodeError, OSError) as error:
        LOG.warning("the desired state of before cannot be read, starting without it: %s", error)
        return None


def _share(tag: str | None, problems: list[str]) -> int:
    try:
        share = int(tag or 0)
    except ValueError:
        share = -1
    if 0 <= share <= ALL:
        return share
    problems.append(f"the tag {CANARY_SHARE_TAG} is {tag!r}, wanted 0 to {ALL}: the canary answers nobody")
    return 0


def _not_served(arm: Arm, version: int, kept: DesiredModel) -> str:
    """What a version that cannot be prepared means for the callers: who answers instead."""
    held = kept.arms.get(arm) if arm is Arm.CHAMPION else None
    if held and held.version == version:
        return f"{arm} version {version} cannot be verified again (the copy that was verified before still answers)"
    if held:
        return f"{arm} version {version} is not served (version {held.version} still answers)"
    fallback = arm is Arm.CHAMPION and kept.facts.fallback_score is not None
    return f"{arm} version {version} is not served{' (only the fallback answers)' if fallback else ''}"


def _why(error: Exception) -> str:
    return getattr(error, "why", "unavailable")


def _problem(what: str, error: Exception) -> str:
    """One line; without addresses in memory, so that the same problem reads the same at every look."""
    told = re.sub(r"0x[0-9a-f]{6,}", "0x...", " ".join(str(error).split()))
    return f"{what}: {told or type(error).__name__}"[:LONGEST_PROBLEM]


def watch(reconciler: Reconciler, config: ServerConfig) -> None:
    """Look for ever: ``registry_poll_s`` after a look, later after a long one; at once when the nudge file changes."""
    nudged_at, nudged = _stamp(config.nudge), False
    while True:
        began = time.monotonic()
        try:
            reconciler.look(nudged=nudged)
        except OSError as error:
            LOG.error("the desired state cannot be written: %s", error)
        rest_s = min(REST * (time.monotonic() - began), LONGEST_REST_S)
        deadline = time.monotonic() + max(config.registry_poll_s, rest_s)
        nudged = False
        while time.monotonic() < deadline and not nudged:
            time.sleep(NUDGE_CHECK_S)
            nudged = _stamp(config.nudge) != nudged_at
        nudged_at = _stamp(config.nudge)


def _stamp(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def main(arguments: list[str]) -> int:
    """Run as a child of the supervisor: the configuration's file."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s reconciler %(levelname)s %(message)s")
    # It would tell of every look at the registry.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    end_with_parent()
    from mlops_assets.adapters.mlflow_registry import MlflowRegistry

    config = read_config(Path(arguments[0]))
    signatures = Signatures(public_key=Path(config.verify_key) if config.verify_key else None)
    registry = MlflowRegistry(config.registry_uri, signatures, config.registry_environment)
    watch(Reconciler(registry, config.models, config.desired, config.bundles), config)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
