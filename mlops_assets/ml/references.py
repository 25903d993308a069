"""What drift is compared with: everything that the monitors of one model version need, as parquet and JSON.

Made once, when a version is trained, from its own training rows and held-out scores; saved with the version. No
threshold is fitted later, and no detector is ever unpickled.

Here: the reference, how it is fitted, its files. Belongs here: what was normal when the model was trained. Does not:
judging a day (``ml.monitoring``, ``ml.performance``).
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from mlops_assets.contracts import from_json, to_json
from mlops_assets.ml.attribution_reference import AttributionReference
from mlops_assets.ml.bundles import ModelFeature
from mlops_assets.ml.drift import SAMPLE_ROWS, InputReference, fit_inputs, foreseen, spread_rows
from mlops_assets.ml.drift_engines import DriftEngine
from mlops_assets.ml.feature_contract import FeatureContract, fit_contract
from mlops_assets.ml.linear import fit_logistic, logistic
from mlops_assets.ml.metrics import calibration_slope, log_losses

SAMPLE_FILE = "reference_sample.parquet"
FACTS_FILE = "reference.json"
SCORE = "score"
_SLOPE_DEVIATION, _SLOPE_ROWS, _SLOPE_DAYS = 0.30, 900, 60
"""Two weeks of held-out days hardly tell how a daily slope varies, so they are taken together with what is known of it:
0.30 for 900 rows a day (models that answered the month after they were trained, March to June: mean 1.04, lowest of
single days 0.43, of seven days 0.71), by the root of the rows more with fewer, weighing as much as 60 days."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a daily number varied over clean days."""

    mean: float
    deviation: float
    days: int

    def bound(self, days: int, deviations: float) -> float:
        """The mean plus ``deviations`` standard errors of a mean over ``days`` days."""
        return self.mean + deviations * self.deviation / math.sqrt(days)


@dataclass(frozen=True, kw_only=True)
class OutcomeReference:
    """What is normal for the scores and outcomes of one model version."""

    base_weights: tuple[float, ...]
    """Logistic model on the inputs' design: the simple model that shares the weather of the day."""
    rate: Spread
    """Daily rate of the label over the training window."""
    score: Spread
    """Daily mean score over the training window."""
    regret: Spread
    """Daily log-loss minus that of the simple model, over the held-out days."""
    gap: Spread
    """Daily mean score minus rate of the label, over the held-out days."""
    expected_log_loss: Spread
    """Daily log-loss that the scores themselves expect, over the held-out days."""
    slope: Spread | None = None
    """Daily calibration slope over the held-out days, its deviation shrunk; None in references from before it was
    taken."""


@dataclass(frozen=True, kw_only=True)
class ReferenceFacts:
    """The JSON part of a reference."""

    inputs: InputReference
    outcomes: OutcomeReference
    contract: FeatureContract = field(default_factory=FeatureContract)
    """Without ranges in references from before they were learnt."""
    attributions: AttributionReference | None = None
    """None in versions from before they were kept."""


@dataclass(frozen=True, kw_only=True)
class DriftReference:
    """Everything that the monitors of one model version need."""

    facts: ReferenceFacts
    sample: pd.DataFrame
    """Prepared reference rows (``ml.drift.prepare``) and their ``score``."""

    def base_scores(self, frame: pd.DataFrame) -> np.ndarray:
        """Scores of the simple model for rows with a column per feature, shape (rows,)."""
        design = self.facts.inputs.design.matrix(frame)
        return logistic(design, np.array(self.facts.outcomes.base_weights))


def fit_reference(
    frame: pd.DataFrame,
    scores: np.ndarray,
    held_out: pd.DataFrame,
    features: Sequence[ModelFeature],
    *,
    label: str,
    entity_id: str,
    engine: DriftEngine,
    keys: Mapping[str, str] | None = None,
    day: str = "day",
) -> DriftReference:
    """Fit the reference of a version on its training rows.

    ``frame`` are the training rows with true labels, those of a day in the order of time, ``scores`` the released
    model's scores of them, ``held_out`` the
    rows of ``TrainedModel.held_out`` (entity id, day, score by the fit that never saw them), ``keys`` as
    ``ml.feature_contract.keys_of`` gives them.
    """
    ordered = frame.assign(**{SCORE: scores}).sort_values(day, kind="stable")
    inputs, prepared = fit_inputs(ordered, features, engine, day)
    numbers = inputs.design.numbers
    labels = ordered[label].to_numpy(np.float64)
    unseen = frame.merge(held_out[[entity_id, SCORE]], on=entity_id, validate="one_to_one")
    outcomes = OutcomeReference(
        base_weights=tuple(float(w) for w in fit_logistic(inputs.design.matrix(ordered), labels)),
        rate=spread_of(ordered[day].to_numpy(), labels),
        score=spread_of(ordered[day].to_numpy(), ordered[SCORE].to_numpy()),
        **_held_out_spreads(frame, unseen, inputs, label, day),
    )
    scored = spread_rows(prepared, SAMPLE_ROWS).assign(**{SCORE: spread_rows(ordered, SAMPLE_ROWS)[SCORE].to_numpy()})
    values, expected = foreseen(prepared, numbers)
    contract = fit_contract(ordered, expected, numbers, values, keys or {}, day)
    facts = ReferenceFacts(inputs=inputs, outcomes=outcomes, contract=contract)
    return DriftReference(facts=facts, sample=scored.reset_index(drop=True))


def spread_of(days: np.ndarray, values: np.ndarray) -> Spread:
    """Mean and standard deviation of the daily means of ``values``, all days alike."""
    daily = pd.Series(np.asarray(values, dtype=np.float64)).groupby(days).mean()
    deviation = float(daily.std()) if len(daily) > 1 else 0.0
    return Spread(mean=float(daily.mean()), deviation=deviation, days=len(daily))


def _held_out_spreads(
    frame: pd.DataFrame, unseen: pd.DataFrame, inputs: InputReference, label: str, day: str
) -> Mapping[str, Spread]:
    """Both models are judged on days that neither was fitted on, as in traffic."""
    seen, days = frame.loc[frame[day] < unseen[day].min()], unseen[day].to_numpy()
    weights = fit_logistic(inputs.design.matrix(seen), seen[label].to_numpy(np.float64))
    labels, scores = unseen[label].to_numpy(np.float64), unseen[SCORE].to_numpy(np.float64)
    base = logistic(inputs.design.matrix(unseen), weights)
    slopes = pd.Series({day: calibration_slope(scores[days == day], labels[days == day]) for day in np.unique(days)})
    return {
        "slope": _shrunk(spread_of(slopes.index.to_numpy(), slopes.to_numpy()), len(days)),
        "regret": spread_of(days, log_losses(scores, labels) - log_losses(base, labels)),
        "gap": spread_of(days, scores - labels),
        "expected_log_loss": spread_of(days, expected_log_losses(scores)),
    }


def _shrunk(slope: Spread, rows: int) -> Spread:
    """The spread of slopes of days with ``rows`` in all, pooled with the one that is known."""
    known = _SLOPE_DEVIATION * math.sqrt(_SLOPE_ROWS * slope.days / rows)
    squares = slope.days * slope.deviation**2 + _SLOPE_DAYS * known**2
    return replace(slope, deviation=math.sqrt(squares / (slope.days + _SLOPE_DAYS)))


def expected_log_losses(scores: np.ndarray) -> np.ndarray:
    """Log-loss of every row if the scores are the true probabilities, shape (rows,): their entropy."""
    return scores * log_losses(scores, np.ones(len(scores))) + (1 - scores) * log_losses(scores, np.zeros(len(scores)))


def to_files(reference: DriftReference) -> dict[str, bytes]:
    """The reference as files, path -> content."""
    buffer = io.BytesIO()
    reference.sample.to_parquet(buffer, index=False)
    return {SAMPLE_FILE: buffer.getvalue(), FACTS_FILE: to_json(reference.facts).encode()}


def from_files(files: Mapping[str, bytes]) -> DriftReference:
    """Read a reference back. Raises KeyError when a file is absent, msgspec.ValidationError when one is broken."""
    return DriftReference(
        facts=from_json(ReferenceFacts, files[FACTS_FILE]),
        sample=pd.read_parquet(io.BytesIO(files[SAMPLE_FILE])),
    )
