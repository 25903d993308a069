"""Models: the trained bundle of a cut-off day and the evidence about it, up to its registered version.

Here: the modules of the stage and ``build_models``. Belongs here: what is known of a model before any traffic. Does
not: the mathematics (``ml``), what answers requests (``assets.releases``).

A gate that fails stops the release, never the training: each gate is a check on ``evaluation``, and the release
table refuses the version.
"""

from typing import Any

from mlops_assets.assets.models.drift_reference import build_drift_reference
from mlops_assets.assets.models.evaluation import build_evaluation
from mlops_assets.assets.models.explanations import build_explanations
from mlops_assets.assets.models.model import build_model
from mlops_assets.assets.models.model_card import build_model_card
from mlops_assets.assets.models.parameter_study import build_parameter_study
from mlops_assets.assets.models.registered_version import build_registered_version
from mlops_assets.assets.models.released_card import build_released_card
from mlops_assets.contracts import UseCase

BUILDERS = (
    build_parameter_study,
    build_model,
    build_evaluation,
    build_explanations,
    build_drift_reference,
    build_model_card,
    build_registered_version,
)


def build_models(use_case: UseCase) -> list[Any]:
    """The model assets of a use case."""
    return [build(use_case) for build in BUILDERS] + build_released_card(use_case)
