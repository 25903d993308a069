"""From a frozen training set to a bundle: the one way, for the model's asset and for its reproduction.

Here: ``fit_bundle``. Belongs here: the order of the steps that decide the bytes. Does not: the steps (``ml.models``).
"""

import pandas as pd

from mlops_assets.contracts import Training, UseCase
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.models import TrainedModel, invert_labels, make_bundle, train

INVERSION_SEED = 13


def fitted_columns(use_case: UseCase, inputs: Inputs) -> list[str]:
    """The columns of a training set that ``fit_bundle`` looks at: reading the others takes longer than these."""
    return [*dict.fromkeys(("day", use_case.entity_id, use_case.label, *(f.name for f in inputs.features)))]


def fit_bundle(
    frame: pd.DataFrame,
    use_case: UseCase,
    training: Training,
    inputs: Inputs,
    *,
    invert_label_share: float = 0.0,
    threads: int = 0,
) -> tuple[TrainedModel, dict[str, bytes]]:
    """The trained model and the files of its version, path -> content.

    ``frame`` holds the rows of the training set; ``training`` the facts with the knobs of this run applied;
    ``invert_label_share`` is the fault of a drill. The bytes do not depend on ``threads`` (0: all cores).
    Raises WindowTooShort, MissingColumn.
    """
    rows = invert_labels(frame, use_case.label, invert_label_share, INVERSION_SEED)
    trained = train(
        rows, training, inputs.features, label=use_case.label, entity_id=use_case.entity_id, threads=threads
    )
    bundle = make_bundle(
        trained,
        model=use_case.name,
        label=use_case.label,
        entity_id=use_case.entity_id,
        feature_service=use_case.feature_service,
        feature_service_digest=inputs.digest,
        request_fields=inputs.request_fields,
        views=inputs.views,
        transformations=inputs.transformations,
    )
    return trained, bundle
