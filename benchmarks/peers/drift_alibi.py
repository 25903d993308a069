"""alibi-detect's TabularDrift with its defaults: p < 0.05, Bonferroni; drift of the batch.

It has no handling of missing values: a p-value of NaN is never below the threshold, so a column with one missing value
is not watched. A newcomer fills them with the reference's median. Categories become codes; their values are left to be
taken from the reference, as one that is declared and occurs in neither sample raises.
"""

import numpy as np
import pandas as pd
from alibi_detect.cd import TabularDrift
from drift_windows import CATEGORIES, NUMBERS, answer_each, reference

ROWS = 10_000
known = reference(ROWS)
medians = known[NUMBERS].median()
levels = {name: {level: code for code, level in enumerate(sorted(known[name].unique()))} for name in CATEGORIES}


def encoded(rows: pd.DataFrame) -> np.ndarray:
    numbers = rows[NUMBERS].fillna(medians).to_numpy(np.float32)
    codes = [rows[name].map(levels[name]).fillna(-1).to_numpy(np.float32) for name in CATEGORIES]
    return np.column_stack([numbers, *codes])


categorical = {len(NUMBERS) + position: None for position in range(len(CATEGORIES))}
detector = TabularDrift(encoded(known), categories_per_feature=categorical)
answer_each(lambda rows: bool(detector.predict(encoded(rows))["data"]["is_drift"]))
