"""Model families: the ways of making a model, behind one seam.

Here: what a family must be able to do, and which there are. Belongs here: the choice of one by name. Does not: how
any of them works (``ml.boosted_trees``, ``ml.logistic``), what is the same for all (``ml.models``).

A family is a fact of the use case (``Training.family``) or a knob of one run. It says which engine computes what it
makes; the bundle's signature names that engine, and nothing after the training knows families at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mlops_assets.contracts import Training
from mlops_assets.ml.bundles import IDENTITY, Calibrator, EngineName, ModelFeature
from mlops_assets.ml.engines import Engine, calibrated
from mlops_assets.ml.matrices import Rows


class UnknownFamily(ValueError):
    """No family of that name."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the first fit found out on the held-out rows, which it never saw."""

    scores: np.ndarray
    """Of the held-out rows, shape (rows,)."""
    trees: int
    """How many trees did best; 0 for a family without trees."""
    curve: tuple[float, ...]
    """Log-loss on the held-out rows after each step of the fit."""


@dataclass(frozen=True)
class Range:
    """Where a search may look for one parameter."""

    low: float
    high: float
    log: bool = True
    whole: bool = False
    """Integers only."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a card says of a family."""

    description: str
    file: str
    """What the model's file is."""
    choice: str
    """What the held-out days decided, as the first part of a sentence."""
    explanation: str
    """What a contribution is."""


class Family(Protocol):
    """One way of making a model. The same rows and facts give the same bytes, whatever ``threads`` says (0: all)."""

    name: str
    engine: EngineName
    kind: str
    """The library, as Dagster shows it."""
    library: str
    """The library, as the Hugging Face hub calls it."""
    words: Words
    defaults: Mapping[str, Any]
    """Parameters where the use case, whose family is another, has none, and where a search begins."""
    space: Mapping[str, Range]
    """What a search may try."""

    def recorded(self, training: Training) -> Mapping[str, Any]:
        """Every parameter that decides the bytes, for the manifest."""
        ...

    def choose(
        self, fitted: Rows, held_out: Rows, features: Sequence[ModelFeature], training: Training, threads: int
    ) -> Choice:
        """Fit ``fitted`` and see on ``held_out`` how far to go."""
        ...

    def fit(self, rows: Rows, features: Sequence[ModelFeature], training: Training, trees: int, threads: int) -> bytes:
        """The content of the model's file, fitted on all the rows."""
        ...


FAMILIES = ("lightgbm", "logistic")
DEFAULT = FAMILIES[0]
"""Also the family of manifests from before there were two."""


def family_of(name: str) -> Family:
    """The family of that name. Raises UnknownFamily, which lists those there are."""
    from mlops_assets.ml.boosted_trees import BoostedTrees
    from mlops_assets.ml.logistic import Logistic

    families: tuple[Family, ...] = (BoostedTrees(), Logistic())
    for family in families:
        if family.name == name:
            return family
    raise UnknownFamily(f"no model family named {name!r}: choose one of {', '.join(f.name for f in families)}")


def load_engine(engine: EngineName, content: bytes, features: int, calibrator: Calibrator = IDENTITY) -> Engine:
    """The model of a bundle, loaded outside the server, its calibrator applied."""
    if engine == "onnx":
        from mlops_assets.ml.onnx_engine import OnnxEngine

        return calibrated(OnnxEngine(content, features=features), calibrator)
    from mlops_assets.ml.boosted_trees import BoosterEngine

    return calibrated(BoosterEngine(content), calibrator)
