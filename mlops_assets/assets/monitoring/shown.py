"""What a monitor shows beside its verdict: its last weeks as a picture, and what its number is made of.

Here: which number each monitor draws, which tables and pictures stand beside it. Belongs here: metadata of a verdict.
Does not: drawing (``ml.monitor_plots``), tables (``ml.performance_intervals``), the verdict.

Drawn from the judgements that were kept, so a day's picture costs the same after a year as after a month.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.assets.files import judgements_of
from mlops_assets.assets.metadata import drawing, plain
from mlops_assets.assets.monitoring.evidence import Evidence
from mlops_assets.assets.partitions import shift, span
from mlops_assets.contracts import Judgement, UseCase
from mlops_assets.ml.monitor_plots import Drawn, bars_picture, calibration_picture, history_picture
from mlops_assets.ml.performance_intervals import by_slice, slice_numbers, slice_table
from mlops_assets.ml.references import DriftReference

SHOWN_DAYS = 30
DRAWN: Mapping[str, Drawn] = {
    "data_contract": Drawn(number="share", high="most"),
    "feature_contract": Drawn(number="broken"),
    "feature_skew": Drawn(number="values"),
    "data_drift": Drawn(number="score", high="limit"),
    "prediction_drift": Drawn(number="mean_score", low="low", high="high"),
    "attribution_drift": Drawn(number="distance", high="limit"),
    "label_drift": Drawn(number="rate", low="low", high="high"),
    "label_sanity": Drawn(number="log_odds", high="limit"),
    "performance": Drawn(number="regret_1", high="regret_1_limit"),
    "estimated_performance": Drawn(number="log_loss", high="limit"),
    "predecessor_regret": Drawn(number="brier_difference", low="low", high="high"),
    "server_health": Drawn(number="p95_ms", high="p95_ms_limit"),
    "challenger_regret": Drawn(number="brier_difference", low="low", high="high"),
}
"""Monitor -> the number that its picture shows, and the numbers that bound it."""
PARTS = {"data_drift": ("excess ", 1.0), "attribution_drift": ("moved ", None)}
"""Monitor -> how the names of the numbers begin that its bars show, and the limit of each."""


def shown(
    artifacts: Artifacts, use_case: UseCase, seen: Evidence, judgement: Judgement, reference: DriftReference | None
) -> dict[str, Any]:
    """Metadata beside a verdict: pictures; of performance, which comes with a reference, slices and calibration too."""
    found: dict[str, Any] = {"picture": history_of(artifacts, use_case, judgement)}
    if judgement.monitor in PARTS:
        start, limit = PARTS[judgement.monitor]
        parts = {
            k.removeprefix(start): v for k, v in judgement.numbers.items() if k.startswith(start) and v is not None
        }
        ordered = dict(sorted(parts.items(), key=lambda part: -abs(part[1])))
        found["farthest"] = drawing(bars_picture(ordered, f"{judgement.monitor}: {start}", limit), "farthest features")
    if reference is not None:
        found |= _performance(use_case, seen, reference)
    return found


def history_of(artifacts: Artifacts, use_case: UseCase, judgement: Judgement) -> Any:
    """The monitor's last weeks."""
    name, day = judgement.monitor, judgement.day
    days = span(shift(day, 1 - SHOWN_DAYS), shift(day, -1))
    past = [j for past in days for j in judgements_of(artifacts, use_case, past, (name,))]
    return drawing(history_picture([*past, judgement], DRAWN[name]), f"{name}, {SHOWN_DAYS} days up to {day}")


def _performance(use_case: UseCase, seen: Evidence, reference: DriftReference) -> dict[str, Any]:
    rows = seen.of_champion(seen.outcomes)
    labels, scores = rows[use_case.label].to_numpy(np.float64), rows["score"].to_numpy(np.float64)
    slices = by_slice(rows, reference, use_case.slices, label=use_case.label)
    return {
        "calibration": drawing(calibration_picture(scores, labels, "calibration of the week"), "calibration"),
        "slices": dg.MetadataValue.md(slice_table(slices)),
        **plain(slice_numbers(slices)),
    }


def revision_of(judgement: Judgement) -> dict[str, str]:
    """What was said of the day before, when it was something else."""
    return {"revised_from": str(judgement.revised_from)} if judgement.revised_from else {}
