"""The upkeep of the tables: what registered models were made from stays, whatever else goes."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.pins import pinned_versions
from mlops_assets.adapters.registry import Registry, RegistryCorrupt, RegistryUnavailable
from mlops_assets.adapters.tables import DeltaTables, TableMissing, Tables
from mlops_assets.assets.address import DATASETS, key
from mlops_assets.assets.datasets.upkeep import upkeep_asset
from mlops_assets.contracts import TableVersion, to_json
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.conftest import FIRST, LAST, Twins, checks_of

DAY, NAME = "2013-03-01", "flights/datasets/arrivals"
BUNDLE = {"model.txt": b"tree"}


@pytest.fixture(params=["memory", "delta"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Tables:
    return MemoryTables() if request.param == "memory" else DeltaTables(tmp_path)


def write(tables: Tables, count: int) -> list[TableVersion]:
    frames = (pd.DataFrame({"day": DAY, "delay": np.arange(5.0) + number}) for number in range(count))
    return [tables.replace(NAME, frame, [DAY], {}) for frame in frames]


def register(registry: MemoryRegistry, pins: Sequence[TableVersion], run: str = "r") -> None:
    """A version whose manifest pins these tables, and holds what a later release may say of them besides."""
    manifest = {"tables": pins, "something_new": 1}
    documents = {"manifest.json": to_json(manifest).encode()}
    registry.register("late", run, BUNDLE, documents, bundle_digest(BUNDLE), {"cutoff_day": DAY})


def tend(tables: Tables, registry: Registry, hours: int = 0, fails: bool = False) -> dg.ExecuteInProcessResult:
    asset = upkeep_asset(USE_CASES[0].domain)
    config = {"ops": {"flights__datasets__upkeep": {"config": {"retention_hours": hours}}}}
    parts = {"tables": tables, "registry": registry}
    return dg.materialize([asset], resources=parts, run_config=config, raise_on_error=not fails)


def is_there(tables: Tables, version: TableVersion) -> bool:
    try:
        return tables.read(NAME, version=version.version)["delay"].tolist() != []
    except TableMissing:
        return False


def test_pinned_versions_keep_every_row_and_the_other_old_ones_go(tables):
    versions, registry = write(tables, 20), MemoryRegistry()
    register(registry, [versions[4]], "first")
    register(registry, [versions[11], versions[4]], "second")
    before = tables.read(NAME, version=versions[4].version)
    result = tend(tables, registry)
    assert checks_of(result) == {"upkeep/pinned_versions_are_whole": True}
    assert [v for v in versions if is_there(tables, v)] == [versions[4], versions[11], versions[19]]
    pd.testing.assert_frame_equal(tables.read(NAME, version=versions[4].version), before)
    told = result.asset_materializations_for_node("flights__datasets__upkeep")[0].metadata
    assert told["files_deleted"].value > 0
    assert NAME in told["tables"].value


def test_young_versions_stay_for_the_retention(tables):
    versions = write(tables, 3)
    tend(tables, MemoryRegistry(), hours=2)
    assert all(is_there(tables, version) for version in versions)


def test_a_pinned_version_that_was_lost_is_seen(tables):
    versions, registry = write(tables, 3), MemoryRegistry()
    tables.vacuum(NAME, (), older_than_hours=0)
    register(registry, [versions[0]])
    result = tend(tables, registry)
    assert checks_of(result) == {"upkeep/pinned_versions_are_whole": False}
    (event,) = result.get_asset_check_evaluations()
    assert event.metadata["lost"].value == [f"{NAME} version {versions[0].version}"]


class Silent(MemoryRegistry):
    """A registry that does not answer."""

    def models(self) -> list[str]:
        raise RegistryUnavailable("http://127.0.0.1:9", "connection refused")


def test_nothing_is_deleted_while_the_registry_does_not_answer(tables):
    versions = write(tables, 3)
    assert not tend(tables, Silent(), fails=True).success
    assert all(is_there(tables, version) for version in versions)


def test_nothing_is_deleted_on_the_word_of_a_manifest_that_was_changed(tables):
    versions, registry = write(tables, 3), MemoryRegistry()
    register(registry, [versions[0]])
    registry.files["late", 1]["documents/manifest.json"] = b'{"tables": []}'
    with pytest.raises(RegistryCorrupt):
        pinned_versions(registry)
    assert not tend(tables, registry, fails=True).success
    assert all(is_there(tables, version) for version in versions)


def test_a_version_without_manifest_pins_nothing_and_is_named():
    registry = MemoryRegistry()
    registry.register("late", "r", BUNDLE, {}, bundle_digest(BUNDLE), {"cutoff_day": DAY})
    assert pinned_versions(registry).without_manifest == ("late 1",)
    assert pinned_versions(registry).versions == {}


def test_the_nightly_job_keeps_what_the_champion_of_a_life_was_made_from(lived: Twins):
    tables, pins = lived.memory.tables, pinned_versions(lived.memory.registry).versions
    assert {"flights/datasets/flights", "flights/features/carrier_delays"} <= set(pins)
    before = {(table, v): tables.read(table, version=v) for table, versions in pins.items() for v in versions}
    lived.materialize([key(lived.domain, DATASETS, name) for name in ("flights", "arrivals")], FIRST, LAST)
    config = {"ops": {"flights__datasets__upkeep": {"config": {"retention_hours": 0}}}}
    job = lived.definitions.resolve_job_def("flights__upkeep")
    result = job.execute_in_process(instance=lived.instance, run_config=config)
    assert checks_of(result) == {
        "upkeep/pinned_versions_are_whole": True,
        "log_retention/forgotten_answers_are_kept": True,
    }
    for (table, version), frame in before.items():
        pd.testing.assert_frame_equal(tables.read(table, version=version), frame)
    current = tables.version("flights/datasets/arrivals")
    kept = {version for version in range(current + 1) if tables.is_whole("flights/datasets/arrivals", version)}
    assert kept == {*pins["flights/datasets/arrivals"], current}
