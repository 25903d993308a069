"""A registered version trained again: identical, or told apart, or refused with the reason."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mlops_assets.adapters.content_store import ContentDamaged, ContentMissing
from mlops_assets.adapters.documents import MANIFEST, TRAINING_SET, manifest_of, training_set_of
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.reproduction import NotReproducible, Rows, from_tables, reproduce
from mlops_assets.contracts import Manifest, to_json
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.reproduction import Reproduction
from mlops_assets.ml.training import freeze, thaw
from mlops_assets_tests.conftest import FIRST, LAST, Twins

MODEL = "arrival_delay"


def remote_of(twins: Twins) -> Rows:
    return lambda frozen: (twins.memory.content_store.pull(frozen.file, frozen.digest), "the twin")


def tables_of(twins: Twins) -> Rows:
    return from_tables(twins.memory.tables, twins.memory.feature_store)


def again(twins: Twins, rows: Rows, version: int = 1, threads: int = 0) -> Reproduction:
    return reproduce(twins.memory.registry, twins.memory.feature_store, rows, MODEL, version, threads)


def with_documents(registry: MemoryRegistry, changed: Mapping[str, bytes]) -> int:
    """A new version with the first one's bytes and other documents."""
    first = registry.version(MODEL, 1)
    kept = registry.files[MODEL, 1]
    bundle = {p.removeprefix("bundle/"): c for p, c in kept.items() if p.startswith("bundle/")}
    documents = {p.removeprefix("documents/"): c for p, c in kept.items() if p.startswith("documents/")}
    documents = {name: content for name, content in {**documents, **changed}.items() if content}
    tags = {"cutoff_day": first.cutoff_day}
    return registry.register(
        MODEL, f"run-{len(registry.versions(MODEL))}", bundle, documents, first.digest, tags
    ).version


def with_manifest(twins: Twins, **changed: object) -> int:
    manifest: Manifest = replace(manifest_of(twins.memory.registry, MODEL, 1), **changed)  # type: ignore[arg-type]
    return with_documents(twins.memory.registry, {MANIFEST: to_json(manifest).encode()})


@pytest.mark.parametrize("threads", [1, 2])
def test_the_pushed_file_gives_the_same_model_with_any_number_of_threads(life, threads):
    told = again(life.twins, remote_of(life.twins), threads=threads)
    assert told.identical
    assert told.differences == ()
    assert told.digest_found == life.twins.memory.registry.version(MODEL, 1).digest


def test_the_pinned_tables_give_the_same_file_and_the_same_model(life):
    told = again(life.twins, tables_of(life.twins))
    assert told.identical
    assert told.training_set_found == training_set_of(life.twins.memory.registry, MODEL, 1).digest


def test_tables_that_went_on_since_give_the_same_file_all_the_same(lived):
    tables = lived.memory.tables
    for name in ("datasets/arrivals", "features/origin_weather"):
        held = tables.read(f"flights/{name}", FIRST, FIRST)
        tables.replace(f"flights/{name}", held.iloc[:-1], [FIRST], {})
    assert again(lived, tables_of(lived)).identical


def test_a_model_of_a_drill_is_reproduced_with_its_fault_and_its_rounds(lived):
    config = {"invert_label_share": 0.4, "rounds": 7, "because": "a drill"}
    lived.run("arrival_delay__train", LAST, config={"ops": {"arrival_delay__models__model": {"config": config}}})
    told = again(lived, remote_of(lived), version=2)
    assert told.identical
    assert told.digest_found != lived.memory.registry.version(MODEL, 1).digest
    manifest = manifest_of(lived.memory.registry, MODEL, 2)
    assert (manifest.training.rounds, manifest.training_config["invert_label_share"]) == (7, 0.4)


def test_other_settings_than_the_recorded_ones_are_seen_in_the_first_line_that_differs(lived):
    recorded = manifest_of(lived.memory.registry, MODEL, 1).training
    fewer = replace(recorded, params={**recorded.params, "num_leaves": 5})
    told = again(lived, remote_of(lived), with_manifest(lived, training=fewer))
    assert not told.identical
    assert told.training_set_found == told.training_set_recorded
    assert any(d.what.startswith("model.txt line") and d.recorded != d.found for d in told.differences)
    assert any(d.what == "signature.json field golden" for d in told.differences)


def test_what_is_another_around_the_training_is_named(lived):
    packages = {**manifest_of(lived.memory.registry, MODEL, 1).packages, "lightgbm": "3.0.0", "python": "3.9.1"}
    version = with_manifest(lived, code_commit="0" * 40, lock_digest="1" * 64, packages=packages)
    told = again(lived, remote_of(lived), version)
    assert told.identical
    found = {difference.what: difference.recorded for difference in told.circumstances}
    assert found.keys() == {"commit", "lock", "version of lightgbm", "version of python"}
    assert found["version of lightgbm"] == "3.0.0"


def test_feature_definitions_of_another_checkout_are_named(lived):
    told = again(lived, remote_of(lived), with_manifest(lived, feature_service_digest="2" * 64))
    (difference,) = [d for d in told.circumstances if d.what == "feature definitions"]
    assert difference.recorded == "2" * 64
    assert difference.found == lived.memory.feature_store.service_digest("arrival_delay_v1")


def test_other_rows_are_other_rows_whatever_model_comes_of_them(lived):
    def one_row_less(frozen):
        return freeze(thaw(lived.memory.content_store.pull(frozen.file, frozen.digest)).iloc[1:])[0], "a leaking pipe"

    told = again(lived, one_row_less)
    assert not told.identical
    assert not told.same_rows
    assert told.training_set_found != told.training_set_recorded


def test_the_same_rows_from_another_writer_are_known_as_the_same_rows(lived):
    import io

    from pyarrow import parquet

    def uncompressed(frozen):
        table = parquet.read_table(io.BytesIO(lived.memory.content_store.pull(frozen.file, frozen.digest)))
        sink = io.BytesIO()
        parquet.write_table(table, sink, compression="none")
        return sink.getvalue(), "another writer"

    told = again(lived, uncompressed)
    assert not told.identical
    assert told.same_rows
    assert told.digest_found == told.digest_recorded


def test_a_damaged_file_is_refused_before_any_training(lived):
    frozen = training_set_of(lived.memory.registry, MODEL, 1)
    files = lived.memory.content_store.files
    files[frozen.file.md5] = files[frozen.file.md5][:-1] + b"?"
    with pytest.raises(ContentDamaged, match=frozen.digest):
        again(lived, remote_of(lived))
    assert digest_of(files[frozen.file.md5]) != frozen.digest


def test_a_missing_file_is_named(lived):
    lived.memory.content_store.files.clear()
    with pytest.raises(ContentMissing, match=LAST):
        again(lived, remote_of(lived))


def test_a_table_version_that_is_gone_is_named_with_the_other_way(lived):
    frozen = training_set_of(lived.memory.registry, MODEL, 1)
    gone = replace(frozen, tables=tuple(replace(pin, version=999) for pin in frozen.tables))
    version = with_documents(lived.memory.registry, {TRAINING_SET: to_json(gone).encode()})
    with pytest.raises(NotReproducible, match="--from-tables"):
        again(lived, tables_of(lived), version)


def test_a_checkout_whose_features_do_not_fit_says_which_commit_does(lived):
    manifest = manifest_of(lived.memory.registry, MODEL, 1)

    def without_a_feature(frozen):
        frame = thaw(lived.memory.content_store.pull(frozen.file, frozen.digest))
        return freeze(frame.drop(columns="origin_weather__temp"))[0], "another time"

    with pytest.raises(NotReproducible, match="origin_weather__temp") as told:
        again(lived, without_a_feature)
    assert manifest.code_commit in str(told.value)
    frozen = replace(training_set_of(lived.memory.registry, MODEL, 1), feature_service="arrival_delay_v9")
    version = with_documents(lived.memory.registry, {TRAINING_SET: to_json(frozen).encode()})
    with pytest.raises(NotReproducible, match="arrival_delay_v9"):
        again(lived, remote_of(lived), version)


def test_a_version_without_a_recorded_training_set_is_refused(lived):
    version = with_documents(lived.memory.registry, {TRAINING_SET: b""})
    with pytest.raises(NotReproducible, match=f"version {version}"):
        again(lived, remote_of(lived), version)
