"""The trained model of a cut-off day, as an immutable bundle with its manifest.

Here: model, and the knobs of one training. Belongs here: what decides the bytes. Does not: evidence about them
(``assets.models.evidence``).
"""

from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.feature_store import FeatureStore, Inputs
from mlops_assets.adapters.provenance import read_provenance
from mlops_assets.adapters.registry import utc_now
from mlops_assets.assets.address import TRAINING, key
from mlops_assets.assets.files import folder
from mlops_assets.assets.metadata import picture
from mlops_assets.assets.models.workbench import HELD_OUT, MANIFEST, place, shared, training_rows
from mlops_assets.contracts import Manifest, TableVersion, UseCase, from_json, to_json
from mlops_assets.ml.bundles import bundle_digest, digest_of
from mlops_assets.ml.models import TrainedModel, invert_labels, make_bundle, train
from mlops_assets.ml.plots import training_plot
from mlops_assets.ml.training import freeze
from mlops_assets.resources.mlflow import ExperimentTracking, TrackedRun

INVERSION_SEED = 13
LOSS_EVERY = 25
"""Every 25th round of the learning curve goes to MLflow: each is a request, and the curve is smooth."""


class TrainingConfig(dg.Config):
    """Knobs of one training; the rest are facts of the use case."""

    because: str = Field(default="on demand", description="Why this model is trained; stands in manifest and card.")
    rounds: int = Field(default=0, ge=0, description="Most boosting rounds; 0 is the use case's own number.")
    threads: int = Field(default=0, ge=0, description="Threads; 0 is all cores. The bytes do not depend on it.")
    invert_label_share: float = Field(
        default=0.0, ge=0.0, le=1.0, description="For drills only: share of the training labels to invert."
    )


def build_model(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``model``."""

    @dg.asset(**shared(use_case, "model"), deps=[key(use_case, TRAINING, "training_set")])
    def model(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        artifacts: dg.ResourceParam[Artifacts],
        feature_store: dg.ResourceParam[FeatureStore],
        experiment_tracking: ExperimentTracking,
    ) -> dg.MaterializeResult:
        """The trained model as a bundle: its text, what it eats in which order, and golden rows that prove a copy."""
        cutoff, where = context.partition_key, place(use_case, "model", context.partition_key)
        inputs = feature_store.inputs(use_case.feature_service)
        trained = fit(use_case, config, inputs, training_rows(artifacts, use_case, cutoff))
        bundle = bundle_from(use_case, inputs, trained)
        tracked = experiment_tracking.run(context)
        log(tracked, trained, cutoff)
        manifest = manifest_of(use_case, config, artifacts, inputs, trained, bundle, context.run_id, tracked.run_id)
        held_out, _ = freeze(trained.held_out)
        artifacts.put_all(where, {**bundle, MANIFEST: to_json(manifest).encode(), HELD_OUT: held_out})
        curve = training_plot(trained.validation_log_loss, trained.trees)
        return dg.MaterializeResult(
            metadata={
                "digest": manifest.model_digest,
                "trees": trained.trees,
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


def fit(use_case: UseCase, config: TrainingConfig, inputs: Inputs, frame: Any) -> TrainedModel:
    """Train as the use case says, with this run's knobs."""
    rows = invert_labels(frame, use_case.label, config.invert_label_share, INVERSION_SEED)
    training = replace(use_case.training, rounds=config.rounds or use_case.training.rounds)
    return train(
        rows, training, inputs.features, label=use_case.label, entity_id=use_case.entity_id, threads=config.threads
    )


def bundle_from(use_case: UseCase, inputs: Inputs, trained: TrainedModel) -> dict[str, bytes]:
    """The files of the version."""
    return make_bundle(
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


def log(tracked: TrackedRun, trained: TrainedModel, cutoff: str) -> None:
    """Parameters and learning curve, for MLflow."""
    tracked.log_params({**trained.params, "cutoff_day": cutoff})
    for step, loss in list(enumerate(trained.validation_log_loss))[::LOSS_EVERY]:
        tracked.log_metrics({"validation_log_loss": loss}, step=step)


def manifest_of(
    use_case: UseCase,
    config: TrainingConfig,
    artifacts: Artifacts,
    inputs: Inputs,
    trained: TrainedModel,
    bundle: dict[str, bytes],
    dagster_run_id: str,
    mlflow_run_id: str,
) -> Manifest:
    """Everything that made these bytes."""
    source = folder(use_case, TRAINING, "training_set", trained.cutoff_day)
    code = read_provenance()
    fault = f"{config.invert_label_share:.0%} of the labels inverted" if config.invert_label_share else None
    return Manifest(
        use_case=use_case.name,
        cutoff_day=trained.cutoff_day,
        window_first_day=trained.window_first_day,
        validation_first_day=trained.validation_first_day,
        code_commit=code.code_commit,
        code_dirty=code.code_dirty,
        lock_digest=code.lock_digest,
        feature_service=use_case.feature_service,
        feature_service_digest=inputs.digest,
        training_set_digest=digest_of(artifacts.get(f"{source}/rows.parquet")),
        training_rows=trained.rows,
        tables=from_json(tuple[TableVersion, ...], artifacts.get(f"{source}/tables.json")),
        params=trained.params,
        model_digest=bundle_digest(bundle),
        dagster_run_id=dagster_run_id,
        mlflow_run_id=mlflow_run_id,
        created_at=utc_now(),
        trained_because=config.because,
        fault_injected=fault,
    )
