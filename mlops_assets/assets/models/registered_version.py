"""The registered version: bundle and documents in the registry, immutable, named by digest.

Here: registered_version and its first verdict of the release table. Belongs here: the way into the registry. Does
not: what serves (``assets.releases``).

Damaged bytes, or a card that does not say what the documents say, stay out: the check records why, and nothing is
registered. What the registry itself damaged, or nobody whom we trust signed, is registered and refused.
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
from msgspec import MsgspecError

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.registry import COMMIT_TAG, CUTOFF_TAG, TRAINING_SET_TAG, RegistryCorrupt
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.signatures import SignatureRefused
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.files import put_release_decision
from mlops_assets.assets.models.model_card import CARD_FILES, card_problems, source_asset
from mlops_assets.assets.models.workbench import (
    bundle_of,
    evaluation_at,
    manifest_at,
    place,
    shared,
)
from mlops_assets.assets.monitoring.alarms import without_reference
from mlops_assets.assets.releases import actor_of
from mlops_assets.contracts import (
    Arm,
    Evaluation,
    Manifest,
    ModelVersion,
    Outcome,
    ReleaseDecision,
    Step,
    UseCase,
    to_plain,
)
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.ml.card_facts import SOURCES
from mlops_assets.ml.releases import Candidate, Measured, decide_release
from mlops_assets.ml.sign_offs import missing_sign_offs
from mlops_assets.resources.mlflow import ExperimentTracking

DOCUMENTS = {**{name: source_asset(name) for name in SOURCES}, **dict.fromkeys(CARD_FILES, "model_card")}
"""File -> the asset that wrote it."""
EXACT, CURRENT = "registry_holds_the_evaluated_bytes", "card_is_current"


def build_registered_version(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``registered_version``."""
    own = shared(use_case, "registered_version")
    told = "The card is complete, and is to the last byte what its documents give when it is written again."
    checks = [
        dg.AssetCheckSpec(
            EXACT,
            asset=own["key"],
            description="Bundle and documents, at hand and read back, have the digest that was evaluated.",
        ),
        dg.AssetCheckSpec(CURRENT, asset=own["key"], description=told),
    ]

    @dg.asset(**own, deps=[key(use_case, MODELS, "model_card")], check_specs=checks, output_required=False)
    def registered_version(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        releases: dg.ResourceParam[Releases],
        experiment_tracking: ExperimentTracking,
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        """The immutable version in the registry: bundle, manifest, evaluation, card and drift reference, by digest."""
        cutoff = context.partition_key
        damaged, stale = byte_problems(artifacts, use_case, cutoff), card_problems(artifacts, use_case, cutoff)
        yield _check(CURRENT, stale)
        if damaged or stale:
            yield _check(EXACT, damaged)
            context.log.error(f"not registered: {'; '.join((*damaged, *stale))}")
            return
        manifest, result = manifest_at(artifacts, use_case, cutoff), evaluation_at(artifacts, use_case, cutoff)
        version = register(context, use_case, artifacts, releases, manifest, result)
        damaged = read_back(releases, version, result)
        yield _check(EXACT, damaged)
        verdict = first_verdict(use_case, releases, version, result, damaged)
        put_release_decision(artifacts, use_case, verdict)
        yield dg.MaterializeResult(
            metadata={
                "version": version.version,
                "digest": version.digest,
                "verdicts": dg.MetadataValue.json([{**to_plain(verdict), "cutoff_day": cutoff}]),
                "reason": verdict.reason,
                **experiment_tracking.run(context).metadata(),
            },
            data_version=dg.DataVersion(version.digest),
        )

    return registered_version


def _check(name: str, problems: tuple[str, ...]) -> dg.AssetCheckResult:
    told = dg.MetadataValue.json(list(problems))
    return dg.AssetCheckResult(
        passed=not problems, check_name=name, description="; ".join(problems) or None, metadata={"problems": told}
    )


def byte_problems(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> tuple[str, ...]:
    """Why what lies on the workbench is not what was evaluated; () when it is."""
    found = bundle_digest(bundle_of(artifacts, use_case, cutoff))
    try:
        manifest = manifest_at(artifacts, use_case, cutoff).model_digest
        evaluated = evaluation_at(artifacts, use_case, cutoff).model_digest
    except (ValueError, MsgspecError) as error:
        return (f"manifest or evaluation cannot be read: {error}",)
    if found == manifest == evaluated:
        return ()
    return (f"the bundle's digest is {found}, the manifest says {manifest}, evaluated was {evaluated}",)


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
        documents,
        result.model_digest,
        {CUTOFF_TAG: cutoff, TRAINING_SET_TAG: manifest.training_set_digest, COMMIT_TAG: manifest.code_commit},
    )
    cause = Cause(
        id=f"registered/{version.version}",
        day=cutoff,
        by=actor_of(context),
        reason=manifest.trained_because,
        evidence={"training_set_digest": manifest.training_set_digest, **result.metrics},
        dagster_run_id=context.run.run_id,
    )
    releases.announce(version.name, version.version, version.digest, cause=cause)
    return version


def read_back(releases: Releases, version: ModelVersion, result: Evaluation) -> tuple[str, ...]:
    """Why what the registry gives back is not what was evaluated; () when it is."""
    try:
        found = releases.registry.verify(version.name, version.version)
    except (RegistryCorrupt, SignatureRefused) as error:
        return (str(error),)
    return () if found == result.model_digest else (f"the registry holds {found}, evaluated was {result.model_digest}",)


def first_verdict(
    use_case: UseCase, releases: Releases, version: ModelVersion, result: Evaluation, damaged: tuple[str, ...]
) -> ReleaseDecision:
    """What the release table says of a version that just came into the registry.

    Shadow answers nobody, so the monitors need not have spoken for it: the verdict of its days in shadow asks for that.
    A first champion has nothing but its drift reference: monitors judge a champion and its traffic, and there is none.
    """
    if damaged:
        reason = f"the registry does not hold what was evaluated: {'; '.join(damaged)}"
        return ReleaseDecision(
            day=version.cutoff_day, version=version.version, step=Step.REFUSE, reason=reason, outcome=Outcome.FAIL
        )
    history = releases.promotions.all(use_case.name)
    candidate = Candidate(
        version=version.version,
        arm=None,
        days_in_arm=0,
        gates=result.gates,
        enforced=result.enforced,
        unsigned=missing_sign_offs(use_case.release.sign_off, history, version.version, version.digest),
    )
    champion = releases.promotions.arms(use_case.name).get(Arm.CHAMPION)
    armed = Measured(unarmed=without_reference(releases.registry, use_case, version.version))
    verdict = decide_release(
        version.cutoff_day, candidate, use_case.release, armed, champion=champion.version if champion else None
    )
    return replace(verdict, numbers={**verdict.numbers, **result.metrics})
