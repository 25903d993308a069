"""Do labels contradict what nearly decides them? A flight that departs an hour late arrives late.

Here: the monitor of the labels' meaning. Belongs here: evidence that labels were inverted or mixed up. Does not:
whether their rate moved (``ml.monitoring.label_drift``), what follows (``ml.policy``).

The sum of log-likelihood ratios of "so many labels are inverted" against "none is", taken over the last day, the last
two and the last three: Page, Continuous inspection schemes, Biometrika 41 (1954), cut to three days. One contradiction
by a flight that left 90 minutes late weighs more than three by flights that left 61 minutes late, and a day alone can
speak though the days before it were good.
"""

import numpy as np
import pandas as pd

from mlops_assets.contracts import Judgement, Verdict
from mlops_assets.ml.monitoring import Subject, judgement, unknown

DAYS = 3
"""The last so many days of outcomes are looked at."""
BANDS = ((60.0, 0.016), (75.0, 0.001), (90.0, 0.0002))
"""Minutes late at departure -> share that still arrives in time, with room for days with a tail wind: from January to
June 2013 it was 0.0046, 0 and 0, from July on 0.0040, 0.0009 and 0."""
INVERTED = 0.05
"""Share of inverted labels that the ratio asks about; a larger one shows all the sooner."""
LIMIT = float(np.log(100))
"""A hundred to one. The nearest clean day to mid-year gave e^1.5 (4 May), from July on e^2.9 (9 September). Of days on
which 5, 10 and 30 % of the labels are inverted 60, 83 and 99 % are told on the first, 93 % and more on the third."""
FEWEST = 10
"""Rows below which contradictions cannot be counted."""
ALONE = 1
"""So many contradictions are one mistyped row, whatever their odds."""


def label_sanity(
    about: Subject, outcomes: pd.DataFrame, *, label: str, certain: str = "dep_delay", day: str = "day"
) -> Judgement:
    """Do the labels contradict the departures? ``outcomes``: of up to three days, with label, ``certain`` and day."""
    above = BANDS[0][0]
    sure = outcomes[outcomes[certain] > above]
    if len(sure) < FEWEST:
        return unknown("label_sanity", about, f"only {len(sure)} rows have {certain} > {above:g}", len(sure))
    contradicts = (sure[label] < 0.5).to_numpy()
    each = log_ratios(sure[certain].to_numpy(np.float64), contradicts)
    by_day = pd.Series(each).groupby(sure[day].to_numpy()).sum().sort_index()
    odds = float(by_day[::-1].cumsum().max())
    return judgement(
        "label_sanity",
        about,
        Verdict.ALARM if odds > LIMIT and contradicts.sum() > ALONE else Verdict.OK,
        f"{contradicts.sum()} of {len(sure)} rows with {certain} > {above:g} lack the label: "
        f"e^{odds:.1f} to one for {INVERTED:.0%} inverted labels (limit e^{LIMIT:.1f})",
        {
            "contradictions": float(contradicts.sum()),
            "share": float(contradicts.mean()),
            "log_odds": odds,
            "limit": LIMIT,
        },
        len(sure),
    )


def log_ratios(certain: np.ndarray, contradicts: np.ndarray) -> np.ndarray:
    """Of each row log P(label | some are inverted) - log P(label | none is), shape (rows,); ``certain`` in minutes."""
    edges, shares = np.array(BANDS).T
    clean = shares[np.searchsorted(edges, certain) - 1]
    mixed = clean * (1 - INVERTED) + (1 - clean) * INVERTED
    return np.where(contradicts, np.log(mixed / clean), np.log((1 - mixed) / (1 - clean)))
