"""The drift reference of a trained model.

Here: drift_reference. Belongs here: fixing, at training time, what monitoring will compare with. Does not: fitting it
(``ml.references``), judging a day (``assets.monitoring``).
"""

from dataclasses import replace

import dagster as dg

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.assets.address import MODELS, TRAINING, key
from mlops_assets.assets.models.workbench import held_out_rows, place, scorer_at, shared, training_rows
from mlops_assets.contracts import UseCase
from mlops_assets.ml.attribution_reference import fit_attributions
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.feature_contract import keys_of
from mlops_assets.ml.references import fit_reference, to_files


def build_drift_reference(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``drift_reference``."""

    @dg.asset(
        **shared(use_case, "drift_reference"),
        deps=[key(use_case, MODELS, "model"), key(use_case, TRAINING, "training_set")],
    )
    def drift_reference(
        context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]
    ) -> dg.MaterializeResult:
        """What clean days look like to this model: the sample and the thresholds that monitoring compares with."""
        cutoff = context.partition_key
        scorer, frame = scorer_at(artifacts, use_case, cutoff), training_rows(artifacts, use_case, cutoff)
        reference = fit_reference(
            frame,
            scorer.score(frame),
            held_out_rows(artifacts, use_case, cutoff),
            scorer.signature.features,
            label=use_case.label,
            entity_id=use_case.entity_id,
            engine=drift_engine(use_case.monitoring.drift_engine),
            keys=keys_of([(v.name, v.join_key, v.features) for v in scorer.signature.views], list(frame)),
        )
        attributions = fit_attributions(scorer, frame)
        reference = replace(reference, facts=replace(reference.facts, attributions=attributions))
        artifacts.put_all(place(use_case, "drift_reference", cutoff), to_files(reference))
        return dg.MaterializeResult(
            metadata={
                "drift_limit": reference.facts.inputs.limit,
                "attribution_limit": attributions.limit,
                "sample_rows": len(reference.sample),
            }
        )

    return drift_reference
