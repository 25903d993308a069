"""``make bench-model``: out of time, month by month, beside peers; and what training through the graph costs.

Here: which figures are taken and what they are compared with. Does not belong here: the rows
(``benchmarks.model_data``), the candidates (``benchmarks.model_scores``), the stopwatch (``benchmarks.model_cost``).
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.model_cost import cost
from benchmarks.model_data import LAST, USE_CASE, Graph
from benchmarks.model_scores import CALIBRATED, SEARCHED, SHIPPED, Scored, scores_of, searched
from benchmarks.report import Row, write
from mlops_assets.contracts import ParameterStudy
from mlops_assets.ml.day_blocks import paired_difference
from mlops_assets.ml.metrics import log_losses, summary

METRICS = ("auc", "log_loss", "brier", "calibration_error")
LEAST_AUC, MOST_LOG_LOSS = 0.757, 0.471
TEXT = """
Out of time: at the end of each month from March on, a model is trained on all data so far (the training set of that
cut-off day: decisions whose flight had landed) and answers every decision of the next month. The rows come from the
graph itself: datasets, features and the point-in-time join of the shipped definitions, in a folder of the benchmark.

- **{shipped}**: the use case as it ships, by the function that the asset `model` calls.
- **{searched}**: the same, with parameters that the asset `parameter_study`'s search found on the training set of 30
  June: {trials} trials ({pruned} given up early) on {folds} folds of {days} days from {first_fold} on. Its figures from
  July on saw nothing that was chosen later; those of April to June are in its sample.
- **constant rate**: the late rate of the training rows. **logistic**: the second model family (scikit-learn, kept as
  ONNX). **LightGBM with defaults**: nothing set but the objective; native categories, 100 trees, no early stopping.
- **with platt / beta / isotonic**: the shipped model through a calibrator that `calibration=` fits: on scores of five
  blocks of {days} days, each by a fit that had seen only earlier days.
- Intervals are those of the mean difference in log-loss to the shipped model on the same rows, by day blocks.
- A month's calibration error uses ten bins of equal mass. Pooled figures take all rows of the months together; their
  AUC also rewards knowing which month is a late one, so the mean of the months' AUCs is told apart.

**What these figures are not.** The features of this use case, and the parameters that ship, were chosen by people who
had looked at April to December. Only the row of the search, from July on, is free of that for its parameters; nothing
here is free of it for the features.

Calibration: {verdict}

{tables}

**What it found on data before July:** {found}

## What training through the graph costs

The asset `model` (with `parameter_study`, which is off) in process, from the frozen training set to bundle, manifest
and held-out scores, beside the same two fits by LightGBM alone on the same frame in memory; in turns, {repeats} times,
the median counts. Dagster's events and MLflow's run stay in memory; matplotlib and LightGBM are imported before.
"""


def main(repeats: int, trials: int, state: Path | None) -> None:
    """Measure and write; ``state`` is a folder that an earlier run landed the year in."""
    with tempfile.TemporaryDirectory(prefix="bench-model-") as folder:
        graph = Graph(state or Path(folder))
        if not (state and (state / "artifacts").exists()):
            graph.land_the_year()
            graph.freeze(LAST)
        study = searched(graph, trials)
        scored = scores_of(graph.rows(LAST), graph.inputs, study)
        costs = cost(graph, repeats)
    whole, later = scored, scored.since("2013-07-01")
    rows = [*_goals(whole), *_beside(whole, "April to December"), *_beside(later, "July to December"), *costs]
    tables = "\n\n".join(_table(whole, metric) for metric in METRICS)
    write(
        "model",
        "The model out of time, beside peers, and what training it costs",
        rows,
        TEXT.format(
            shipped=SHIPPED,
            searched=SEARCHED,
            trials=len(study.trials),
            pruned=sum(trial.pruned for trial in study.trials),
            folds=len(study.fold_first_days),
            first_fold=study.fold_first_days[0],
            days=USE_CASE.training.validation_days,
            verdict=_verdict(whole),
            tables=tables,
            found=_found(study),
            repeats=repeats,
        ),
        {"months": whole.by_month(), "study": study},
    )


def _goals(scored: Scored) -> list[Row]:
    pooled = summary(scored.scores[SHIPPED], scored.labels, float(scored.labels.mean()))
    months = [summary(part.scores[SHIPPED], part.labels, 0.5)["auc"] for part in scored.months().values()]
    return [
        Row(name=f"{SHIPPED}, AUC, pooled", value=pooled["auc"], unit="", goal=f"above {LEAST_AUC}",
            met=pooled["auc"] > LEAST_AUC, note=f"{len(scored.labels):,} decisions, April to December"),
        Row(name=f"{SHIPPED}, log-loss, pooled", value=pooled["log_loss"], unit="", goal=f"below {MOST_LOG_LOSS}",
            met=pooled["log_loss"] < MOST_LOG_LOSS),
        Row(name=f"{SHIPPED}, AUC, mean of the months", value=float(np.mean(months)), unit="",
            note="harder: no credit for telling months apart"),
    ]  # fmt: skip


def _beside(scored: Scored, span: str) -> list[Row]:
    shipped = log_losses(scored.scores[SHIPPED], scored.labels)
    rows = []
    for name, scores in scored.scores.items():
        figures = summary(scores, scored.labels, 0.5)
        difference = paired_difference(scored.days, log_losses(scores, scored.labels), shipped)
        note = f"AUC {figures['auc']:.4f}, Brier {figures['brier']:.4f}, "
        note += f"calibration error {figures['calibration_error']:.4f}"
        if name != SHIPPED:
            note += f"; {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
        rows.append(Row(name=f"{name}, log-loss, {span}", value=figures["log_loss"], unit="", note=note))
    return rows


def _table(scored: Scored, metric: str) -> str:
    """One metric, candidates by months."""
    rows = {
        name: {month: figures[metric] for month, figures in months.items()}
        for name, months in scored.by_month().items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame["mean"] = frame.mean(axis=1)
    return f"{metric.replace('_', ' ')} by month\n\n{frame.to_markdown(floatfmt='.4f')}"


def _verdict(scored: Scored) -> str:
    """What the months say of calibrators, in one sentence."""
    plain = scored.by_month()[SHIPPED]
    told = []
    for name in CALIBRATED.values():
        months = scored.by_month()[name]
        better = sum(months[month]["log_loss"] < plain[month]["log_loss"] for month in plain)
        gain = np.mean([months[month]["log_loss"] - plain[month]["log_loss"] for month in plain])
        error = np.mean([months[month]["calibration_error"] - plain[month]["calibration_error"] for month in plain])
        told.append(f"{name}: log-loss {gain:+.4f}, calibration error {error:+.4f}, better in {better} of {len(plain)}")
    return (
        "mean over the months, against no calibrator: "
        + "; ".join(told)
        + ". A month's error is that month's own late rate, which no earlier scores tell; so the shipped calibrator is "
        "the identity, by name, in every signature."
    )


def _found(study: ParameterStudy) -> str:
    best = min((trial.loss for trial in study.trials if not trial.pruned), default=float("nan"))
    params: Mapping[str, Any] = study.params
    if not params:
        return f"nothing better than the shipped parameters (log-loss {study.trials[0].loss:.4f} on the folds)."
    told = ", ".join(f"{name} {value:.4g}" for name, value in params.items())
    return f"{told} (log-loss {best:.4f} on the folds, the shipped parameters {study.trials[0].loss:.4f})."


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--state", type=Path, help="a folder to keep, and to go on with")
    chosen = parser.parse_args()
    main(chosen.repeats, chosen.trials, chosen.state)
