"""Features that the caller sent: nothing to read, nothing to compute.

Here: ``Given``, and ``GivenFeatures``, which stands where ``serving.features.BatchFeatures`` stands for decisions.
Belongs here: from checked columns to a model's matrix. Does not: checking them (``serving.columns``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops_assets.ml.bundles import Signature
from mlops_assets.ml.encoding import encode
from mlops_assets.serving.features import Assembled
from mlops_assets.serving.validation import DecisionRow


class Given:
    """The feature columns of one request."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        """Columns of one length by the features' names."""
        self._columns = columns
        self._encoded: dict[str, np.ndarray] = {}

    def matrix(self, signature: Signature, recipe: str) -> np.ndarray:
        """The matrix of all rows. Raises MissingColumn when this signature eats what the caller's did not."""
        if recipe not in self._encoded:
            self._encoded[recipe] = encode(self._columns, signature.features)
        return self._encoded[recipe]


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
            picked = [row.given.matrix(signature, recipe)[row.position] for row in self._rows if row.given is not None]
            self._made[recipe] = Assembled(np.array(picked, dtype=np.float64, order="C"), {}, {})
        return self._made[recipe]
