"""The search for parameters: Optuna's, on time-ordered folds, the same for the same seed, and able to go on.

Here: ``search``. Belongs here: what a trial is and which one wins. Does not: the search space (``ml.families``), where
a half-finished study is kept (``adapters.studies``).

A trial is fitted fold by fold, oldest first, and given up when it is worse than the median of the others at that
fold. The first trial has the parameters that the use case has now, and the best one replaces them only if it is better
on the folds. A process that was killed leaves a running trial: the next one forgets it and draws the same parameters
again, because the sampler's seed depends on nothing but how many trials have ended. So an interrupted study ends as an
uninterrupted one would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mlops_assets.contracts import ParameterStudy, Training, Trial, to_json
from mlops_assets.ml.bundles import ModelFeature, digest_of
from mlops_assets.ml.families import Family, family_of
from mlops_assets.ml.matrices import Rows, rows_of, with_levels
from mlops_assets.ml.time_splits import WindowTooShort, rolling_origins

RANDOM_TRIALS = 8
"""Drawn at random before the sampler models what was good, and before anything is pruned."""
_LOSSES = "losses"


@dataclass(frozen=True, kw_only=True)
class _Fold:
    fitted: Rows
    unseen: Rows
    features: Sequence[ModelFeature]
    first_day: str


def search(
    storage: Any,
    frame: pd.DataFrame,
    training: Training,
    features: Sequence[ModelFeature],
    *,
    trials: int,
    folds: int,
    seed: int,
    label: str,
    training_set_digest: str,
    day: str = "day",
    threads: int = 0,
) -> ParameterStudy:
    """Try ``trials`` sets of parameters of ``training.family`` and tell what was found.

    ``storage`` is an Optuna storage; what it holds of the same search (same rows, facts, folds and seed) is gone on
    with. Every fold is ``training.validation_days`` long; the last one ends with the frame.
    Raises WindowTooShort when the frame holds no fold, UnknownFamily.
    """
    family = family_of(training.family)
    ready = _folds(frame, training, features, folds, label, day)
    identity = to_json([training, training_set_digest, folds, seed])
    study = _study(storage, f"search-{digest_of(identity.encode())}")
    _forget_unfinished(study)
    while (ended := len(_ended(study))) < trials:
        if not ended and not _waiting(study):
            study.enqueue_trial(_nearest(family, training))
        study.sampler = _sampler(seed + ended)
        _try(study, family, training, ready, threads)
    found = _told(study)
    return ParameterStudy(
        family=family.name,
        training_set_digest=training_set_digest,
        seed=seed,
        fold_first_days=tuple(fold.first_day for fold in ready),
        trials=found,
        params=_better(found),
    )


def _folds(
    frame: pd.DataFrame, training: Training, features: Sequence[ModelFeature], folds: int, label: str, day: str
) -> list[_Fold]:
    ready = []
    for fitted, unseen in rolling_origins(frame, folds, training.validation_days, day):
        known = with_levels(features, fitted)
        first_day = str(unseen[day].min())
        parts = rows_of(fitted, known, label), rows_of(unseen, known, label)
        ready.append(_Fold(fitted=parts[0], unseen=parts[1], features=known, first_day=first_day))
    if not ready:
        days = training.validation_days
        raise WindowTooShort(f"no fold of {days} days fits behind as many days to fit: take a later cut-off day")
    return ready


def _study(storage: Any, name: str) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=RANDOM_TRIALS, n_warmup_steps=0)
    return optuna.create_study(storage=storage, study_name=name, pruner=pruner, load_if_exists=True)


def _sampler(seed: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)


def _forget_unfinished(study: Any) -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _ended(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _waiting(study: Any) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.WAITING,))


def _nearest(family: Family, training: Training) -> dict[str, float | int]:
    """The present parameters as the search space knows them, for the sampler to learn from."""
    known = {**family.defaults, **training.params}
    return {name: type(known[name])(min(max(known[name], r.low), r.high)) for name, r in family.space.items()}


def _suggested(trial: Any, family: Family) -> dict[str, float | int]:
    return {
        name: trial.suggest_int(name, int(r.low), int(r.high), log=r.log)
        if r.whole
        else trial.suggest_float(name, r.low, r.high, log=r.log)
        for name, r in family.space.items()
    }


def _try(study: Any, family: Family, training: Training, folds: Sequence[_Fold], threads: int) -> None:
    from optuna.trial import TrialState

    first = _ended(study)[:1]
    trial = study.ask()
    suggested = _suggested(trial, family)
    # The first trial is the present parameters themselves, also where they lie outside the search space.
    tried = replace(training, params={**training.params, **suggested}) if first else training
    losses: list[float] = []
    for step, fold in enumerate(folds):
        losses.append(min(family.choose(fold.fitted, fold.unseen, fold.features, tried, threads).curve))
        trial.set_user_attr(_LOSSES, losses)
        # Folds differ in difficulty, so the pruner is told the mean excess over the first trial's loss of each.
        trial.report(_excess(losses, first[0].user_attrs[_LOSSES] if first else losses), step)
        if step + 1 < len(folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, sum(losses) / len(losses))


def _excess(losses: Sequence[float], first: Sequence[float]) -> float:
    return sum(loss - own for loss, own in zip(losses, first, strict=False)) / len(losses)


def _told(study: Any) -> tuple[Trial, ...]:
    from optuna.trial import TrialState

    return tuple(
        Trial(
            params=dict(trial.params),
            losses=tuple(trial.user_attrs[_LOSSES]),
            pruned=trial.state == TrialState.PRUNED,
        )
        for trial in _ended(study)
    )


def _better(trials: Sequence[Trial]) -> Mapping[str, Any]:
    complete = [trial for trial in trials if not trial.pruned]
    best = min(complete, key=lambda trial: trial.loss, default=None)
    return {} if best is None or best is trials[0] else best.params
