"""A bundle in memory, and the versions that hold the arms of one model.

Here: loading a bundle with every proof that it is the right one, ``ModelState`` (what answers at one moment, never
changed in place) and the sticky choice of the answering arm. Belongs here: what makes a loaded copy trustworthy and
who answers whom. Does not: fetching bundles (``serving.reconciler``), scoring (``serving.data_plane``).
"""

import datetime as dt
import hashlib
import time
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec
import numpy as np

from mlops_assets.adapters.online_reader import MemoryOnlineReader
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import (
    MODEL_FILES,
    SIGNATURE_FILE,
    Signature,
    bundle_digest,
    decode_signature,
    digest_of,
)
from mlops_assets.ml.engines import Engine
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.desired import DesiredArm, RefusedVersion
from mlops_assets.serving.engines import load_engine
from mlops_assets.serving.features import BatchFeatures, Transformation, specimen
from mlops_assets.serving.plans import Plan
from mlops_assets.serving.validation import RequestForm

ALL = 10_000
"""Basis points in the whole."""
MEMORY_OF_A_BUNDLE, MEMORY_PER_BYTE = 32 * 1024, 1.4
"""Measured with LightGBM and compiled trees beside it: files of 16 kB, 350 kB and 2 MB grew the process by 41 to 46 kB,
470 kB and 2.6 MB each (with LightGBM alone by less); a test holds it."""
ORDER = (Arm.CHAMPION, Arm.CANARY, Arm.SHADOW)


class BundleRefused(ValueError):
    """A bundle is not what it should be and must not answer. Says why."""

    why = "load"


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """A model version in memory, proven right."""

    digest: str
    signature: Signature
    engine: Engine
    computed_by: str
    """onnx, lightgbm or compiled trees."""
    recipe: str
    """Equal for signatures that make the same matrix of the same rows."""
    loaded_at: str
    memory_bytes: int = 0
    """What it is accounted for: see ``memory_of``."""


@dataclass(frozen=True, eq=False)
class Holding:
    """A loaded version in an arm."""

    version: int
    bundle: LoadedBundle


@dataclass(frozen=True, eq=False)
class ModelState:
    """Who answers for one model at one moment; a change makes a new one."""

    facts: ServedModel
    arms: Mapping[Arm, Holding] = field(default_factory=dict)
    canary_basis_points: int = 0
    problems: tuple[str, ...] = ()
    refused: tuple[RefusedVersion, ...] = ()
    champion_named: bool = False
    """The registry names a champion, whether it can be served or not."""
    unloaded: Mapping[str, DesiredArm] = field(default_factory=dict)
    """Versions that are loaded when somebody asks for the model, which holds no arms until then."""

    @cached_property
    def reference(self) -> Signature | None:
        """The signature that says what a request must look like: the first loaded arm's, None while none is loaded."""
        return next((self.arms[arm].bundle.signature for arm in ORDER if arm in self.arms), None)

    @cached_property
    def feature_names(self) -> list[str]:
        """What the model eats, in its order; none while none is loaded."""
        return [feature.name for feature in self.reference.features] if self.reference else []

    @cached_property
    def recipe(self) -> str:
        """That of ``reference``."""
        return next((self.arms[arm].bundle.recipe for arm in ORDER if arm in self.arms), "")

    @cached_property
    def plans(self) -> dict[tuple[tuple[str, ...], bool], Plan]:
        """Kept by ``serving.columns``."""
        return {}

    @cached_property
    def form(self) -> RequestForm:
        """What a row must look like; anything goes while nobody knows."""
        if self.reference is None:
            return RequestForm(self.facts.entity_id, (), lenient=True)
        return RequestForm.of(self.reference)

    @cached_property
    def timezone(self) -> dt.tzinfo:
        """The calendar that says which day an instant belongs to."""
        return zoneinfo.ZoneInfo(self.facts.timezone)

    def warm_up(self) -> None:
        """Make now what is otherwise made while the first caller waits."""
        _ = (self.form, self.timezone)

    @property
    def answers(self) -> bool:
        """True when a request gets a score: from the champion, or the declared fallback."""
        return Arm.CHAMPION in self.arms or self.facts.fallback_score is not None

    @property
    def ready(self) -> bool:
        """True when requests get what they should: the champion's score, or the fallback's before there is a champion.

        A champion that is loaded when somebody asks counts: its bundle lies verified and tried on this machine.

        The fallback answers in place of a champion that is refused too, but then traffic belongs to another server.
        """
        if self.unloaded:
            return Arm.CHAMPION in self.unloaded
        return self.answers and (Arm.CHAMPION in self.arms or not self.champion_named)

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """Arm -> digest, whether loaded or not."""
        loaded = {str(arm): held.bundle.digest for arm, held in self.arms.items()}
        return loaded | {arm: wanted.digest for arm, wanted in self.unloaded.items()}

    @cached_property
    def memory_bytes(self) -> int:
        """What its loaded bundles are accounted for, each once."""
        return sum({held.bundle.digest: held.bundle.memory_bytes for held in self.arms.values()}.values())

    def basis_points(self, arm: Arm) -> int:
        """Share of the traffic that an arm answers, in 1/10,000."""
        canary = self.canary_basis_points if {Arm.CHAMPION, Arm.CANARY} <= self.digests.keys() else 0
        return {Arm.CHAMPION: ALL - canary, Arm.CANARY: canary, Arm.SHADOW: 0}[arm]

    def answering(self, entity_id: str) -> Arm:
        """The arm that answers for an entity: always the same one while the shares stay.

        A larger share keeps the entities it had. Without a champion nobody answers but the fallback.
        """
        canary = self.basis_points(Arm.CANARY) if Arm.CANARY in self.arms else 0
        return Arm.CANARY if canary and bucket(self.facts.name, entity_id) < canary else Arm.CHAMPION


def bucket(model: str, entity_id: str) -> int:
    """A number from 0 to 9,999 that belongs to an entity of a model for good."""
    return int.from_bytes(hashlib.blake2b(f"{model}\n{entity_id}".encode(), digest_size=8).digest(), "big") % ALL


def load_bundle(
    folder: Path,
    digest: str,
    *,
    model: str,
    transformations: Mapping[str, Transformation],
    threads: int = 1,
    compiled: bool = True,
) -> LoadedBundle:
    """Load a bundle and prove it: its digest, its model, its golden rows, and a whole row from request to score.

    Raises BundleRefused. A damaged model text can abort the process: the reconciler tries bundles in a child first.
    """
    files = read_bundle(folder)
    if (found := bundle_digest(files)) != digest:
        raise BundleRefused(f"the files in {folder.name[:12]} have digest {found}, wanted {digest}")
    try:
        signature = decode_signature(files[SIGNATURE_FILE])
        engine, computed_by = load_engine(signature, files[signature.model_file], threads, compiled=compiled)
        _prove(signature, engine, model)
        _rehearse(signature, engine, transformations)
    except BundleRefused:
        raise
    except Exception as error:
        raise BundleRefused(f"{type(error).__name__}: {error}") from error
    memory_bytes = memory_of(sum(map(len, files.values())))
    return LoadedBundle(digest, signature, engine, computed_by, _recipe(signature), now(), memory_bytes)


def memory_of(files_bytes: int) -> int:
    """Bytes of memory that a loaded bundle is accounted for, by the size of its files."""
    return MEMORY_OF_A_BUNDLE + round(MEMORY_PER_BYTE * files_bytes)


def read_bundle(folder: Path) -> dict[str, bytes]:
    """The files of a bundle. Raises BundleRefused when the signature or the model is missing."""
    try:
        return {file.name: file.read_bytes() for file in files_of(folder)}
    except OSError as error:
        raise BundleRefused(f"cannot read the bundle: {error}") from error


def files_of(folder: Path) -> list[Path]:
    """The signature, and every model's file that lies beside it: one too many changes the digest.

    Raises FileNotFoundError when the signature or the model is missing.
    """
    models = [folder / name for name in sorted(MODEL_FILES.values()) if (folder / name).exists()]
    if not models or not (folder / SIGNATURE_FILE).exists():
        wanted = SIGNATURE_FILE if models else " or ".join(sorted(MODEL_FILES.values()))
        raise FileNotFoundError(f"{folder} holds no {wanted}")
    return [*models, folder / SIGNATURE_FILE]


def _prove(signature: Signature, engine: Engine, model: str) -> None:
    if signature.model != model:
        raise BundleRefused(f"the bundle is of model {signature.model}, wanted {model}")
    if not signature.golden:
        raise BundleRefused("the bundle has no golden rows: nothing proves a loaded copy right")
    rows = [[np.nan if value is None else value for value in golden.values] for golden in signature.golden]
    matrix = np.array(rows, dtype=np.float64, order="C")
    wanted = np.array([golden.score for golden in signature.golden], dtype=np.float64)
    one_by_one = np.concatenate([engine.predict(matrix[i : i + 1]) for i in range(len(matrix))])
    for scores in (engine.predict(matrix), one_by_one):
        if scores.tobytes() != wanted.tobytes():
            worst = float(np.max(np.abs(scores - wanted)))
            raise BundleRefused(f"golden rows are not reproduced: the scores differ by up to {worst:g}")


def _rehearse(signature: Signature, engine: Engine, transformations: Mapping[str, Transformation]) -> None:
    if unknown := set(signature.transformations) - transformations.keys():
        raise BundleRefused(f"this server knows no transformation named {', '.join(sorted(unknown))}")
    fields = RequestForm.of(signature).fields
    if homeless := [view.name for view in signature.views if view.join_key not in fields]:
        raise BundleRefused(f"no request field carries the join key of {', '.join(homeless)}")
    batch = BatchFeatures([specimen(signature)] * 2, MemoryOnlineReader(), transformations)
    scores = engine.predict(batch.assemble(signature, "").matrix)
    if not np.isfinite(scores).all():
        raise BundleRefused(f"a row without online values scores {scores[0]}")


def _recipe(signature: Signature) -> str:
    parts = (signature.request_fields, signature.views, signature.transformations, signature.features)
    return digest_of(msgspec.json.encode(parts))


def now() -> str:
    """The wall's instant, ISO 8601 UTC in milliseconds."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{second_of(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)
def second_of(seconds: int) -> str:
    """A second since 1970, ISO 8601 UTC without its zone. Kept, for many requests come in one."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
