"""The trained model of a cut-off day, as an immutable bundle with its manifest.

Here: model, and the knobs of one training. Belongs here: what decides the bytes. Does not: evidence about them
(``assets.models.evaluation`` and its neighbours).
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.provenance import read_provenance
from mlops_assets.adapters.registry import utc_now
from mlops_assets.assets.address import MODELS, TRAINING, key
from mlops_assets.assets.files import training_set_of
from mlops_assets.assets.metadata import picture
from mlops_assets.assets.models.parameter_study import facts_of_family, found_at
from mlops_assets.assets.models.workbench import HELD_OUT, MANIFEST, TRAINING_SET, place, shared
from mlops_assets.contracts import Manifest, Training, TrainingSetManifest, UseCase, to_json
from mlops_assets.ml.bundles import Inputs, bundle_digest
from mlops_assets.ml.fitting import fit_bundle, fitted_columns
from mlops_assets.ml.models import TrainedModel
from mlops_assets.ml.plots import training_plot
from mlops_assets.ml.training import freeze, thaw
from mlops_assets.resources.mlflow import ExperimentTracking, TrackedRun

LOSS_EVERY = 25
"""Every 25th round of the learning curve goes to MLflow: each is a request, and the curve is smooth."""


class TrainingConfig(dg.Config):
    """Knobs of one training; the rest are facts of the use case."""

    because: str = Field(default="on demand", description="Why this model is trained; stands in manifest and card.")
    family: str = Field(default="", description="lightgbm or logistic; empty is the use case's own.")
    params: dict[str, float] = Field(
        default={}, description="Parameters of the family by name; they replace the use case's and a study's."
    )
    rounds: int = Field(default=0, ge=0, description="Most boosting rounds; 0 is the use case's own number.")
    validation_days: int = Field(
        default=0, ge=0, description="Last days held out, in time order; 0 is the use case's own number."
    )
    calibration: str = Field(
        default="", description="identity, platt, beta or isotonic; empty is the use case's own. Costs four more fits."
    )
    threads: int = Field(default=0, ge=0, description="Threads; 0 is all cores. The bytes do not depend on it.")
    invert_label_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="For drills only: share of the training labels to invert."
    )


def build_model(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``model``."""

    @dg.asset(
        **shared(use_case, "model"),
        deps=[key(use_case, TRAINING, "training_set"), key(use_case, MODELS, "parameter_study")],
    )
    def model(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        artifacts: dg.ResourceParam[Artifacts],
        feature_store: dg.ResourceParam[FeatureStore],
        experiment_tracking: ExperimentTracking,
    ) -> dg.MaterializeResult:
        """The trained model as a bundle: its file, what it eats in which order, and golden rows that prove a copy."""
        cutoff, where = context.partition_key, place(use_case, "model", context.partition_key)
        frozen, rows = training_set_of(artifacts, use_case, cutoff)
        training = facts_of(use_case, config, found_at(artifacts, use_case, frozen, config.family))
        inputs = inputs_as_frozen(feature_store, frozen)
        frame, fault = thaw(rows, fitted_columns(use_case, inputs)), config.invert_label_share
        trained, bundle = fit_bundle(
            frame, use_case, training, inputs, invert_label_share=fault, threads=config.threads
        )
        tracked = experiment_tracking.run(context)
        log(tracked, trained, cutoff)
        manifest = manifest_of(
            config, training, frozen, trained, bundle_digest(bundle), context.run.run_id, tracked.run_id
        )
        documents = {MANIFEST: to_json(manifest).encode(), TRAINING_SET: to_json(frozen).encode()}
        artifacts.put_all(where, {**bundle, **documents, HELD_OUT: freeze(trained.held_out)[0]})
        curve = training_plot(trained.validation_log_loss, trained.trees)
        return dg.MaterializeResult(
            metadata={
                "digest": manifest.model_digest,
                "family": training.family,
                "trees": trained.trees,
                "calibrator": trained.calibrator.method,
                "params": dg.MetadataValue.json(dict(trained.params)),
                "training_rate": trained.training_rate,
                "rows": trained.rows,
                "validation_log_loss": float(min(trained.validation_log_loss)),
                "because": config.because,
                "learning_curve": picture(curve, "learning curve"),
                **tracked.metadata(),
            },
            data_version=dg.DataVersion(manifest.model_digest),
        )

    return model


def facts_of(use_case: UseCase, config: TrainingConfig, found: Mapping[str, Any] = MappingProxyType({})) -> Training:
    """The use case's facts of training, with what a study found and this run's knobs."""
    own = facts_of_family(use_case, config.family)
    return replace(
        own,
        params={**own.params, **found, **whole_numbers(config.params)},
        rounds=config.rounds or own.rounds,
        validation_days=config.validation_days or own.validation_days,
        calibration=config.calibration or own.calibration,
    )


def whole_numbers(params: Mapping[str, float]) -> dict[str, float | int]:
    """The launchpad knows numbers only; LightGBM tells 31 from 31.0."""
    return {name: int(value) if value.is_integer() else value for name, value in params.items()}


def inputs_as_frozen(feature_store: FeatureStore, frozen: TrainingSetManifest) -> Inputs:
    """What the model is fed with. Raises Failure when the definitions are not those that the rows were joined by."""
    inputs = feature_store.inputs(frozen.feature_service)
    if inputs.digest != frozen.feature_service_digest:
        raise dg.Failure(
            f"the training set of {frozen.cutoff_day} was frozen under other definitions of {frozen.feature_service} "
            f"({frozen.feature_service_digest[:16]}) than the repo has now ({inputs.digest[:16]}): materialize it again"
        )
    return inputs


def log(tracked: TrackedRun, trained: TrainedModel, cutoff: str) -> None:
    """Parameters and learning curve, for MLflow."""
    tracked.log_params({**trained.params, "cutoff_day": cutoff})
    for step, loss in list(enumerate(trained.validation_log_loss))[::LOSS_EVERY]:
        tracked.log_metrics({"validation_log_loss": loss}, step=step)


def manifest_of(
    config: TrainingConfig,
    training: Training,
    frozen: TrainingSetManifest,
    trained: TrainedModel,
    digest: str,
    dagster_run_id: str,
    mlflow_run_id: str,
) -> Manifest:
    """Everything that made these bytes."""
    code = read_provenance()
    fault = f"{config.invert_label_share:.0%} of the labels inverted" if config.invert_label_share else None
    return Manifest(
        use_case=frozen.use_case,
        cutoff_day=trained.cutoff_day,
        window_first_day=trained.window_first_day,
        validation_first_day=trained.validation_first_day,
        code_commit=code.code_commit,
        code_dirty=code.code_dirty,
        lock_digest=code.lock_digest,
        feature_service=frozen.feature_service,
        feature_service_digest=frozen.feature_service_digest,
        training_set_digest=frozen.digest,
        training_rows=trained.rows,
        tables=frozen.tables,
        params=trained.params,
        model_digest=digest,
        dagster_run_id=dagster_run_id,
        mlflow_run_id=mlflow_run_id,
        created_at=utc_now(),
        trained_because=config.because,
        fault_injected=fault,
        training=training,
        training_config=config.model_dump(),
        packages=code.versions,
    )
