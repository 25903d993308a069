"""The files on the workbench of one cut-off day: what the assets of this stage hand to each other.

Here: where bundle, manifest, evaluation and the rest lie, and reading them. Belongs here: a file that two assets of
the stage share. Does not: making them.
"""

from typing import Any

import pandas as pd
from msgspec import MsgspecError

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.documents import EVALUATION, MANIFEST, TRAINING_SET
from mlops_assets.assets.address import MODELS, group, key
from mlops_assets.assets.files import folder, training_set_of
from mlops_assets.assets.partitions import calendar
from mlops_assets.contracts import Evaluation, Manifest, UseCase, from_json
from mlops_assets.ml.bundles import MODEL_FILES, SIGNATURE_FILE, bundle_digest, bundle_files
from mlops_assets.ml.card_facts import CARD, EXPLANATIONS, TECHNICAL
from mlops_assets.ml.explanations import Explanations
from mlops_assets.ml.families import family_of
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.training import thaw

HELD_OUT = "held_out.parquet"
__all__ = ["CARD", "EVALUATION", "EXPLANATIONS", "HELD_OUT", "MANIFEST", "TECHNICAL", "TRAINING_SET"]


def shared(use_case: UseCase, name: str) -> dict[str, Any]:
    """What every asset of the stage is declared with."""
    return {
        "key": key(use_case, MODELS, name),
        "group_name": group(use_case, MODELS),
        "partitions_def": calendar(use_case.domain),
        "kinds": {family_of(use_case.training.family).kind},
    }


def place(use_case: UseCase, name: str, cutoff: str) -> str:
    """The folder of one asset of the stage."""
    return folder(use_case, MODELS, name, cutoff)


def training_rows(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> pd.DataFrame:
    """The frozen training set."""
    return thaw(training_set_of(artifacts, use_case, cutoff)[1])


def held_out_rows(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> pd.DataFrame:
    """The held-out rows with the scores of the fit that never saw them: columns of the training set and ``score``."""
    scores = thaw(artifacts.get(f"{place(use_case, 'model', cutoff)}/{HELD_OUT}"))
    identity = use_case.entity_id
    rows = training_rows(artifacts, use_case, cutoff)
    return rows.merge(scores[[identity, "score"]], on=identity, validate="one_to_one")


def bundle_of(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> dict[str, bytes]:
    """The files of the trained model, by path; of one whose signature cannot be read, all that could belong to it."""
    where = place(use_case, "model", cutoff)
    try:
        names = bundle_files(artifacts.get(f"{where}/{SIGNATURE_FILE}"))
    except (ValueError, MsgspecError):
        names = tuple({*MODEL_FILES.values(), SIGNATURE_FILE} & set(artifacts.list(where)))
    return {name: artifacts.get(f"{where}/{name}") for name in names}


def scorer_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> Scorer:
    """The trained model, loaded."""
    return Scorer(bundle_of(artifacts, use_case, cutoff))


def intact_scorer_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> Scorer | None:
    """The trained model, loaded; None when its files are not those that the training left.

    A damaged text is never loaded: it can take this process with it.
    """
    bundle = bundle_of(artifacts, use_case, cutoff)
    intact = bundle_digest(bundle) == manifest_at(artifacts, use_case, cutoff).model_digest
    return Scorer(bundle) if intact else None


def manifest_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> Manifest:
    """Where the model came from."""
    return from_json(Manifest, artifacts.get(f"{place(use_case, 'model', cutoff)}/{MANIFEST}"))


def evaluation_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> Evaluation:
    """What the model showed."""
    return from_json(Evaluation, artifacts.get(f"{place(use_case, 'evaluation', cutoff)}/{EVALUATION}"))


def explanations_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> Explanations:
    """Which features move its answers."""
    return from_json(Explanations, artifacts.get(f"{place(use_case, 'explanations', cutoff)}/{EXPLANATIONS}"))
