"""Training: the frozen training set of a cut-off day, joined point in time through the feature store.

Here: training_set. Belongs here: what is fixed before a model sees it. Does not: which rows and labels
(``ml.training``), features (``feature_repo``), the model (``assets.models``).
"""

from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.adapters.artifacts import Artifacts
from mlops_assets.adapters.feature_store import FeatureStore
from mlops_assets.adapters.tables import Tables
from mlops_assets.assets.address import DATASETS, FEATURE_VIEWS, FEATURES, TRAINING, group, key, table
from mlops_assets.assets.files import folder
from mlops_assets.assets.partitions import calendar, shift, training_window
from mlops_assets.contracts import TableVersion, UseCase, to_json
from mlops_assets.ml.training import entity_frame, freeze


def build_training(use_case: UseCase) -> list[Any]:
    """The training assets of a use case."""
    return [_training_set(use_case)]


def inputs_of(use_case: UseCase) -> list[tuple[str, str]]:
    """(stage, name) of every table a training set is made from."""
    views = [(FEATURES, view) for view in FEATURE_VIEWS]
    return [(DATASETS, "flights"), (DATASETS, "arrivals"), *views]


def _training_set(use_case: UseCase) -> dg.AssetsDefinition:
    address = key(use_case, TRAINING, "training_set")
    whole = dg.AssetCheckSpec("has_both_outcomes", asset=address, description="Both labels occur, no label is missing.")
    days = training_window(use_case)

    @dg.asset(
        key=address,
        group_name=group(use_case, TRAINING),
        partitions_def=calendar(use_case.domain),
        deps=[
            dg.AssetDep(key(use_case.domain, stage, name), partition_mapping=days)
            for stage, name in inputs_of(use_case)
        ],
        check_specs=[whole],
    )
    def training_set(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[Tables],
        feature_store: dg.ResourceParam[FeatureStore],
        artifacts: dg.ResourceParam[Artifacts],
    ) -> dg.MaterializeResult:
        """Every decision whose outcome was known by the cut-off day, with the features known when it was taken."""
        cutoff, first = context.partition_key, first_day(use_case, context.partition_key)
        pins = [pin(tables, use_case, stage, name, first, cutoff) for stage, name in inputs_of(use_case)]
        versions = {entry.table: entry.version for entry in pins}
        decisions = labelled(tables, use_case, first, cutoff, versions)
        frame = feature_store.training_frame(use_case.feature_service, decisions, versions)
        content, digest = freeze(frame)
        where = folder(use_case, TRAINING, "training_set", cutoff)
        artifacts.put_all(where, {"rows.parquet": content, "tables.json": to_json(pins).encode()})
        rate = float(frame[use_case.label].mean())
        check = dg.AssetCheckResult(passed=0 < rate < 1, check_name=whole.name, metadata={"late_rate": rate})
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": len(frame),
                "late_rate": rate,
                "first_day": first,
                "digest": digest,
                "tables": dg.MetadataValue.json(versions),
            },
            data_version=dg.DataVersion(digest),
            check_results=[check],
        )

    return training_set


def first_day(use_case: UseCase, cutoff_day: str) -> str:
    """First day of the training window that ends on the cut-off day."""
    window = use_case.training.window_days
    return use_case.domain.first_day if window is None else shift(cutoff_day, 1 - window)


def pin(tables: Tables, use_case: UseCase, stage: str, name: str, first: str, last: str) -> TableVersion:
    """The state of a table that this training set reads."""
    address = table(use_case.domain, stage, name)
    version = tables.version(address)
    if version is None:
        raise dg.Failure(f"table {address} does not exist: materialize {address} for {first} to {last} first")
    return TableVersion(table=address, version=version, first_day=first, last_day=last)


def labelled(tables: Tables, use_case: UseCase, first: str, last: str, versions: dict[str, int]) -> pd.DataFrame:
    """The decisions of the window whose outcome was known by its last day."""
    flights, arrivals = (table(use_case.domain, DATASETS, name) for name in ("flights", "arrivals"))
    return entity_frame(
        tables.read(flights, first, last, versions[flights]),
        tables.read(arrivals, first, last, versions[arrivals]),
        last,
        use_case.training.window_days,
        use_case.decision_lead_minutes,
    )
