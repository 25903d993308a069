"""The declared columns are the ones that the code really uses: each is changed, and exactly its features follow."""

import numpy as np
import pandas as pd
import pytest

from mlops_assets.ml.column_lineage import COLUMN_LINEAGE
from mlops_assets.ml.features import VIEWS, compute, hours_of
from mlops_assets_tests.ml.made_days import DAYS, world

INPUTS = [(view, dataset) for view, facts in VIEWS.items() for dataset in facts.inputs]


def snapshots(view: str, frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    keys = [VIEWS[view].key, "event_timestamp"]
    return compute(view, frames, hours_of(DAYS)).set_index(keys).sort_index()


def changed(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The same rows with other values in one column: numbers and instants moved, names handed round."""
    values = frame[column]
    if pd.api.types.is_datetime64_any_dtype(values):
        return frame.assign(**{column: (values + pd.Timedelta(hours=7)).astype(values.dtype)})
    if pd.api.types.is_numeric_dtype(values):
        shift = np.arange(len(values)) % 17 + 1
        return frame.assign(**{column: (values + shift).astype(values.dtype)})
    return frame.assign(**{column: np.roll(values.to_numpy(), 1)})


def followers(view: str, frames: dict[str, pd.DataFrame], dataset: str, column: str) -> set[str]:
    before = snapshots(view, frames)
    after = snapshots(view, {**frames, dataset: changed(frames[dataset], column)})
    both = before.index.intersection(after.index)
    differs = [not before.loc[both, name].equals(after.loc[both, name]) for name in before.columns]
    return {name for name, other in zip(before.columns, differs, strict=True) if other}


@pytest.mark.parametrize(("view", "dataset"), INPUTS)
def test_every_feature_follows_exactly_its_declared_columns(view: str, dataset: str) -> None:
    frames = world(7)
    declared = COLUMN_LINEAGE[view]
    for column in frames[dataset].columns:
        wanted = {
            f for f, sources in declared.items() if any((s.dataset, s.column) == (dataset, column) for s in sources)
        }
        assert followers(view, frames, dataset, column) == wanted, column


@pytest.mark.parametrize("view", VIEWS)
def test_every_feature_of_a_view_is_declared(view: str) -> None:
    assert set(COLUMN_LINEAGE[view]) == set(snapshots(view, world(7)).columns)
