"""One retrieval of a year's decisions with all their features, by one of several ways, in a process of its own.

Run as ``python -m benchmarks.features_offline WAY ROOT VARIANT``. Here: the ways. Does not belong here: which are run
and how they are compared (``benchmarks.features``).

Time runs from the call to the table in hand, after a retrieval of a hundred rows (imports, connections); memory is the
peak until then. The digest of the values, taken afterwards, says whether two ways found the same.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from benchmarks.features_tables import CORRECTED
from benchmarks.measure import peak_mb_of
from mlops_assets.adapters.feature_specs import REPO, repo_objects, repo_spec
from mlops_assets.ml.digests import content_digest
from mlops_assets.ml.features import VIEWS

SERVICE = "arrival_delay_v1"
DASK_BYTES = 8 << 30
"""Address space for Feast's dask store, eight times what the others need."""
Retrieve = Callable[[pd.DataFrame], pa.Table | pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Where the tables of a variant are. Stands for ``Settings`` where those are asked for folders."""

    root: Path
    variant: str

    @property
    def tables(self) -> Path:
        """Folder of the Delta tables."""
        return self.root / self.variant / "tables"

    @property
    def features(self) -> Path:
        """Folder of Feast's registry."""
        return Path(tempfile.mkdtemp(dir=self.root))


def references() -> list[str]:
    """Every feature of every view, as Feast names them."""
    return [f"{view.name}:{field.name}" for view in repo_spec().views for field in view.fields]


def ours(at: Deployment) -> Retrieve:
    """Feast's call on our offline store over the Delta tables; the cut-off by created time is on."""
    store = _feast(at, {"type": "mlops_assets.adapters.offline_store.DeltaOfflineStore", "tables": str(at.tables)})
    return lambda asked: store.get_historical_features(asked, references(), full_feature_names=True).to_arrow()


def training_frame(at: Deployment) -> Retrieve:
    """What a training set is made with: our store's frame, in pandas, with the on-demand features."""
    from dataclasses import replace

    from mlops_assets.adapters.feast_feature_store import FeastFeatureStore
    from mlops_assets.adapters.settings import Settings

    state = Path(tempfile.mkdtemp(dir=at.root))
    (state / "tables").symlink_to(at.tables)
    store = FeastFeatureStore(replace(Settings(), state=state))
    store.apply()
    return lambda asked: store.training_frame(SERVICE, asked)


def feast_duckdb(at: Deployment) -> Retrieve:
    """Feast's own DuckDB store on Parquet copies; with its created-time filter where that makes a difference."""
    store, cutoff = _feast(at, {"type": "duckdb"}, copies=True), at.variant == CORRECTED
    return lambda asked: store.get_historical_features(
        asked, references(), full_feature_names=True, filter_by_created_timestamp=cutoff
    ).to_arrow()


def feast_dask(at: Deployment) -> Retrieve:
    """Feast's default store on Parquet copies."""
    store = _feast(at, {"type": "dask"}, copies=True)
    return lambda asked: store.get_historical_features(asked, references(), full_feature_names=True).to_arrow()


def bare_delta(at: Deployment) -> Retrieve:
    """Bare DuckDB SQL on the files of the Delta tables, named by deltalake."""
    from deltalake import DeltaTable

    return lambda asked: _bare(
        asked, {view: DeltaTable(at.tables / "flights" / "features" / view).file_uris() for view in VIEWS}
    )


def bare_parquet(at: Deployment) -> Retrieve:
    """Bare DuckDB SQL on the Parquet copies, one file for each view."""
    return lambda asked: _bare(asked, {view: [str(at.root / at.variant / f"{view}.parquet")] for view in VIEWS})


WAYS = {way.__name__: way for way in (ours, training_frame, feast_duckdb, feast_dask, bare_delta, bare_parquet)}


def _bare(asked: pd.DataFrame, files: dict[str, list[str]]) -> pa.Table:
    """ASOF joins with the time to live, as anybody would write them; nothing is asked about created times."""
    import duckdb

    selected, joins = ["e.*"], []
    for spec in repo_spec().views:
        v, key, ttl = spec.name, spec.join_key, f"INTERVAL {spec.ttl_seconds} SECOND"
        joins.append(
            f"ASOF LEFT JOIN read_parquet({files[v]!r}, hive_partitioning = false) {v} "
            f"ON e.{key} = {v}.{key} AND e.event_timestamp >= {v}.event_timestamp"
        )
        fresh = f"e.event_timestamp - {v}.event_timestamp <= {ttl}"
        selected += [f"CASE WHEN {fresh} THEN {v}.{f.name} END AS {v}__{f.name}" for f in spec.fields]
    with duckdb.connect() as connection:
        connection.register("e", pa.Table.from_pandas(asked, preserve_index=False))
        return connection.sql(f"SELECT {', '.join(selected)} FROM e {' '.join(joins)}").to_arrow_table()


def _feast(at: Deployment, offline_store: dict[str, str], *, copies: bool = False) -> Any:
    """A Feast store with the repo's views, over the tables or over the Parquet copies."""
    from feast import FeatureStore, FeatureView, FileSource, RepoConfig
    from feast.data_format import ParquetFormat

    config = RepoConfig(
        project="bench", provider="local", registry=str(at.features / "registry.db"), online_store=None,
        offline_store=offline_store, entity_key_serialization_version=3,
    )  # fmt: skip
    store, objects = FeatureStore(config=config), repo_objects(REPO)
    if copies:
        objects = [item for item in objects if type(item) is not FileSource]
        for view in (item for item in objects if type(item) is FeatureView):
            view.batch_source = FileSource(
                name=f"{view.name}_copy", path=str(at.root / at.variant / f"{view.name}.parquet"),
                timestamp_field="event_timestamp", created_timestamp_column="created_timestamp",
                file_format=ParquetFormat(),
            )  # fmt: skip
    store.apply(objects)
    return store


def main(way: str, root: str, variant: str) -> None:
    """Retrieve once and tell how long it took."""
    if way == feast_dask.__name__:
        # It takes whatever memory there is, and then the machine's.
        resource.setrlimit(resource.RLIMIT_AS, (DASK_BYTES, DASK_BYTES))
    asked = pd.read_parquet(Path(root) / "decisions.parquet")
    retrieve = WAYS[way](Deployment(root=Path(root), variant=variant))
    retrieve(asked.head(100))
    before = peak_mb_of()
    begin, processor = time.perf_counter(), time.process_time()
    found = retrieve(asked)
    seconds, cpu_seconds, peak_mb = time.perf_counter() - begin, time.process_time() - processor, peak_mb_of()
    frame = found.to_pandas() if isinstance(found, pa.Table) else found
    names = ["flight_id", *(name.replace(":", "__") for name in references())]
    digest = content_digest(frame[names])
    taken = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb, "before_mb": before}
    print(json.dumps({**taken, "rows": len(frame), "digest": digest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
