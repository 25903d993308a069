"""The search for parameters on a training set: off unless one run asks for it.

Here: parameter_study, its knobs, and what of it the model takes. Belongs here: how Dagster shows a study. Does not: the
search (``ml.parameter_search``), training with what it found (``assets.models.model``).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from mlops_assets.adapters.artifacts import ArtifactMissing, Artifacts
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.studies import Studies
from mlops_assets.assets.address import TRAINING, key
from mlops_assets.assets.files import training_set_of
from mlops_assets.assets.models.workbench import place, shared
from mlops_assets.contracts import ParameterStudy, Training, TrainingSetManifest, UseCase, from_json, to_json
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.families import family_of
from mlops_assets.ml.parameter_search import search
from mlops_assets.ml.training import thaw

STUDY = "study.json"


class StudyConfig(dg.Config):
    """Knobs of one search."""

    trials: int = Field(
        default=0, ge=0, description="Sets of parameters to try, the present one included; 0 switches the search off."
    )
    folds: int = Field(default=3, ge=1, description="Folds in time order, each as long as the held-out days.")
    seed: int = Field(default=7, ge=0, description="The same seed and rows give the same study.")
    family: str = Field(default="", description="lightgbm or logistic; empty is the use case's own.")
    threads: int = Field(default=0, ge=0, description="Threads; 0 is all cores. The study does not depend on it.")


def build_parameter_study(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``parameter_study``."""

    @dg.asset(**shared(use_case, "parameter_study"), deps=[key(use_case, TRAINING, "training_set")])
    def parameter_study(
        context: dg.AssetExecutionContext,
        config: StudyConfig,
        artifacts: dg.ResourceParam[Artifacts],
        feature_store: dg.ResourceParam[FeatureStore],
        studies: dg.ResourceParam[Studies],
    ) -> dg.MaterializeResult:
        """Which parameters were tried on this training set, fold by fold in time order, and which the model takes."""
        frozen, rows = training_set_of(artifacts, use_case, context.partition_key)
        study = ParameterStudy(
            family=config.family or use_case.training.family,
            training_set_digest=frozen.digest,
            seed=config.seed,
            fold_first_days=(),
        )
        if config.trials:
            with studies.open(use_case.name) as storage:
                features = feature_store.inputs(use_case.feature_service).features
                study = searched(use_case, config, storage, thaw(rows), features, frozen.digest)
        content = to_json(study).encode()
        artifacts.put(f"{place(use_case, 'parameter_study', context.partition_key)}/{STUDY}", content)
        return dg.MaterializeResult(metadata=shown(study), data_version=dg.DataVersion(digest_of(content)))

    return parameter_study


def searched(
    use_case: UseCase, config: StudyConfig, storage: Any, frame: pd.DataFrame, features: Any, digest: str
) -> ParameterStudy:
    """The study that this run asks for."""
    return search(
        storage,
        frame,
        facts_of_family(use_case, config.family),
        features,
        trials=config.trials,
        folds=config.folds,
        seed=config.seed,
        label=use_case.label,
        training_set_digest=digest,
        threads=config.threads,
    )


def facts_of_family(use_case: UseCase, family: str) -> Training:
    """The use case's facts of training, for a family (empty: its own) whose parameters it may not have."""
    own = use_case.training
    chosen = family_of(family or own.family)
    return own if chosen.name == own.family else replace(own, family=chosen.name, params=chosen.defaults)


def shown(study: ParameterStudy) -> dict[str, Any]:
    """The study in Dagster: what was found, and every trial."""
    if not study.trials:
        return {"trials": 0, "found": "no search was asked for: the use case's own parameters"}
    rows = [
        {
            "loss": trial.loss,
            "ended": "pruned" if trial.pruned else "complete",
            "folds": len(trial.losses),
            **trial.params,
        }
        for trial in study.trials
    ]
    best = min(trial.loss for trial in study.trials if not trial.pruned)
    return {
        "trials": len(rows),
        "pruned": sum(trial.pruned for trial in study.trials),
        "own_loss": study.trials[0].loss,
        "best_loss": best,
        "found": dg.MetadataValue.json(dict(study.params)),
        "folds": ", ".join(study.fold_first_days),
        "study": dg.MetadataValue.md(pd.DataFrame(rows).to_markdown(floatfmt=".5g")),
    }


def found_at(artifacts: Artifacts, use_case: UseCase, frozen: TrainingSetManifest, family: str) -> Mapping[str, Any]:
    """The parameters that the study of a cut-off day found for a family (empty: the use case's own); {} without one.

    Raises Failure when the study looked at other rows than the training set has now.
    """
    try:
        content = artifacts.get(f"{place(use_case, 'parameter_study', frozen.cutoff_day)}/{STUDY}")
    except ArtifactMissing:
        return {}
    study = from_json(ParameterStudy, content)
    if not study.params or study.family != (family or use_case.training.family):
        return {}
    if study.training_set_digest != frozen.digest:
        raise dg.Failure(
            f"the parameter study of {frozen.cutoff_day} was made on another training set "
            f"({study.training_set_digest[:16]}, now {frozen.digest[:16]}): materialize parameter_study again"
        )
    return study.params
