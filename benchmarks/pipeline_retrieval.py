"""A training set of so many rows, through the feature store, as a process of its own.

Run as ``python -m benchmarks.pipeline_retrieval STATE ROWS`` on the tables that ``benchmarks.pipeline_graph`` left.
Here: making the decisions and timing the join. Does not belong here: comparing.
"""

import json
import sys
import time
from pathlib import Path

import pandas as pd

from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.ml.training import decisions
from mlops_assets.use_cases import ARRIVAL_DELAY


def main(state: Path, rows: int) -> None:
    """Join and print rows and seconds."""
    flights = DeltaTables(state / "tables").read("flights/datasets/flights")
    asked: list[pd.DataFrame] = []
    while sum(map(len, asked)) < rows:
        # The same flights, asked about an hour earlier each time.
        asked.append(decisions(flights, ARRIVAL_DELAY.decision_lead_minutes + 60 * len(asked)))
    entities = pd.concat(asked, ignore_index=True).iloc[:rows]
    del flights, asked
    store = FeastFeatureStore(Settings(state=state))
    store.training_frame(ARRIVAL_DELAY.feature_service, entities.iloc[:10])
    begin = time.perf_counter()
    joined = store.training_frame(ARRIVAL_DELAY.feature_service, entities)
    print(json.dumps({"seconds": time.perf_counter() - begin, "rows": len(joined)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
