"""What every candidate answers for each month, trained on everything before it.

Here: the candidates, and their scores side by side. Does not belong here: comparing them (``benchmarks.model``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from benchmarks.model_bare import with_defaults
from benchmarks.model_data import USE_CASE, Graph
from mlops_assets.contracts import ParameterStudy, Training
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.calibration import METHODS, apply, fit_calibrator
from mlops_assets.ml.families import family_of, load_engine
from mlops_assets.ml.matrices import matrix
from mlops_assets.ml.metrics import summary
from mlops_assets.ml.models import TrainedModel, scored_unseen, split, train
from mlops_assets.ml.parameter_search import search

SHIPPED, SEARCHED = "as shipped", "searched before July"
CALIBRATED = {method: f"with {method}" for method in METHODS if method != "identity"}
MONTHS = tuple(range(4, 13))
SEARCH_CUTOFF, SEARCH_FOLDS = "2013-06-30", 4


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Rows of the months with every candidate's scores, shape (rows,) each."""

    days: np.ndarray
    labels: np.ndarray
    scores: Mapping[str, np.ndarray]

    def since(self, day: str) -> "Scored":
        """The rows of that day and later."""
        return self._of(self.days >= day)

    def months(self) -> Mapping[str, "Scored"]:
        """The rows of each month, ``2013-04`` first."""
        names = np.array([day[:7] for day in self.days])
        return {name: self._of(names == name) for name in sorted(set(names))}

    def by_month(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Candidate -> month -> metrics."""
        parts = self.months()
        return {
            name: {month: summary(part.scores[name], part.labels, 0.5) for month, part in parts.items()}
            for name in self.scores
        }

    def _of(self, chosen: np.ndarray) -> "Scored":
        scores = {name: values[chosen] for name, values in self.scores.items()}
        return Scored(days=self.days[chosen], labels=self.labels[chosen], scores=scores)


def known_by(frame: pd.DataFrame, cutoff: str) -> pd.DataFrame:
    """The rows of the training set of an earlier cut-off day: scheduled and landed by then."""
    return frame[(frame["day"] <= cutoff) & (frame["known_day"] <= cutoff)]


def searched(graph: Graph, trials: int) -> ParameterStudy:
    """The search of ``parameter_study`` on the training set of a day before July."""
    graph.freeze(SEARCH_CUTOFF)
    with graph.studies.open("benchmark") as storage:
        return search(
            storage,
            graph.rows(SEARCH_CUTOFF),
            USE_CASE.training,
            graph.inputs.features,
            trials=trials,
            folds=SEARCH_FOLDS,
            seed=7,
            label=USE_CASE.label,
            training_set_digest=SEARCH_CUTOFF,
        )


def scores_of(frame: pd.DataFrame, inputs: Inputs, study: ParameterStudy) -> Scored:
    """Every candidate on every month."""
    parts, days, labels = [], [], []
    for month in MONTHS:
        first = pd.Timestamp(2013, month, 1)
        known = known_by(frame, str((first - pd.Timedelta(days=1)).date()))
        asked = frame[frame["day"].str.startswith(f"2013-{month:02d}")]
        parts.append(_month(known, asked, inputs, study))
        days.append(asked["day"].to_numpy(dtype=str))
        labels.append(asked[USE_CASE.label].to_numpy(np.float64))
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Scored(days=np.concatenate(days), labels=np.concatenate(labels), scores=scores)


def _month(known: pd.DataFrame, asked: pd.DataFrame, inputs: Inputs, study: ParameterStudy) -> dict[str, np.ndarray]:
    shipped = USE_CASE.training
    names = [feature.name for feature in inputs.features]
    categories = [feature.name for feature in inputs.features if feature.kind == "category"]
    logistic = replace(shipped, family="logistic", params=family_of("logistic").defaults)
    plain, calibrated = _trees(known, asked, inputs, shipped)
    return {
        "constant rate": np.full(len(asked), known[USE_CASE.label].mean()),
        "logistic": _scores(known, asked, inputs, logistic),
        "LightGBM with defaults": with_defaults(known, asked, names, categories, USE_CASE.label),
        SHIPPED: plain,
        SEARCHED: _scores(known, asked, inputs, replace(shipped, params={**shipped.params, **study.params})),
        **calibrated,
    }


def _trained(known: pd.DataFrame, inputs: Inputs, training: Training) -> TrainedModel:
    return train(known, training, inputs.features, label=USE_CASE.label, entity_id=USE_CASE.entity_id)


def _answers(trained: TrainedModel, asked: pd.DataFrame) -> np.ndarray:
    engine = load_engine(trained.engine, trained.content, len(trained.features), trained.calibrator)
    return engine.predict(matrix(asked, trained.features))


def _scores(known: pd.DataFrame, asked: pd.DataFrame, inputs: Inputs, training: Training) -> np.ndarray:
    return _answers(_trained(known, inputs, training), asked)


def _trees(
    known: pd.DataFrame, asked: pd.DataFrame, inputs: Inputs, training: Training
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The shipped model's scores, and the same through each calibrator that ``calibration=`` would fit."""
    label, identity = USE_CASE.label, USE_CASE.entity_id
    trained = _trained(known, inputs, training)
    fitted, _ = split(known, training.validation_days)
    earlier = scored_unseen(fitted, replace(training, calibration="platt"), inputs.features, label=label)
    held_out = trained.held_out.merge(known[[identity, label]], on=identity, validate="one_to_one")
    scores = np.concatenate([*(part.scores for part in earlier), held_out["score"].to_numpy()])
    labels = np.concatenate([*(part.labels for part in earlier), held_out[label].to_numpy(np.float64)])
    maps = {name: fit_calibrator(method, scores, labels) for method, name in CALIBRATED.items()}
    plain = _answers(trained, asked)
    return plain, {name: apply(calibrator, plain) for name, calibrator in maps.items()}
