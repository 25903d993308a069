"""The evaluation of a trained model: what it showed on held-out days and in the real server, and every gate's answer.

Here: evaluation, each gate a check of its own. Belongs here: what decides whether a version may be released. Does
not: the gates (``ml.gates``), the server that is asked (``serving.probe``), what a refusal stops (``ml.releases``).

A failed gate stops the release, never the training: model and evidence are kept, the release table refuses.
"""

import dagster as dg
import pandas as pd
from pydantic import Field

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.registry import Registry
from mlops_assets.adapters.scorers import scorer_of
from mlops_assets.assets.address import MODELS, TRAINING, key
from mlops_assets.assets.metadata import picture, plain
from mlops_assets.assets.models.workbench import (
    EVALUATION,
    bundle_of,
    held_out_rows,
    intact_scorer_at,
    manifest_at,
    place,
    shared,
    training_rows,
)
from mlops_assets.contracts import Arm, Evaluation, UseCase, to_json
from mlops_assets.ml.card_facts import CALIBRATION
from mlops_assets.ml.evaluation import evaluate, with_server
from mlops_assets.ml.gates import GATES
from mlops_assets.ml.plots import calibration_plot
from mlops_assets.resources.mlflow import ExperimentTracking
from mlops_assets.serving.offline import offline_scores, rows_to_ask
from mlops_assets.serving.probe import Probe

ROWS_ASKED = 10
ATTEMPTS = 3
"""The hourly feed may write between the server's reading and ours: a real difference stays."""


class GateConfig(dg.Config):
    """How the gates of one evaluation are meant."""

    dry_run: bool = Field(
        default=False, description="Let the gates say what they find and stop nothing; stands in evaluation and card."
    )


def build_evaluation(use_case: UseCase) -> dg.AssetsDefinition:
    """The asset ``evaluation``."""
    own = shared(use_case, "evaluation")
    gates = [dg.AssetCheckSpec(name, asset=own["key"], description=text) for name, text in GATES.items()]

    @dg.asset(**own, deps=[key(use_case, MODELS, "model"), key(use_case, TRAINING, "training_set")], check_specs=gates)
    def evaluation(
        context: dg.AssetExecutionContext,
        config: GateConfig,
        artifacts: dg.ResourceParam[Artifacts],
        registry: dg.ResourceParam[Registry],
        feature_store: dg.ResourceParam[FeatureStore],
        probe: dg.ResourceParam[Probe],
        experiment_tracking: ExperimentTracking,
    ) -> dg.MaterializeResult:
        """What the model showed on held-out days, beside the champion on the same rows, and every gate's answer."""
        cutoff = context.partition_key
        held_out = held_out_rows(artifacts, use_case, cutoff)
        shown = on_held_out(use_case, artifacts, registry, cutoff, held_out)
        result = in_server(use_case, artifacts, feature_store, probe, cutoff, held_out, shown, not config.dry_run)
        calibration = calibration_plot(held_out["score"].to_numpy(), held_out[use_case.label].to_numpy())
        files = {EVALUATION: to_json(result).encode(), CALIBRATION: calibration}
        artifacts.put_all(place(use_case, "evaluation", cutoff), files)
        tracked = experiment_tracking.run(context)
        tracked.log_metrics({f"held_out_{name}": value for name, value in result.metrics.items()})
        return dg.MaterializeResult(metadata=metadata_of(result, calibration), check_results=checks_of(result))

    return evaluation


def on_held_out(
    use_case: UseCase, artifacts: Artifacts, registry: Registry, cutoff: str, held_out: pd.DataFrame
) -> Evaluation:
    """The evaluation of the model on ``held_out``, against the present champion."""
    champion = registry.by_alias(use_case.name, Arm.CHAMPION)
    released = intact_scorer_at(artifacts, use_case, cutoff)
    fitted = training_rows(artifacts, use_case, cutoff)
    fitted = fitted[fitted["day"] < held_out["day"].min()]
    return evaluate(
        held_out,
        held_out["score"].to_numpy(),
        released.score(held_out) if released else None,
        label=use_case.label,
        gates=use_case.gates,
        model_digest=manifest_at(artifacts, use_case, cutoff).model_digest,
        training_rate=float(fitted[use_case.label].mean()),
        champion_version=champion.version if champion else None,
        champion_scores=scorer_of(registry, champion.name, champion.version).score(held_out) if champion else None,
        champion_cutoff_day=champion.cutoff_day if champion else None,
        slices=use_case.slices,
    )


def in_server(
    use_case: UseCase,
    artifacts: Artifacts,
    feature_store: FeatureStore,
    probe: Probe,
    cutoff: str,
    held_out: pd.DataFrame,
    shown: Evaluation,
    enforced: bool,
) -> Evaluation:
    """The evaluation with what the real server says: ten of the rows, asked again and computed beside it."""
    scorer, bundle = intact_scorer_at(artifacts, use_case, cutoff), bundle_of(artifacts, use_case, cutoff)
    wanted = rows_to_ask(use_case, scorer.signature, held_out, ROWS_ASKED) if scorer else []
    for _ in range(ATTEMPTS):
        told = offline_scores(scorer, feature_store, wanted) if scorer else []
        # A row that lacks what its features must have gets no answer anywhere: it proves nothing.
        rows = [row for row, score in zip(wanted, told, strict=True) if score is not None]
        offline = [score for score in told if score is not None]
        answers = probe.ask(use_case, bundle, shown.model_digest, rows)
        if list(answers.scores) == offline or answers.problem:
            break
    return with_server(shown, answers, offline, use_case.gates, enforced=enforced)


def metadata_of(result: Evaluation, calibration: bytes) -> dict[str, object]:
    """What Dagster shows of an evaluation."""
    return {
        **plain(result.metrics),
        "rows": result.rows,
        "gates": "enforced" if result.enforced else "a dry run: they stop nothing",
        "intervals": dg.MetadataValue.json({name: list(ends) for name, ends in result.intervals.items()}),
        "beside_the_champion": dg.MetadataValue.json(
            {
                "version": result.champion_version,
                "rows": result.compared_rows,
                "days": result.compared_days,
                "candidate": dict(result.compared_metrics),
                "champion": dict(result.champion_metrics),
            }
        ),
        "slices": dg.MetadataValue.md(pd.DataFrame(result.slices).T.to_markdown(floatfmt=".4f")),
        "calibration": picture(calibration, "calibration"),
        "digest": result.model_digest,
    }


def checks_of(result: Evaluation) -> list[dg.AssetCheckResult]:
    """One check for each gate; in a dry run a failure is a warning."""
    severity = dg.AssetCheckSeverity.ERROR if result.enforced else dg.AssetCheckSeverity.WARN
    return [
        dg.AssetCheckResult(
            passed=bool(gate.passed),
            check_name=gate.name,
            severity=severity,
            metadata={"answer": gate.answer, "reason": gate.reason, **plain(gate.numbers)},
        )
        for gate in result.gates
    ]
