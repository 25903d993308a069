"""Our offline store beside Feast's own DuckDB store, on made-up tables: the same rows, edge by edge."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.schedules import INSTANT

START = pd.Timestamp("2013-04-01T00:00Z")
pytestmark = pytest.mark.integration


def instants(seconds: list[int | None]) -> pd.Series:
    return pd.to_datetime(
        pd.Series(seconds, dtype="float64"), unit="s", origin=START.tz_localize(None), utc=True
    ).astype(INSTANT)


keys = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 2))
snapshots = st.lists(
    st.tuples(
        keys, st.integers(0, 12), st.one_of(st.none(), st.integers(0, 16)), st.one_of(st.none(), st.floats(-2, 2)),
        st.one_of(st.none(), st.text("xyz", max_size=2)),
    ),
    min_size=1, max_size=30, unique_by=lambda row: row[:3],
)  # fmt: skip
questions = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from("abcd")), st.integers(1, 3), st.integers(-1, 18)),
    min_size=1, max_size=20,
)  # fmt: skip


def table(rows: list[Any]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "name": [key[0] for key in columns[0]], "number": pd.Series([key[1] for key in columns[0]], dtype="int64"),
            "at": instants(columns[1]), "learned": instants(columns[2]),
            "value": pd.Series(columns[3], dtype="float64"), "word": pd.Series(columns[4], dtype=object),
        }
    )  # fmt: skip


def entities(rows: list[Any]) -> pd.DataFrame:
    names, numbers, seconds = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "row": range(len(rows)), "name": pd.Series(names, dtype=object),
            "number": pd.Series(numbers, dtype="int64"), "event_timestamp": instants(list(seconds)),
        }
    )  # fmt: skip


class Beside:
    """Both stores over copies of one table, called as Feast calls them."""

    def __init__(self, folder: Path) -> None:
        from feast import Entity, FeatureView, Field, ValueType
        from feast.types import Float64, Int64, String

        self.folder = folder
        self.registry: Any = SimpleNamespace(list_on_demand_feature_views=lambda *_, **__: [])
        self._entities = [
            Entity(name="name", join_keys=["name"], value_type=ValueType.STRING),
            Entity(name="number", join_keys=["number"], value_type=ValueType.INT64),
        ]
        self._view, self._fields = (
            FeatureView,
            [
                Field(name=name, dtype=kind)
                for name, kind in (("name", String), ("number", Int64), ("value", Float64), ("word", String))
            ],
        )

    def view(self, ttl_s: int | None, **source: Any) -> Any:
        from feast import FileSource

        made = FileSource(name="side", timestamp_field="at", created_timestamp_column="learned", **source)
        ttl = None if ttl_s is None else dt.timedelta(seconds=ttl_s)
        return self._view(name="side", entities=self._entities, ttl=ttl, schema=self._fields, source=made)

    def ours(
        self, rows: pd.DataFrame, asked: pd.DataFrame, ttl_s: int | None, cutoff: bool, **more: Any
    ) -> pd.DataFrame:
        from feast.data_format import DeltaFormat

        from mlops_assets.adapters.offline_store import DeltaOfflineStore, DeltaOfflineStoreConfig

        write_deltalake(self.folder / "side", pa.Table.from_pandas(rows, preserve_index=False), mode="overwrite")
        config = SimpleNamespace(
            offline_store=DeltaOfflineStoreConfig(tables=str(self.folder), created_cutoff=cutoff), repo_path="."
        )
        view = self.view(ttl_s, path="side", file_format=DeltaFormat())
        return self._ask(DeltaOfflineStore, config, view, asked, **more)

    def feasts(self, rows: pd.DataFrame, asked: pd.DataFrame, ttl_s: int | None, cutoff: bool) -> pd.DataFrame:
        from feast.data_format import ParquetFormat
        from feast.infra.offline_stores.duckdb import DuckDBOfflineStore

        rows.to_parquet(self.folder / "side.parquet", index=False)
        view = self.view(ttl_s, path=str(self.folder / "side.parquet"), file_format=ParquetFormat())
        config = SimpleNamespace(offline_store=SimpleNamespace(
            staging_location=None, staging_location_endpoint_override=None), repo_path=".")  # fmt: skip
        return self._ask(DuckDBOfflineStore, config, view, asked, filter_by_created_timestamp=cutoff)

    def _ask(self, store: Any, config: Any, view: Any, asked: pd.DataFrame, **more: Any) -> pd.DataFrame:
        refs = ["side:value", "side:word"]
        job = store.get_historical_features(
            config, [view], refs, asked.copy(), self.registry, "p", full_feature_names=True, **more
        )
        return job.to_arrow().to_pandas()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    return Beside(tmp_path_factory.mktemp("beside"))


@settings(max_examples=40, deadline=None)
@given(rows=snapshots, asked=questions, ttl_s=st.one_of(st.none(), st.integers(1, 6)), cutoff=st.booleans())
def test_both_stores_find_the_same(beside, rows, asked, ttl_s, cutoff):
    mine = beside.ours(table(rows), entities(asked), ttl_s, cutoff)
    theirs = beside.feasts(table(rows), entities(asked), ttl_s, cutoff)
    names = ["row", "side__value", "side__word"]
    pd.testing.assert_frame_equal(
        mine[names], theirs.sort_values("row", ignore_index=True)[names], check_exact=True, check_dtype=False
    )


def test_rows_keep_the_order_of_the_question(beside):
    asked = entities([("a", 1, 9), ("b", 1, 3), ("a", 1, 2), (None, 1, 5)])
    found = beside.ours(table([(("a", 1), 2, 2, 0.5, "x"), (("b", 1), 1, 1, 0.25, None)]), asked, None, True)
    assert found["row"].tolist() == [0, 1, 2, 3]
    assert found["side__value"].tolist()[:3] == [0.5, 0.25, 0.5]
    assert found["side__word"].tolist() == ["x", None, "x", None]


def test_a_value_lives_to_the_last_microsecond_of_its_time(beside):
    asked = entities([("a", 1, 10)] * 3)
    asked["event_timestamp"] += pd.to_timedelta([-1, 0, 1], unit="us")
    found = beside.ours(table([(("a", 1), 0, 0, 0.5, "x")]), asked, 10, True)
    assert found["side__value"].notna().tolist() == [True, True, False]


def test_a_caller_can_ask_for_the_cutoff_where_the_settings_do_without(beside):
    rows, asked = table([(("a", 1), 1, 1, 0.5, "x"), (("a", 1), 2, 9, 1.5, "y")]), entities([("a", 1, 5)])
    assert beside.ours(rows, asked, None, cutoff=False)["side__value"].tolist() == [1.5]
    asked_for = beside.ours(rows, asked, None, cutoff=False, filter_by_created_timestamp=True)
    assert asked_for["side__value"].tolist() == [0.5]


def test_a_frame_without_instants_and_a_query_are_refused(beside):
    with pytest.raises(ValueError, match="event_timestamp"):
        beside.ours(table([(("a", 1), 0, 0, 0.5, "x")]), pd.DataFrame({"name": ["a"], "number": [1]}), None, True)
    with pytest.raises(TypeError, match="as a frame"):
        beside.ours(table([(("a", 1), 0, 0, 0.5, "x")]), SimpleNamespace(copy=lambda: "SELECT 1"), None, True)


def test_no_questions_have_no_answers(beside):
    found = beside.ours(table([(("a", 1), 0, 0, 0.5, "x")]), entities([("a", 1, 1)]).iloc[:0], 5, True)
    assert list(found.columns) == ["row", "name", "number", "event_timestamp", "side__value", "side__word"]
    assert found.empty


def test_a_source_that_renames_columns_is_refused(beside):
    from feast import FileSource

    from mlops_assets.adapters.offline_store import DeltaOfflineStore

    source = FileSource(name="side", path="side", timestamp_field="at", field_mapping={"old": "new"})
    with pytest.raises(ValueError, match="renames"):
        DeltaOfflineStore().validate_data_source(SimpleNamespace(), source)


def test_the_newest_row_of_every_key_is_what_goes_online(beside):
    from feast.data_format import DeltaFormat

    from mlops_assets.adapters.offline_store import DeltaOfflineStore, DeltaOfflineStoreConfig

    rows = [
        (("a", 1), 1, 1, 0.5, "x"),
        (("a", 1), 2, 2, 1.5, "y"),
        (("a", 1), 2, 9, 2.5, None),
        (("b", 1), 9, 9, 0.0, ""),
    ]
    write_deltalake(beside.folder / "latest", pa.Table.from_pandas(table(rows), preserve_index=False))
    config: Any = SimpleNamespace(offline_store=DeltaOfflineStoreConfig(tables=str(beside.folder)))
    source = beside.view(None, path="latest", file_format=DeltaFormat()).batch_source
    bounds = [(START + pd.Timedelta(seconds=second)).to_pydatetime() for second in (1, 5)]
    job = DeltaOfflineStore.pull_latest_from_table_or_query(
        config, source, ["name", "number"], ["value"], "at", "learned", *bounds
    )
    assert job.to_arrow().to_pandas()[["name", "value"]].to_numpy().tolist() == [["a", 2.5]]
    job = DeltaOfflineStore.pull_all_from_table_or_query(config, source, ["name"], ["value"], "at", "learned", *bounds)
    assert sorted(job.to_arrow()["value"].to_pylist()) == [0.5, 1.5, 2.5]
