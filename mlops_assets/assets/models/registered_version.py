"""The registered version: bundle and documents in the registry, immutable, named by digest.

Here: registered_version and its first verdict of the release table. Belongs here: the way into the registry. Does
not: what serves (``assets.releases``).
"""

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.files import put_release_decision
from mlops_assets.assets.models.workbench import (
    CARD,
    EVALUATION,
    EXPLANATIONS,
    MANIFEST,
    TRAINING_SET,
    bundle_of,
    evaluation_at,
    manifest_at,
    place,
    shared,
)
from mlops_assets.assets.releases import actor_of
from mlops_assets.contracts import Arm, Evaluation, Manifest, ModelVersion, ReleaseDecision, UseCase, to_plain
from mlops_assets.ml.releases import Candidate, decide_release
from mlops_assets.resources.mlflow import ExperimentTracking

DOCUMENTS = {
    MANIFEST: "model",
    TRAINING_SET: "model",
    EVALUATION: "evaluation",
    EXPLANATIONS: "explanations",
    CARD: "model_card",
}
"""File -> the asset that wrote it."""


def build_registered_version(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``registered_version``."""
    own = shared(use_case, "registered_version")
    exact = dg.AssetCheckSpec(
        "registry_holds_the_evaluated_bytes",
        asset=own["key"],
        description="Bundle and documents read back from the registry have the digest that was evaluated.",
    )

    @dg.asset(**own, deps=[key(use_case, MODELS, "model_card")], check_specs=[exact])
    def registered_version(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        experiment_tracking: ExperimentTracking,
    ) -> dg.MaterializeResult:
        """The immutable version in the registry: bundle, manifest, evaluation, card and drift reference, by digest."""
        cutoff = context.partition_key
        manifest, result = manifest_at(artifacts, use_case, cutoff), evaluation_at(artifacts, use_case, cutoff)
        version = register(context, use_case, artifacts, releases, manifest, result)
        verdict = first_verdict(use_case, releases, version, result)
        put_release_decision(artifacts, use_case, verdict)
        read_back = releases.registry.verify(version.name, version.version)
        check = dg.AssetCheckResult(
            passed=read_back == result.model_digest == manifest.model_digest,
            check_name=exact.name,
            metadata={"evaluated": result.model_digest, "read_back": read_back},
        )
        return dg.MaterializeResult(
            metadata={
                "version": version.version,
                "digest": version.digest,
                "verdicts": dg.MetadataValue.json([{**to_plain(verdict), "cutoff_day": cutoff}]),
                "reason": verdict.reason,
                **experiment_tracking.run(context).metadata(),
            },
            data_version=dg.DataVersion(version.digest),
            check_results=[check],
        )

    return registered_version


def register(
    context: dg.AssetExecutionContext,
    use_case: UseCase,
    artifacts: Artifacts,
    releases: Releases,
    manifest: Manifest,
    result: Evaluation,
) -> ModelVersion:
    """Put the bytes that were evaluated into the registry, and a line into the history."""
    cutoff = manifest.cutoff_day
    documents = {file: artifacts.get(f"{place(use_case, name, cutoff)}/{file}") for file, name in DOCUMENTS.items()}
    version = releases.registry.register(
        use_case.name,
        manifest.mlflow_run_id,
        bundle_of(artifacts, use_case, cutoff),
        {**documents, **artifacts.get_all(place(use_case, "drift_reference", cutoff))},
        result.model_digest,
        {"cutoff_day": cutoff, "training_set_digest": manifest.training_set_digest},
    )
    cause = Cause(
        id=f"registered/{version.version}",
        day=cutoff,
        by=actor_of(context),
        reason=manifest.trained_because,
        evidence={"training_set_digest": manifest.training_set_digest, **result.metrics},
        dagster_run_id=context.run_id,
    )
    releases.announce(version.name, version.version, version.digest, cause=cause)
    return version


def first_verdict(use_case: UseCase, releases: Releases, version: ModelVersion, result: Evaluation) -> ReleaseDecision:
    """What the release table says of a version that just came into the registry.

    Shadow answers nobody, so no alarm needs to be armed for it: the verdict of its days in shadow asks for that.
    """
    candidate = Candidate(version=version.version, arm=None, days_in_arm=0, gates=result.gates)
    has_champion = Arm.CHAMPION in releases.promotions.arms(use_case.name)
    return decide_release(
        version.cutoff_day, candidate, use_case.release, has_champion=has_champion, alarms_armed=True, paired=None
    )
