"""The explanations of a trained model, and what moved since the champion.

Here: explanations. Belongs here: what Dagster keeps and shows of them. Does not: computing (``ml.explanations``),
drawing (``ml.explanation_plots``).
"""

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.scorers import scorer_of
from mlops_assets.assets.address import MODELS, TRAINING, key
from mlops_assets.assets.metadata import picture
from mlops_assets.assets.models.workbench import EXPLANATIONS, held_out_rows, place, scorer_at, shared
from mlops_assets.contracts import Arm, UseCase, to_json
from mlops_assets.ml.card_facts import BEESWARM, DEPENDENCE, IMPORTANCE
from mlops_assets.ml.explanation_plots import beeswarm_plot, dependence_plot, importance_plot
from mlops_assets.ml.explanations import AttributionDrift, Explanations, attribute, compared, summarize


def build_explanations(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``explanations``."""

    @dg.asset(
        **shared(use_case, "explanations"),
        deps=[key(use_case, MODELS, "model"), key(use_case, TRAINING, "training_set")],
    )
    def explanations(
        context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts], registry: dg.ResourceParam[Registry]
    ) -> dg.MaterializeResult:
        """Which features move the answers, exactly, on held-out rows; and what moved since the champion."""
        cutoff = context.partition_key
        result, pictures = explained(use_case, artifacts, registry, cutoff)
        files = {**pictures, EXPLANATIONS: to_json(result).encode()}
        artifacts.put_all(place(use_case, "explanations", cutoff), files)
        return dg.MaterializeResult(
            metadata={
                "rows": result.rows,
                "strongest": next(iter(result.mean_contribution)),
                **drift_metadata(result.drift),
                **{name.removesuffix(".png"): picture(content, name) for name, content in pictures.items()},
            }
        )

    return explanations


def explained(
    use_case: UseCase, artifacts: Artifacts, registry: Registry, cutoff: str
) -> tuple[Explanations, dict[str, bytes]]:
    """The explanations on held-out rows, beside the present champion's, and their pictures."""
    rows = held_out_rows(artifacts, use_case, cutoff)
    mine = attribute(scorer_at(artifacts, use_case, cutoff), rows)
    result = summarize(mine, use_case.slices)
    if champion := registry.by_alias(use_case.name, Arm.CHAMPION):
        theirs = attribute(scorer_of(registry, champion.name, champion.version), rows)
        result = compared(result, mine, theirs, champion.version)
    drawn = {
        IMPORTANCE: importance_plot(result),
        BEESWARM: beeswarm_plot(mine),
        DEPENDENCE: dependence_plot(mine),
    }
    return result, drawn


def drift_metadata(drift: AttributionDrift | None) -> dict[str, object]:
    """What moved since the champion, for Dagster's pages."""
    if drift is None:
        return {"attribution_drift": "no version was champion before it"}
    return {
        "attribution_drift": drift.distance,
        "attribution_drift_limit": drift.limit,
        "attribution_drifted": drift.drifted,
        "compared_with_version": drift.against_version,
        "moved": dg.MetadataValue.json({name: list(shares) for name, shares in drift.moved.items()}),
    }
