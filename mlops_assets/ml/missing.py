"""What stands for a missing value: the policies of features, applied alike to training sets and to requests.

Here: ``completed``. Belongs here: the meaning of a policy. Does not: declaring one (``feature_repo``), what makes a
value missing (``serving.features``, the point-in-time join), pandas (the server's workers import this).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mlops_assets.ml.bundles import Missing, ViewInput


class FeatureMissing(ValueError):
    """Values are missing of a feature without which there is no answer. ``positions`` are the rows."""

    def __init__(self, message: str, positions: Sequence[int]) -> None:
        super().__init__(message)
        self.positions = tuple(positions)


def policy(text: str, feature: str) -> Missing | None:
    """A policy as ``feature_repo`` declares it; None for null, where a missing value stays missing.

    Raises ValueError, naming the feature, for anything but null, fail and default:<number>.

    >>> policy("default:0.5", "late_share")
    Missing(feature='late_share', policy='default', value=0.5)
    """
    kind, _, value = text.partition(":")
    if kind == "null" and not value:
        return None
    if kind == "fail" and not value:
        return Missing(feature, "fail")
    try:
        return Missing(feature, "default", _finite(value)) if kind == "default" else _refuse(text, feature)
    except ValueError as error:
        raise ValueError(f"{feature}: when_missing must be null, fail or default:<number>, not {text!r}") from error


def completed(
    view: ViewInput, columns: Mapping[str, Sequence[float | None] | np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The columns that policies change, and the rows that they bar.

    ``columns`` maps ``<view>__<feature>`` to values, None or NaN where missing. Returns float64 columns of the features
    with a default, and for each feature that must not be missing where some are, a mask of the rows that lack it.
    """
    filled, barred = {}, {}
    for rule in view.when_missing:
        name = f"{view.name}__{rule.feature}"
        values = np.asarray(columns[name], dtype=np.float64)
        missing = np.isnan(values)
        if rule.policy == "default":
            filled[name] = np.where(missing, np.float64(rule.value), values)
        elif missing.any():
            barred[name] = missing
    return filled, barred


def _finite(value: str) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(value)
    return number


def _refuse(text: str, feature: str) -> Missing:
    raise ValueError(text)
