"""What a search for parameters tried, and what it found.

Here: the record of a study. Belongs here: enough to see why parameters were chosen. Does not: the search itself
(``ml.parameter_search``), its storage while it runs (``adapters.studies``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of parameters, tried on the folds in time order."""

    params: Mapping[str, Any]
    losses: tuple[float, ...]
    """Log-loss of each fold that was fitted: fewer than the study's folds when it was pruned."""
    pruned: bool
    """True when it was given up after a fold that left it behind the median of the others."""

    @property
    def loss(self) -> float:
        """Mean log-loss of its folds."""
        return sum(self.losses) / len(self.losses)


@dataclass(frozen=True, kw_only=True)
class ParameterStudy:
    """A search on one training set. Without trials: nobody asked for one."""

    family: str
    training_set_digest: str
    seed: int
    fold_first_days: tuple[str, ...]
    """First day of every fold; each is fitted on all days before."""
    trials: tuple[Trial, ...] = ()
    """In the order in which they ended; the first has the use case's own parameters."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the best complete trial had; empty when none did better than the first."""
