"""``make bench-segments``: one model per airport beside the one model, out of time, on the same rows.

Here: which figures are taken. Does not belong here: the rows (``benchmarks.model_data``), which of them are a segment's
(``ml.segments``).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.model_data import LAST, USE_CASE, Graph
from benchmarks.model_scores import MONTHS, known_by
from benchmarks.report import Row, write
from mlops_assets.contracts import Training, UseCase
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.day_blocks import paired_difference
from mlops_assets.ml.families import load_engine
from mlops_assets.ml.matrices import matrix
from mlops_assets.ml.metrics import log_losses, summary
from mlops_assets.ml.models import TrainedModel, train
from mlops_assets.ml.segments import of_segment
from mlops_assets.use_cases.segments import levels, segmented

COLUMN = "origin"
SEGMENTS = segmented(USE_CASE, COLUMN, levels(USE_CASE.domain, COLUMN))
ONE, EACH, FINER = "one model", "one per airport", "one per airport, smaller leaves"
TEXT = """
Out of time: at the end of each month from March on, the one model (`arrival_delay`) is trained on all rows so far, and
each airport's model (`arrival_delay__ewr`, `__jfk`, `__lga`) on its own rows among them, by the function that the asset
`model` calls. Every decision of the next month is answered by both. The rows come from the graph itself.

- **{one}** knows the airport as a feature. **{each}** has the facts of the use case, unchanged. **{finer}** is the same
  with `min_data_in_leaf` divided by three: what scaling that threshold with the rows would give.
- In brackets the 95 % interval of the mean difference in log-loss to the one model on the same rows, by day blocks.
- The last table has the worst of nine honest models each on the {days} days before its cut-off day, which the fit that
  is judged never saw; in brackets what the gates of quality ask for.

{gates}
"""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The decisions of some months, each with what every candidate says of it."""

    rows: pd.DataFrame
    """Columns day, label, the segments' column, and one for each candidate."""
    seconds: Mapping[str, float]
    """Candidate -> time of all its trainings."""
    shown: Mapping[str, Mapping[str, float]]
    """Use case -> figure of a quality gate on the held-out days -> value."""


def main(state: Path | None) -> None:
    """Measure and write; ``state`` is a folder that an earlier run landed the year in, and what months it has."""
    with tempfile.TemporaryDirectory(prefix="bench-segments-") as folder:
        root = state or Path(folder)
        graph = Graph(root)
        if not (root / "artifacts").exists():
            graph.land_the_year()
            graph.freeze(LAST)
        frame = graph.rows(LAST)
        months = [kept(root / "segments" / str(month), month, frame, graph.inputs) for month in MONTHS]
    whole = pd.concat([month.rows for month in months], ignore_index=True)
    parts = {"all three": whole, **{str(s.segment and s.segment.value): of_segment(whole, s.segment) for s in SEGMENTS}}
    rows = [row for name, part in parts.items() for row in beside(name, part)]
    for name in (ONE, EACH, FINER):
        seconds = sum(month.seconds[name] for month in months)
        rows.append(Row(name=f"{name}, nine months' trainings", value=seconds, unit="s"))
    told = {"one": ONE, "each": EACH, "finer": FINER, "days": USE_CASE.training.validation_days}
    text = TEXT.format(**told, gates=worst(months))
    write(
        "segments",
        "One model per airport, beside the one model",
        rows,
        text,
        {"months": [month.shown for month in months]},
    )


def answers(month: int, frame: pd.DataFrame, inputs: Inputs) -> Answered:
    """Every candidate on one month."""
    cutoff = str((pd.Timestamp(2013, month, 1) - pd.Timedelta(days=1)).date())
    known, asked = known_by(frame, cutoff), frame[frame["day"].str.startswith(f"2013-{month:02d}")]
    said, seconds = asked[["day", COLUMN, USE_CASE.label]].copy(), dict.fromkeys((ONE, EACH, FINER), 0.0)
    shown: dict[str, dict[str, float]] = {}
    for name, use_cases, training in candidates():
        for use_case in use_cases:
            mine, own = of_segment(known, use_case.segment), of_segment(asked, use_case.segment)
            began = time.perf_counter()
            trained = train(mine, training, inputs.features, label=use_case.label, entity_id=use_case.entity_id)
            seconds[name] += time.perf_counter() - began
            engine = load_engine(trained.engine, trained.content, len(trained.features), trained.calibrator)
            said.loc[own.index, name] = engine.predict(matrix(own, trained.features))
            if name != FINER:
                shown[use_case.name] = quality(use_case, trained, mine)
    return Answered(rows=said, seconds=seconds, shown=shown)


def kept(folder: Path, month: int, frame: pd.DataFrame, inputs: Inputs) -> Answered:
    """The month as an earlier run left it in the folder, or measured now: a kept state goes on where it was ended."""
    rows, facts = folder / "rows.parquet", folder / "facts.json"
    if facts.exists():
        told = json.loads(facts.read_bytes())
        return Answered(rows=pd.read_parquet(rows), seconds=told["seconds"], shown=told["shown"])
    found = answers(month, frame, inputs)
    folder.mkdir(parents=True, exist_ok=True)
    found.rows.to_parquet(rows)
    facts.write_text(json.dumps({"seconds": found.seconds, "shown": found.shown}))
    return found


def candidates() -> Sequence[tuple[str, Sequence[UseCase], Training]]:
    """Name, the use cases that share the rows, how they are trained."""
    shipped = USE_CASE.training
    third = int(shipped.params["min_data_in_leaf"]) // len(SEGMENTS)
    finer = replace(shipped, params={**shipped.params, "min_data_in_leaf": third})
    return (ONE, (USE_CASE,), shipped), (EACH, SEGMENTS, shipped), (FINER, SEGMENTS, finer)


def quality(use_case: UseCase, trained: TrainedModel, known: pd.DataFrame) -> dict[str, float]:
    """What the gates of quality look at: an honest model's held-out days."""
    identity, label = use_case.entity_id, use_case.label
    held_out = known.merge(trained.held_out[[identity, "score"]], on=identity, validate="one_to_one")
    rate = float(known.loc[known["day"] < held_out["day"].min(), label].mean())
    found = summary(held_out["score"].to_numpy(), held_out[label].to_numpy(np.float64), rate)
    ratio = found["log_loss"] / found["constant_log_loss"]
    return {"auc": found["auc"], "log_loss_ratio": ratio, "calibration_error": found["calibration_error"]}


def beside(name: str, part: pd.DataFrame) -> list[Row]:
    """The candidates on the rows of one airport, or of all."""
    labels, days = part[USE_CASE.label].to_numpy(np.float64), part["day"].to_numpy(dtype=str)
    losses = {candidate: log_losses(part[candidate].to_numpy(), labels) for candidate in (ONE, EACH, FINER)}
    rows = []
    for candidate, loss in losses.items():
        figures = summary(part[candidate].to_numpy(), labels, 0.5)
        note = f"AUC {figures['auc']:.4f}, calibration error {figures['calibration_error']:.4f}"
        if candidate != ONE:
            difference = paired_difference(days, loss, losses[ONE])
            note += f"; {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
        else:
            note += f"; {len(labels):,} decisions"
        rows.append(Row(name=f"{name}, {candidate}, log-loss", value=figures["log_loss"], unit="", note=note))
    return rows


def worst(months: Sequence[Answered]) -> str:
    """The worst that honest models showed, beside what the gates ask for."""
    lines = ["| use case | least AUC | most log-loss ratio | most calibration error |", "|---|---:|---:|---:|"]
    for use_case in (USE_CASE, *SEGMENTS):
        gates, shown = use_case.gates, [month.shown[use_case.name] for month in months]
        asked = (gates.min_auc, gates.max_log_loss_ratio, gates.max_calibration_error)
        found = (
            min(figures["auc"] for figures in shown),
            max(figures["log_loss_ratio"] for figures in shown),
            max(figures["calibration_error"] for figures in shown),
        )
        cells = [f"{value:.3f} ({limit:.3f})" for value, limit in zip(found, asked, strict=True)]
        lines.append(f"| `{use_case.name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path, help="a folder to keep, and to go on with")
    main(parser.parse_args().state)
