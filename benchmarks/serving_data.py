"""What the servers are measured with: real rows, the use case's features, one model of 500 trees.

Run as ``python -m benchmarks.serving_data STATE``. Here: the state of a deployment with its online store filled, and
the model's bundle with rows to ask. Does not belong here: servers, load.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from benchmarks.model_data import USE_CASE, Graph
from mlops_assets.assets.address import DATASETS, FEATURES, key
from mlops_assets.ml.bundles import Inputs, decode_signature
from mlops_assets.ml.encoding import encode
from mlops_assets.ml.fitting import fit_bundle

FIRST, CUTOFF, LAST = "2013-01-01", "2013-03-17", "2013-03-20"
AT = f"{LAST}T22:00:00Z"
"""When the decisions are asked for: the online store holds the values of that day."""
TREES, LEAVES, ROWS, WIDTH = 500, 63, 2000, 27


def main(state: str) -> None:
    """Make everything below ``state``; nothing when it is there."""
    root = Path(state)
    if (root / "bench" / "rows.json").exists() and (root / "bench" / "shadow").exists():
        return
    graph = Graph(root)
    domain = USE_CASE.domain
    wanted = [
        asset
        for asset in graph.definitions.resolve_asset_graph().materializable_asset_keys
        if asset.path[0] == domain.name and asset.path[1] in (DATASETS, FEATURES)
    ]
    registers = [key(domain, DATASETS, name) for name in ("aircraft", "airports")]
    store = key(domain, FEATURES, "online_store")
    graph.run(registers, LAST)
    graph.run([asset for asset in wanted if asset not in (*registers, store)], LAST, FIRST)
    graph.run([store], LAST)
    graph.freeze(CUTOFF)
    frame = graph.rows(CUTOFF)
    inputs = without_gaps(graph.inputs, frame)
    params = {**USE_CASE.training.params, "num_leaves": LEAVES, "min_data_in_leaf": 20, "learning_rate": 0.01}
    training = replace(USE_CASE.training, params=params, rounds=TREES, early_stopping_rounds=TREES)
    folder = root / "bench"
    other = replace(training, params={**params, "seed": 8})
    for place, fitted in (("shadow", other), ("bundle", training)):
        _, files = fit_bundle(frame, USE_CASE, fitted, inputs)
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / place / name).write_bytes(content)
    asked = frame[~frame[[f.name for f in inputs.features]].isna().any(axis=1)].tail(ROWS)
    names = [feature.name for feature in inputs.features]
    categories = {feature.name for feature in inputs.features if feature.kind == "category"}
    signature = decode_signature(files["signature.json"])
    rows = {
        "matrix": encode({name: asked[name].tolist() for name in names}, signature.features).tolist(),
        "features": [_plain(row, categories) for row in asked[names].to_dict("records")],
        "decisions": decisions(asked, [field.name for field in inputs.request_fields]),
    }
    (folder / "rows.json").write_bytes(msgspec.json.encode(rows))
    print(json.dumps({"rows": len(frame), "features": len(names), "trees": TREES, "leaves": LEAVES}))


def without_gaps(inputs: Inputs, frame: pd.DataFrame) -> Inputs:
    """The features that are hardly ever missing, as many as WIDTH: other servers read no missing values, or each of
    them in a way of its own."""
    gaps = frame[[f.name for f in inputs.features]].isna().mean()
    kept = sorted(inputs.features, key=lambda f: gaps[f.name])[:WIDTH]
    return msgspec.structs.replace(inputs, features=tuple(f for f in inputs.features if f in kept))


def decisions(asked: pd.DataFrame, fields: list[str]) -> list[dict[str, Any]]:
    """The same rows as a caller asks who knows the entity alone."""
    rows = asked[fields].to_dict("records")
    return [{name: _number(value) for name, value in row.items()} | {"event_time": AT} for row in rows]


def _plain(row: dict[str, Any], categories: set[str]) -> dict[str, Any]:
    return {name: _number(value) if name not in categories else (value or None) for name, value in row.items()}


def _number(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(value)
    return int(value) if isinstance(value, np.integer) else value


if __name__ == "__main__":
    main(sys.argv[1])
