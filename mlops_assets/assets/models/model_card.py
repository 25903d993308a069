"""The model card as it is registered, and the technical documentation beside it.

Here: model_card, and whether a card is complete and still what its documents give. Belongs here: how a card becomes
an asset. Does not: what a card says (``ml.model_cards``, ``ml.annex_iv``), the card of a released version
(``assets.models.released_card``).
"""

import dagster as dg
from msgspec import MsgspecError

from mlops_assets.adapters.artifacts import ArtifactMissing, Artifacts
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.models.workbench import CARD, TECHNICAL, place, shared
from mlops_assets.contracts import UseCase
from mlops_assets.ml.annex_iv import missing_points, to_be_written, write_technical_documentation
from mlops_assets.ml.card_facts import CALIBRATION, EVALUATION, EXPLANATIONS, MANIFEST, SOURCES, TRAINING_SET, facts_of
from mlops_assets.ml.card_pages import with_pictures
from mlops_assets.ml.model_cards import missing_sections, write_card
from mlops_assets.ml.references import FACTS_FILE, SAMPLE_FILE

CARD_FILES = (CARD, TECHNICAL)
WRITTEN_BY = {
    **dict.fromkeys((MANIFEST, TRAINING_SET), "model"),
    **dict.fromkeys((EVALUATION, CALIBRATION), "evaluation"),
    **dict.fromkeys((FACTS_FILE, SAMPLE_FILE), "drift_reference"),
}
"""Source of a card -> the asset that wrote it; the rest are of ``explanations``."""


def source_asset(file: str) -> str:
    """The asset that wrote a source of the card."""
    return WRITTEN_BY.get(file, EXPLANATIONS.removesuffix(".json"))


def build_model_card(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``model_card``."""
    own = shared(use_case, "model_card")
    complete = dg.AssetCheckSpec("card_is_complete", asset=own["key"], description="Every section states its facts.")
    upstream = [key(use_case, MODELS, name) for name in ("evaluation", "explanations", "drift_reference")]

    @dg.asset(**own, deps=upstream, check_specs=[complete])
    def model_card(context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]) -> dg.MaterializeResult:
        """The model card: intended use, data, metrics, slices, explanations and limits, from recorded facts only."""
        documents = sources_at(artifacts, use_case, context.partition_key)
        card, technical = written(use_case, documents)
        files = {CARD: card.encode(), TECHNICAL: technical.encode()}
        artifacts.put_all(place(use_case, "model_card", context.partition_key), files)
        missing = [*missing_sections(card), *missing_points(technical)]
        told = dg.MetadataValue.json(missing)
        return dg.MaterializeResult(
            metadata={
                "card": dg.MetadataValue.md(with_pictures(card, documents)),
                "technical_documentation": dg.MetadataValue.md(technical),
                "points_for_a_person": to_be_written(technical),
                "digest": facts_of(use_case, documents).manifest.model_digest,
            },
            check_results=[
                dg.AssetCheckResult(passed=not missing, check_name=complete.name, metadata={"missing": told})
            ],
        )

    return model_card


def sources_at(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> dict[str, bytes]:
    """Every document that a card is written from, by file. Raises ArtifactMissing."""
    return {name: artifacts.get(f"{place(use_case, source_asset(name), cutoff)}/{name}") for name in SOURCES}


def written(use_case: UseCase, documents: dict[str, bytes]) -> tuple[str, str]:
    """Card and technical documentation of a version that is not registered yet."""
    facts = facts_of(use_case, documents)
    return write_card(facts), write_technical_documentation(facts)


def card_problems(artifacts: Artifacts, use_case: UseCase, cutoff: str) -> tuple[str, ...]:
    """Why the cards on the workbench must not be registered: incomplete, or not what their documents give now."""
    where = place(use_case, "model_card", cutoff)
    try:
        kept = {name: artifacts.get(f"{where}/{name}") for name in CARD_FILES}
        fresh = written(use_case, sources_at(artifacts, use_case, cutoff))
    except (ArtifactMissing, ValueError, MsgspecError) as error:
        return (f"a document of the card cannot be read: {error}",)
    stale = [
        f"{name} is not what its documents give now: materialize model_card again"
        for name, text in zip(CARD_FILES, fresh, strict=True)
        if kept[name] != text.encode()
    ]
    return (*stale, *(f"the card lacks {part}" for part in (*missing_sections(fresh[0]), *missing_points(fresh[1]))))
