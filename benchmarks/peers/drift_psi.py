"""The population stability index by the book: ten quantile bins of the reference, more than 0.2 in any column.

Missing values are left out, as the usual recipes do; an empty bin counts as 0.0001.
"""

import numpy as np
import pandas as pd
from drift_windows import CATEGORIES, COLUMNS, answer_each, reference

BINS, LIMIT, LEAST = 10, 0.2, 1e-4
known = reference()
edges = {name: np.unique(np.nanquantile(known[name], np.linspace(0, 1, BINS + 1)[1:-1]))
         for name in COLUMNS if name not in CATEGORIES}  # fmt: skip


def shares(rows: pd.DataFrame, name: str) -> pd.Series:
    values = rows[name].dropna()
    binned = values if name in CATEGORIES else pd.Series(np.searchsorted(edges[name], values.to_numpy(), side="right"))
    return binned.value_counts(normalize=True)


expected = {name: shares(known, name) for name in COLUMNS}


def index(rows: pd.DataFrame, name: str) -> float:
    here, there = expected[name].align(shares(rows, name))
    here, there = (np.maximum(part.fillna(0.0), LEAST) for part in (here, there))
    return float(((there - here) * np.log(there / here)).sum())


answer_each(lambda rows: any(index(rows, name) > LIMIT for name in COLUMNS))
