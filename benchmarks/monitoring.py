"""``make bench-monitoring``: what the shipped monitoring is worth on the real year.

Here: the order of its parts, and the page they make. Belongs here: what is told to whoever reads it. Does not: the
parts (``benchmarks.monitoring_*``).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gates_models import Workshop
from benchmarks.model_data import LAST, USE_CASE, Graph, asked_state, landed_year
from benchmarks.monitoring_detection import (
    clean_rows,
    detect,
    episode_table,
    fault_rows,
    fault_table,
    incident_table,
    replay,
)
from benchmarks.monitoring_verdicts import Watch
from benchmarks.monitoring_year import Year
from benchmarks.report import Row, write
from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.ml.drift_engines import drift_engine
from mlops_assets.ml.feature_contract import keys_of
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.references import DriftReference, fit_reference

FIXED = "2013-06-30"
"""The last day of which model, references and thresholds know anything."""
TEXT = """
One model, trained on everything up to {fixed}, answers from July on; its drift reference, with every threshold that
is learnt, is made of the same days. Limits that are not learnt stand beside the days of January to June that set them.
What is *not* free of hindsight: which statistics there are, and how much room a limit has beyond the days that set it,
was decided by people who had seen the whole year.

## A clean half year

Every day from July to 30 December goes through contract, checks, features, model, monitors and decision table as they
ship. A layer *speaks* when the table would act on it (K-of-N included). An episode is a run of such days; it is about a
true incident when one began at most three days before.

{episodes}

What truly happened in these months (storms, two outages of the weather feed, and a September in which half as many
flights were late as around it), and which monitors were in alarm from its first day to three days after its last one,
whether the table heard them or not. `data_drift` is heard when it lasts as long as the week that it looks at:

{incidents}

## Twelve faults at three severities

Each lives for a week from each of five days on, July to November; raw feeds are changed before they land, code of
features and labels online and offline alike (so that `feature_skew`, which compares the two to the last bit, has
nothing to see: it finds a fault of one of them on the first day). *Detected* means that the decision table decided
something, or that the landing was refused, for a reason that the same day without the fault does not give.

{faults}

The usual detectors on the same clean days, canaries of equal and of bad models, and the trigger beside calendars are
benches of their own: `make bench-monitoring_peers`, `bench-monitoring_canaries`, `bench-monitoring_trigger`.
"""


def main(state: Path | None) -> None:
    """Measure all parts and write."""
    with landed_year(state) as graph:
        rows, page, facts = measured(graph)
    write("monitoring", "What monitoring is worth on the real year", rows, page, facts)


def measured(graph: Graph) -> tuple[list[Row], str, Mapping[str, Any]]:
    """Every part: figures, the page, the cases behind them."""
    scorer, reference = trained(graph)
    year, watch = Year(graph, scorer), Watch(reference, drift_engine("scipy"), FIXED)
    lived, concluded = replay(year, watch)
    cases = detect(year, watch, lived, concluded)
    text = TEXT.format(
        fixed=FIXED, episodes=episode_table(concluded), incidents=incident_table(concluded), faults=fault_table(cases)
    )
    return [*clean_rows(concluded), *fault_rows(cases)], text, {"cases": cases}


def trained(graph: Graph) -> tuple[Scorer, DriftReference]:
    """The model of the last fixed day and its reference, as the assets make them."""
    workshop = Workshop(graph.rows(LAST), graph.inputs)
    known = workshop.rows[(workshop.rows["day"] <= FIXED) & (workshop.rows["known_day"] <= FIXED)]
    model, bundle = fit_bundle(known, USE_CASE, USE_CASE.training, graph.inputs)
    scorer = Scorer(bundle)
    held_out = known.merge(model.held_out[[USE_CASE.entity_id, "score"]], on=USE_CASE.entity_id)
    features: tuple[ModelFeature, ...] = scorer.signature.features
    views = [(view.name, view.join_key, view.features) for view in scorer.signature.views]
    reference = fit_reference(
        known,
        scorer.score(known),
        held_out,
        features,
        label=USE_CASE.label,
        entity_id=USE_CASE.entity_id,
        # The statistics of both engines are equal, and this one is faster.
        engine=drift_engine("scipy"),
        keys=keys_of(views, list(known)),
    )
    return scorer, reference


if __name__ == "__main__":
    # LightGBM and BLAS beside two processes of faults: one thread each.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(asked_state(__doc__))
