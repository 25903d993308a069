"""Features that the caller sent: nothing to read, nothing to compute.

Here: ``Given``, and ``GivenFeatures``, which stands where ``serving.features.BatchFeatures`` stands for decisions.
Belongs here: from checked columns to a model's matrix. Does not: checking them (``serving.columns``).
"""

import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.bundles import Signature
from mlops_assets.ml.encoding import encode
from mlops_assets.serving.features import Assembled
from mlops_assets.serving.validation import DecisionRow

_GIVEN = operator.attrgetter("given")


class Given:
    """The features of one request."""

    def __init__(
        self,
        columns: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        matrices: dict[str, np.ndarray] | None = None,
    ) -> None:
        """Columns of one length by the features' names, or how to make them; matrices of recipes that are made."""
        self._columns = columns
        self._matrices = matrices or {}

    def matrix(self, signature: Signature, recipe: str) -> np.ndarray:
        """The matrix of all rows. Raises MissingColumn when this signature eats what the caller's did not."""
        if recipe not in self._matrices:
            columns = self._columns() if callable(self._columns) else self._columns
            self._matrices[recipe] = encode(columns, signature.features)
        return self._matrices[recipe]


class GivenFeatures:
    """A batch of rows whose features were sent."""

    store_error = None

    def __init__(self, rows: Sequence[DecisionRow]) -> None:
        """Rows of one request or of several."""
        self._rows = rows
        self._made: dict[str, Assembled] = {}

    def assemble(self, signature: Signature, recipe: str) -> Assembled:
        """As BatchFeatures does."""
        if recipe not in self._made:
            self._made[recipe] = Assembled(self._matrix(signature, recipe), {}, {})
        return self._made[recipe]

    def _matrix(self, signature: Signature, recipe: str) -> np.ndarray:
        """Rows of one request lie together; all of them in their order, unless some were answered before."""
        parts = []
        for given, rows in itertools.groupby(self._rows, key=_GIVEN):
            assert given is not None
            matrix = given.matrix(signature, recipe)
            if len(matrix) > 1 and (positions := [row.position for row in rows]) != list(range(len(matrix))):
                matrix = matrix[positions]
            parts.append(matrix)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
