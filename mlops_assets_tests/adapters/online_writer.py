"""A process that puts many snapshots online and may be killed at it: ``python -m ... STATE ONLINE_STORE``.

Belongs here: what ``test_online_writes`` kills. Does not: assertions.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.feature_specs import repo_spec
from mlops_assets.adapters.settings import Settings
from mlops_assets.ml.schedules import INSTANT

KEYS = 1500
NOON = pd.Timestamp("2013-04-01T16:00Z")


def snapshots(view: str, seed: int, at: pd.Timestamp = NOON) -> pd.DataFrame:
    """One snapshot of each of many keys."""
    spec = repo_spec().view(view)
    values = np.random.default_rng(seed).normal(size=(KEYS, len(spec.fields)))
    frame = pd.DataFrame(values, columns=[field.name for field in spec.fields])
    frame.insert(0, spec.join_key, [f"K{number}" for number in range(KEYS)])
    return frame.assign(event_timestamp=pd.Series([at] * KEYS, dtype=INSTANT))


def main(state: str, online_store: str) -> None:
    """Write view after view, and tell before each."""
    store = FeastFeatureStore(replace(Settings(), state=Path(state), online_store=online_store))
    store.snapshots("origin_weather", ["K0"])
    for view in store.spec.views:
        print(view.name, flush=True)
        store.write_online(view.name, snapshots(view.name, seed=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
