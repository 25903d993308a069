"""Models: the trained bundle of a cut-off day and the evidence about it, up to its registered version.

Here: the modules of the stage and ``build_models``. Belongs here: what is known of a model before any traffic. Does
not: the mathematics (``ml``), what answers requests (``assets.releases``).

A gate that fails stops the release, never the training: each gate is a check on ``evaluation``, and the release
table refuses the version.
"""

from typing import Any

from mlops_assets.assets.models.evidence import build_evidence
from mlops_assets.assets.models.model import build_model
from mlops_assets.assets.models.parameter_study import build_parameter_study
from mlops_assets.assets.models.registered_version import build_registered_version
from mlops_assets.contracts import UseCase


def build_models(use_case: UseCase) -> list[Any]:
    """The model assets of a use case."""
    study = build_parameter_study(use_case)
    return [study, build_model(use_case), *build_evidence(use_case), build_registered_version(use_case)]
