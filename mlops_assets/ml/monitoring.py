"""What each monitor says of one day, before and beside the outcomes: one function per monitor, one verdict each.

Here: data contract, feature contract, feature skew, drift of inputs, of scores and of labels. Belongs here: a
monitor that needs no comparison of models. Does not: monitors of loss (``ml.performance``), the labels' meaning
(``ml.label_sanity``), what follows from a verdict (``ml.policy``).

A monitor gives UNKNOWN when its evidence is missing or too thin. That pauses automation and is never held against a
model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.drift import WINDOW_DAYS, measure_window
from mlops_assets.ml.drift_engines import DriftEngine
from mlops_assets.ml.feature_contract import breaches
from mlops_assets.ml.references import SCORE, DriftReference

MIN_ROWS = 100
"""Rows of a day below which nothing is judged: a tenth of a normal day."""
DEVIATIONS = 4.0
"""Standard errors beyond which a mean over days is out of its clean range. Days follow each other, so the usual 2 or 3
is too few: April to December, 3 gives 31 days of performance alarm and 25 of label drift, 4 gives 12 and 8, most of
them in the known storms."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Which day, and which champion answered on it."""

    day: str
    champion_version: int | None = None
    champion_digest: str | None = None


def judgement(
    monitor: str, about: Subject, verdict: Verdict, reason: str, numbers: Mapping[str, float | None], rows: int
) -> Judgement:
    """A judgement about a subject; numbers that are not finite become None."""
    return Judgement(
        monitor=monitor,
        day=about.day,
        verdict=verdict,
        reason=reason,
        numbers=_finite(numbers),
        champion_version=about.champion_version,
        champion_digest=about.champion_digest,
        rows=rows,
    )


def first_of(texts: Sequence[str], most: int = 3) -> str:
    """The first of many, and how many more there are."""
    return "; ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def with_numbers(said: Judgement, more: Mapping[str, float | None]) -> Judgement:
    """The same judgement with more numbers beside its own."""
    return replace(said, numbers={**said.numbers, **_finite(more)})


def _finite(numbers: Mapping[str, float | None]) -> dict[str, float | None]:
    return {k: float(v) if v is not None and np.isfinite(v) else None for k, v in numbers.items()}


def unknown(monitor: str, about: Subject, reason: str, rows: int = 0) -> Judgement:
    """The evidence is missing or too thin."""
    return judgement(monitor, about, Verdict.UNKNOWN, reason, {}, rows)


def data_contract(
    about: Subject, *, rows: int, quarantined: int, broken: Sequence[str] = (), most_quarantined: float = 0.01
) -> Judgement:
    """Is the day's data broken? The share of its raw rows that went to quarantine, and what is implausible about it.

    ``broken`` is what ``ml.plausibility.implausible`` found. On real days of 2013 the share is below 0.1 %: one bad
    reading in 26,115 hours of weather.
    """
    total = rows + quarantined
    if not total:
        return unknown("data_contract", about, "no rows landed")
    share = quarantined / total
    verdict = Verdict.ALARM if share > most_quarantined or broken else Verdict.OK
    reason = f"{quarantined} of {total} rows went to quarantine ({share:.2%}; at most {most_quarantined:.2%} is normal)"
    told = "; ".join([first_of(broken), reason] if broken else [reason])
    numbers = {"share": share, "most": most_quarantined, "broken": float(len(broken))}
    return judgement("data_contract", about, verdict, told, numbers, total)


def feature_contract(about: Subject, reference: DriftReference, window: pd.DataFrame, *, day: str = "day") -> Judgement:
    """Do the served features keep what they kept on clean days: their relations, their pace, their presence?

    ``window``: the traffic of up to seven days to the subject's in the order of time, a column per feature and ``day``.
    """
    name, facts = "feature_contract", reference.facts
    if not facts.contract.ranges:
        return unknown(name, about, "this version was trained before its features' ranges were learnt")
    rows = window.groupby(day).size() if len(window) else pd.Series(dtype=int)
    full = window[window[day].isin(rows.index[rows >= MIN_ROWS])] if len(window) else window
    if about.day not in set(full[day]) if len(full) else True:
        return unknown(name, about, f"{rows.get(about.day, 0)} answers on the day", len(window))
    design = facts.inputs.design
    expected = design.matrix(full) @ np.array(facts.inputs.weights)
    found = breaches(facts.contract, full, expected, design.numbers, design.standardised(full), day)
    told = sum(len(features) for features in facts.contract.ranges.values())
    reason = first_of([str(breach) for breach in found]) or f"all {told} ranges of clean days hold"
    numbers = {"broken": float(len(found)), "excess": found[0].excess if found else 0.0}
    return judgement(name, about, Verdict.ALARM if found else Verdict.OK, reason, numbers, len(full))


def feature_skew(
    about: Subject, served: pd.DataFrame, recomputed: pd.DataFrame, *, key: str, features: Sequence[str]
) -> Judgement:
    """Are the vectors that were served the ones that the features give today? Exact equality; NaN equals NaN.

    Both frames have ``key`` (unique) and the ``features``; rows are matched by key.
    """
    pairs = served[[key, *features]].merge(recomputed[[key, *features]], on=key, suffixes=("", "__recomputed"))
    if pairs.empty:
        return unknown("feature_skew", about, "no served vector could be recomputed")
    wrong = {name: _differs(pairs[name].to_numpy(), pairs[f"{name}__recomputed"].to_numpy()) for name in features}
    bad = {name: rows for name, rows in wrong.items() if rows.any()}
    values = sum(int(rows.sum()) for rows in bad.values())
    numbers = {"features": float(len(bad)), "values": float(values), "unmatched": len(served) - len(pairs)}
    if not bad:
        reason = f"all {len(pairs)} served vectors are equal"
        return judgement("feature_skew", about, Verdict.OK, reason, numbers, len(pairs))
    worst = sorted(bad, key=lambda name: -int(bad[name].sum()))[:3]
    reason = f"served and recomputed differ: {'; '.join(_example(pairs, name, bad[name], key) for name in worst)}"
    return judgement("feature_skew", about, Verdict.ALARM, reason, numbers, len(pairs))


def _example(pairs: pd.DataFrame, name: str, wrong: np.ndarray, key: str) -> str:
    """How many rows differ in a feature, and the first of them with both values."""
    decision, served, recomputed = (
        pairs.loc[wrong, [key, name, f"{name}__recomputed"]].head(1).to_dict("split")["data"][0]
    )
    told = f"{decision}: served {served!r}, recomputed {recomputed!r}"
    return f"{name} in {int(wrong.sum())} of {len(pairs)} rows ({told})"


def data_drift(
    about: Subject, reference: DriftReference, window: pd.DataFrame, engine: DriftEngine, *, day: str = "day"
) -> Judgement:
    """Did the inputs of the last days leave the training distribution in a way the other inputs do not explain?

    ``window``: the traffic of the last ``WINDOW_DAYS`` days up to the subject's, a column per feature and ``day``.
    """
    full = int((window.groupby(day).size() >= MIN_ROWS).sum()) if len(window) else 0
    if full < WINDOW_DAYS:
        return unknown("data_drift", about, f"{full} of {WINDOW_DAYS} days have enough traffic", len(window))
    inputs = reference.facts.inputs
    drift = measure_window(inputs, reference.sample, window, engine, day)
    top = list(drift.excess.items())[:3]
    features = ", ".join(f"{name} {excess:.1f}" for name, excess in top)
    return judgement(
        "data_drift",
        about,
        Verdict.ALARM if drift.score > inputs.limit else Verdict.OK,
        f"drift score {drift.score:.2f}, limit {inputs.limit:.2f} from clean weeks; farthest: {features}",
        {"score": drift.score, "limit": inputs.limit, **{f"excess {name}": excess for name, excess in top}},
        len(window),
    )


def prediction_drift(
    about: Subject,
    reference: DriftReference,
    window: pd.DataFrame,
    engine: DriftEngine,
    *,
    score: str = SCORE,
    day: str = "day",
) -> Judgement:
    """Did the answers move beyond what days move them? ``window``: the last days' ``score`` and ``day``."""
    if len(window) < MIN_ROWS:
        return unknown("prediction_drift", about, "too few answers", len(window))
    clean, days = reference.facts.outcomes.score, int(window[day].nunique())
    mean = float(window[score].mean())
    low, high = clean.bound(days, -DEVIATIONS), clean.bound(days, DEVIATIONS)
    distance = engine.distance("number", reference.sample[SCORE].to_numpy(), window[score].to_numpy(np.float64))
    return judgement(
        "prediction_drift",
        about,
        Verdict.OK if low <= mean <= high else Verdict.ALARM,
        f"mean score of {days} days {mean:.3f}, clean range {low:.3f} to {high:.3f}",
        {"mean_score": mean, "low": low, "high": high, "distance": distance},
        len(window),
    )


def label_drift(
    about: Subject, reference: DriftReference, window: pd.DataFrame, *, label: str, day: str = "day"
) -> Judgement:
    """Did the outcome rate move beyond what days move it? ``window``: the last days' outcomes, label and day."""
    if len(window) < MIN_ROWS:
        return unknown("label_drift", about, "too few outcomes", len(window))
    clean, days = reference.facts.outcomes.rate, int(window[day].nunique())
    rate = float(window[label].mean())
    low, high = clean.bound(days, -DEVIATIONS), clean.bound(days, DEVIATIONS)
    return judgement(
        "label_drift",
        about,
        Verdict.OK if low <= rate <= high else Verdict.ALARM,
        f"rate of {days} days {rate:.3f}, clean range {low:.3f} to {high:.3f}",
        {"rate": rate, "low": low, "high": high},
        len(window),
    )


def binomial_tail(successes: int, trials: int, rate: float) -> float:
    """Chance of at least that many successes."""
    from scipy.special import bdtrc

    return 1.0 if successes == 0 else float(bdtrc(successes - 1, trials, rate))


def _differs(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return ~((left == right) | (pd.isna(left) & pd.isna(right)))
