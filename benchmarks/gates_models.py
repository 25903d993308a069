"""Honest and bad models of the real year, each trained once.

Here: what damages the rows, and the models by cut-off day. Does not belong here: judging them (``benchmarks.gates``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.model_data import USE_CASE
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.models import Scorer, invert_labels

Damage = Callable[[pd.DataFrame], pd.DataFrame]
AGAIN = "again"


def inverted_where(chosen: Callable[[pd.DataFrame], pd.Series]) -> Damage:
    """Rows whose labels say the opposite where ``chosen`` holds."""
    return lambda rows: rows.assign(is_late=np.where(chosen(rows), 1 - rows["is_late"], rows["is_late"]))


def late_rows_twice(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in which every late one stands twice."""
    late = rows[rows["is_late"] == 1]
    return pd.concat([rows, late.assign(flight_id=late["flight_id"] + AGAIN)], ignore_index=True)


def inverted(share: float) -> Damage:
    """Rows with a share of inverted labels."""
    return lambda rows: invert_labels(rows, USE_CASE.label, share, 13)


BAD: Mapping[str, Damage] = {
    "all labels inverted": inverted(1.0),
    "30 % of the labels inverted": inverted(0.3),
    "20 % of the labels inverted": inverted(0.2),
    "late rows twice": late_rows_twice,
    "labels of carrier UA inverted": inverted_where(lambda rows: rows["carrier"] == "UA"),
    "labels of carrier 9E inverted": inverted_where(lambda rows: rows["carrier"] == "9E"),
    "labels of carrier VX inverted": inverted_where(lambda rows: rows["carrier"] == "VX"),
    "labels of LGA inverted": inverted_where(lambda rows: rows["origin"] == "LGA"),
    "labels of 18 o'clock inverted": inverted_where(lambda rows: rows["sched_dep_minute"] // 60 == 18),
    "labels in storms inverted": inverted_where(lambda rows: rows["origin_delays__late_share_3h"] >= 0.5),
}


@dataclass(frozen=True)
class Candidate:
    """A trained model, and its held-out rows with the scores of the fit that never saw them."""

    cutoff: str
    scorer: Scorer
    held_out: pd.DataFrame


class Workshop:
    """Trains on the rows that were known on a cut-off day, by the function that the asset ``model`` calls."""

    def __init__(self, rows: pd.DataFrame, inputs: Inputs) -> None:
        """``rows`` are those of the whole year."""
        self.rows = rows
        self._inputs = inputs

    def make(self, cutoff: str, damage: Damage | None = None) -> Candidate:
        """The model of a cut-off day; the held-out rows carry the true labels."""
        known = self.rows[(self.rows["day"] <= cutoff) & (self.rows["known_day"] <= cutoff)]
        trained, bundle = fit_bundle(damage(known) if damage else known, USE_CASE, USE_CASE.training, self._inputs)
        scores = trained.held_out[[USE_CASE.entity_id, "score"]]
        held_out = known.merge(scores, on=USE_CASE.entity_id, validate="one_to_one")
        return Candidate(cutoff, Scorer(bundle), held_out)
