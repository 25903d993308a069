"""The card of a released version: the registered card written again with what happened to the version since.

Here: released_card, and the check that it still tells the whole story. Belongs here: the card after registration.
Does not: the registered card (``assets.models.model_card``), which never changes: its digest stands in this one.
"""

import dagster as dg

from mlops_assets.adapters.artifacts import ArtifactMissing, Artifacts
from mlops_assets.adapters.releases import Releases
from mlops_assets.adapters.version_cards import version_facts
from mlops_assets.assets.address import MODELS, RELEASES, key
from mlops_assets.assets.models.workbench import CARD, TECHNICAL, place, shared
from mlops_assets.assets.releases import version_of
from mlops_assets.contracts import UseCase
from mlops_assets.ml.annex_iv import to_be_written, write_technical_documentation
from mlops_assets.ml.card_pages import page, with_pictures
from mlops_assets.ml.model_cards import missing_sections, write_card

PAGE = "card.html"


def build_released_card(use_case: UseCase) -> list[dg.AssetsDefinition]:
    """The asset ``released_card`` and its check."""
    return [_released_card(use_case), _tells_the_whole_story(use_case)]


def _released_card(use_case: UseCase) -> dg.AssetsDefinition:
    own = shared(use_case, "released_card")
    upstream = [key(use_case, MODELS, "registered_version"), key(use_case, RELEASES, "champion")]

    @dg.asset(**own, deps=upstream)
    def released_card(
        context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts], releases: dg.ResourceParam[Releases]
    ) -> dg.MaterializeResult:
        """The model card with how the version was released, signed and retired, from the promotion history of now."""
        cutoff = context.partition_key
        version = version_of(releases.registry, use_case, cutoff)
        facts, documents = version_facts(releases.registry, releases.promotions, use_case, version.version)
        card, technical = write_card(facts), write_technical_documentation(facts)
        html = page(card, documents)
        files = {CARD: card.encode(), TECHNICAL: technical.encode(), PAGE: html.encode()}
        artifacts.put_all(place(use_case, "released_card", cutoff), files)
        return dg.MaterializeResult(
            metadata={
                "version": version.version,
                "digest": version.digest,
                "registered_card": facts.documents[CARD],
                "card": dg.MetadataValue.md(with_pictures(card, documents)),
                "technical_documentation": dg.MetadataValue.md(technical),
                "points_for_a_person": to_be_written(technical),
            }
        )

    return released_card


def _tells_the_whole_story(use_case: UseCase) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=key(use_case, MODELS, "released_card"),
        name="card_tells_the_whole_story",
        description="The newest released card is complete, and is what documents and history give now.",
    )
    def card_tells_the_whole_story(
        artifacts: dg.ResourceParam[Artifacts], releases: dg.ResourceParam[Releases]
    ) -> dg.AssetCheckResult:
        versions = releases.registry.versions(use_case.name)
        problems = [p for v in versions for p in stale(use_case, artifacts, releases, v.version, v.cutoff_day)]
        return dg.AssetCheckResult(
            passed=not problems,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(problems) or None,
            metadata={"problems": dg.MetadataValue.json(problems)},
        )

    return card_tells_the_whole_story


def stale(use_case: UseCase, artifacts: Artifacts, releases: Releases, version: int, cutoff: str) -> list[str]:
    """Why the released card of a version must be written again; [] when it need not, or was never written."""
    newest = version_of(releases.registry, use_case, cutoff).version
    try:
        kept = artifacts.get(f"{place(use_case, 'released_card', cutoff)}/{CARD}").decode()
    except ArtifactMissing:
        return []
    if version != newest:
        return []
    facts, _ = version_facts(releases.registry, releases.promotions, use_case, version)
    moved = [] if kept == write_card(facts) else ["its facts or its history moved since: materialize released_card"]
    lacking = [f"it lacks {part}" for part in missing_sections(kept)]
    return [f"card of version {version} ({cutoff}): {problem}" for problem in (*moved, *lacking)]
