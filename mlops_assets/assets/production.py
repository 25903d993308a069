"""Production: the version that was handed over to production's registry, exactly as it answers here.

Here: transferred_version, by cut-off day of the version. Belongs here: what crosses to another environment. Does not:
how it crosses (``adapters.transfers``), making it answer there: production runs the same releases on its own registry.

Nothing triggers it: handing over is asked for, in the UI, by the job, or with ``mlops transfer``.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.transfers import transfer
from mlops_assets.assets.address import PRODUCTION, RELEASES, group, key
from mlops_assets.assets.partitions import calendar
from mlops_assets.assets.releases import actor_of, version_of
from mlops_assets.contracts import Arm, Evaluation, ModelVersion, Transition, UseCase, from_json
from mlops_assets.ml.sign_offs import require_sign_offs


class TransferConfig(dg.Config):
    """Which version is handed over."""

    version: int = Field(default=0, ge=0, description="Registered version; 0 is the newest of the cut-off day.")
    digest: str = Field(default="", description="The digest it must have; empty: the one that answers here.")


def build_production(use_case: UseCase) -> list[Any]:
    """The production assets of a use case."""
    return [_transferred_version(use_case)]


def _transferred_version(use_case: UseCase) -> dg.AssetsDefinition:
    address = key(use_case, PRODUCTION, "transferred_version")
    exact = dg.AssetCheckSpec(
        "production_holds_the_evaluated_bytes",
        asset=address,
        description="Read back from production's registry, bundle and documents are the ones that were evaluated here.",
    )

    @dg.asset(
        key=address,
        group_name=group(use_case, PRODUCTION),
        partitions_def=calendar(use_case.domain),
        deps=[key(use_case, RELEASES, "champion")],
        check_specs=[exact],
    )
    def transferred_version(
        context: dg.AssetExecutionContext,
        config: TransferConfig,
        releases: dg.ResourceParam[Releases],
        production: dg.ResourceParam[Registry],
    ) -> dg.MaterializeResult:
        """The champion in production's registry: the same bundle, documents and signature, by digest."""
        version = version_of(releases.registry, use_case, context.partition_key, config.version)
        champion = champion_of(releases, version)
        wanted = config.digest or champion.digest
        history = releases.promotions.all(version.name)
        require_sign_offs(use_case.release.sign_off, history, version.version, wanted)
        arrived = transfer(releases.registry, production, version.name, version.version, wanted)
        releases.announce(
            version.name, version.version, wanted, cause=cause_of(context, production, arrived), kind="transferred"
        )
        document = production.document(version.name, arrived.version, "evaluation.json")
        told = {"evaluated": from_json(Evaluation, document).model_digest, "production": arrived.digest}
        check = dg.AssetCheckResult(passed=len({*told.values(), wanted}) == 1, check_name=exact.name, metadata=told)
        return dg.MaterializeResult(
            metadata={
                "version": version.version,
                "digest": wanted,
                "production_version": arrived.version,
                "production_registry": production.address,
            },
            data_version=dg.DataVersion(wanted),
            check_results=[check],
        )

    return transferred_version


def champion_of(releases: Releases, version: ModelVersion) -> Transition:
    """The line that made the version champion. Raises dg.Failure for a version that does not answer here now."""
    held = releases.promotions.arms(version.name).get(Arm.CHAMPION)
    if held is None or held.version != version.version:
        present = f"version {held.version} is" if held else "nobody is"
        raise dg.Failure(
            f"version {version.version} is not champion here ({present}): production gets what proved itself. To hand "
            "another version over, on record, use `mlops transfer`"
        )
    return held


def cause_of(context: dg.AssetExecutionContext, production: Registry, arrived: ModelVersion) -> Cause:
    """Why the version was handed over, as the history will tell it."""
    return Cause(
        id=f"transfer/{production.address}/{arrived.version}",
        day=context.partition_key,
        by=actor_of(context),
        reason=f"handed over to {production.address} as version {arrived.version}",
        evidence={"registry": production.address, "version": arrived.version, "digest": arrived.digest},
        dagster_run_id=context.run.run_id,
    )
