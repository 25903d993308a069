"""The evidence about a trained model: evaluation with its gates, explanations, drift reference, card.

Here: those four assets. Belongs here: what is measured or written about the bytes before they are registered. Does
not: the bytes (``assets.models.model``), the registry.
"""

from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.scorers import scorer_of
from mlops_assets.assets.address import MODELS, TRAINING, key
from mlops_assets.assets.metadata import picture, plain
from mlops_assets.assets.models.workbench import (
    CARD,
    EVALUATION,
    EXPLANATIONS,
    evaluation_at,
    explanations_at,
    held_out_rows,
    manifest_at,
    place,
    scorer_at,
    shared,
    training_rows,
)
from mlops_assets.contracts import Arm, Evaluation, UseCase, to_json
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.evaluation import evaluate
from mlops_assets.ml.explanations import explain
from mlops_assets.ml.model_cards import CardFacts, missing_sections, write_card
from mlops_assets.ml.plots import calibration_plot, importance_plot
from mlops_assets.ml.references import fit_reference, from_files, to_files
from mlops_assets.resources.mlflow import ExperimentTracking

GATES = {
    "ranks_better_than_the_minimum": "The AUC on held-out days reaches the use case's minimum.",
    "beats_the_constant_rate": "The log-loss beats that of the constant training rate by the stated ratio.",
    "probabilities_are_calibrated": "Scores and rates agree within the stated error.",
    "released_bytes_agree": "The bytes to release score the held-out rows as well as the fit that never saw them.",
    "no_worse_than_the_champion": "On the same rows it is no worse than the champion, by day blocks.",
}


def build_evidence(use_case: UseCase) -> list[Any]:
    """The assets of evidence."""
    return [_evaluation(use_case), _explanations(use_case), _drift_reference(use_case), _model_card(use_case)]


def _upstream(use_case: UseCase) -> list[dg.AssetKey]:
    return [key(use_case, MODELS, "model"), key(use_case, TRAINING, "training_set")]


def _evaluation(use_case: UseCase) -> dg.AssetsDefinition:
    own = shared(use_case, "evaluation")
    gates = [dg.AssetCheckSpec(name, asset=own["key"], description=text) for name, text in GATES.items()]

    @dg.asset(**own, deps=_upstream(use_case), check_specs=gates)
    def evaluation(
        context: dg.AssetExecutionContext,
        artifacts: dg.ResourceParam[Artifacts],
        registry: dg.ResourceParam[Registry],
        experiment_tracking: ExperimentTracking,
    ) -> dg.MaterializeResult:
        """What the model showed on held-out days, beside the champion on the same rows, and every gate's answer."""
        cutoff = context.partition_key
        held_out = held_out_rows(artifacts, use_case, cutoff)
        result = evaluated(use_case, artifacts, registry, cutoff, held_out)
        artifacts.put(f"{place(use_case, 'evaluation', cutoff)}/{EVALUATION}", to_json(result).encode())
        tracked = experiment_tracking.run(context)
        tracked.log_metrics({f"held_out_{name}": value for name, value in result.metrics.items()})
        calibration = calibration_plot(held_out["score"].to_numpy(), held_out[use_case.label].to_numpy())
        return dg.MaterializeResult(
            metadata={
                **plain(result.metrics),
                "rows": result.rows,
                "champion": dg.MetadataValue.json(dict(result.champion_metrics)),
                "slices": dg.MetadataValue.md(pd.DataFrame(result.slices).T.to_markdown(floatfmt=".4f")),
                "calibration": picture(calibration, "calibration"),
                "digest": result.model_digest,
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=bool(gate.passed),
                    check_name=gate.name,
                    metadata={"reason": gate.reason, **plain(gate.numbers)},
                )
                for gate in result.gates
            ],
        )

    return evaluation


def evaluated(
    use_case: UseCase, artifacts: Artifacts, registry: Registry, cutoff: str, held_out: pd.DataFrame
) -> Evaluation:
    """The evaluation of the model on ``held_out``, against the present champion."""
    champion = registry.by_alias(use_case.name, Arm.CHAMPION)
    fitted = training_rows(artifacts, use_case, cutoff)
    fitted = fitted[fitted["day"] < held_out["day"].min()]
    return evaluate(
        held_out,
        held_out["score"].to_numpy(),
        scorer_at(artifacts, use_case, cutoff).score(held_out),
        label=use_case.label,
        gates=use_case.gates,
        model_digest=manifest_at(artifacts, use_case, cutoff).model_digest,
        training_rate=float(fitted[use_case.label].mean()),
        champion_version=champion.version if champion else None,
        champion_scores=scorer_of(registry, champion.name, champion.version).score(held_out) if champion else None,
        champion_cutoff_day=champion.cutoff_day if champion else None,
        slice_columns=use_case.slices,
    )


def _explanations(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(**shared(use_case, "explanations"), deps=_upstream(use_case))
    def explanations(context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]) -> dg.MaterializeResult:
        """Which features move the answers, by exact contributions on held-out rows."""
        cutoff = context.partition_key
        result = explain(scorer_at(artifacts, use_case, cutoff), held_out_rows(artifacts, use_case, cutoff))
        artifacts.put(f"{place(use_case, 'explanations', cutoff)}/{EXPLANATIONS}", to_json(result).encode())
        return dg.MaterializeResult(
            metadata={
                "rows": result.rows,
                "strongest": next(iter(result.mean_contribution)),
                "picture": picture(importance_plot(result), "mean contribution of each feature"),
            }
        )

    return explanations


def _drift_reference(use_case: UseCase) -> dg.AssetsDefinition:
    @dg.asset(**shared(use_case, "drift_reference"), deps=_upstream(use_case))
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
        )
        artifacts.put_all(place(use_case, "drift_reference", cutoff), to_files(reference))
        return dg.MaterializeResult(
            metadata={"drift_limit": reference.facts.inputs.limit, "sample_rows": len(reference.sample)}
        )

    return drift_reference


def _model_card(use_case: UseCase) -> dg.AssetsDefinition:
    own = shared(use_case, "model_card")
    complete = dg.AssetCheckSpec("card_is_complete", asset=own["key"], description="Every section states its facts.")
    upstream = [key(use_case, MODELS, name) for name in ("evaluation", "explanations", "drift_reference")]

    @dg.asset(**own, deps=upstream, check_specs=[complete])
    def model_card(context: dg.AssetExecutionContext, artifacts: dg.ResourceParam[Artifacts]) -> dg.MaterializeResult:
        """The model card: intended use, data, metrics, slices, explanations and limits, from recorded facts only."""
        cutoff = context.partition_key
        facts = CardFacts(
            use_case=use_case,
            manifest=manifest_at(artifacts, use_case, cutoff),
            evaluation=evaluation_at(artifacts, use_case, cutoff),
            explanations=explanations_at(artifacts, use_case, cutoff),
            drift_limit=from_files(artifacts.get_all(place(use_case, "drift_reference", cutoff))).facts.inputs.limit,
        )
        card = write_card(facts)
        artifacts.put(f"{place(use_case, 'model_card', cutoff)}/{CARD}", card.encode())
        missing = missing_sections(card)
        check = dg.AssetCheckResult(
            passed=not missing, check_name=complete.name, metadata={"missing": dg.MetadataValue.json(list(missing))}
        )
        return dg.MaterializeResult(
            metadata={"card": dg.MetadataValue.md(card), "digest": facts.manifest.model_digest}, check_results=[check]
        )

    return model_card
