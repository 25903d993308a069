"""``mlops reproduce`` on twins and a real DVC remote: exit code, report, JSON, and every refusal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.adapters.content_store import address
from mlops_assets.adapters.documents import MANIFEST, manifest_of, training_set_of
from mlops_assets.adapters.dvc_store import DvcStore
from mlops_assets.contracts import FilePointer, to_json
from mlops_assets_tests.cli.conftest import Mlops, deployment_of, settings_of, typed_into
from mlops_assets_tests.conftest import Twins

MODEL = "arrival_delay"


def pushed(twins: Twins, folder: Path) -> FilePointer:
    """The first version's training set, in a real remote."""
    frozen = training_set_of(twins.memory.registry, MODEL, 1)
    content = twins.memory.content_store.pull(frozen.file, frozen.digest)
    return DvcStore(folder / "dvc", str(folder / "remote")).push(frozen.file.path, content)


def with_remote(twins: Twins, folder: Path) -> Mlops:
    return typed_into(deployment_of(twins, settings_of(folder, data_remote=str(folder / "remote"))))


def test_an_identical_model_is_reported_and_the_command_succeeds(life, tmp_path):
    pushed(life.twins, tmp_path)
    mlops = with_remote(life.twins, tmp_path)
    told = mlops("reproduce", 1)
    assert told.exit_code == 0, told.output
    assert told.stdout.strip().splitlines()[-1] == "IDENTICAL"
    assert str(tmp_path / "remote") in told.stdout


def test_json_says_the_same(life, tmp_path):
    pushed(life.twins, tmp_path)
    result = with_remote(life.twins, tmp_path)("reproduce", 1, "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["identical"] is True
    assert told["digest_found"] == life.twins.memory.registry.version(MODEL, 1).digest
    assert told["differences"] == []


def test_another_model_is_told_apart_and_the_command_fails(lived, tmp_path):
    pushed(lived, tmp_path)
    registry = lived.memory.registry
    manifest = manifest_of(registry, MODEL, 1)
    other = replace(manifest, training=replace(manifest.training, params={**manifest.training.params, "num_leaves": 5}))
    kept = registry.files[MODEL, 1]
    bundle = {p.removeprefix("bundle/"): c for p, c in kept.items() if p.startswith("bundle/")}
    documents = {p.removeprefix("documents/"): c for p, c in kept.items() if p.startswith("documents/")}
    documents[MANIFEST] = to_json(other).encode()
    digest = registry.version(MODEL, 1).digest
    registry.register(MODEL, "run-2", bundle, documents, digest, {"cutoff_day": manifest.cutoff_day})
    result = with_remote(lived, tmp_path)("reproduce", 2)
    assert result.exit_code == 1
    assert "model.txt line" in result.stdout
    assert result.stdout.strip().splitlines()[-1] == "NOT IDENTICAL"


@pytest.mark.parametrize("harm", ["flipped", "missing"])
def test_a_damaged_or_missing_file_is_refused_by_name(life, tmp_path, harm):
    pointer = pushed(life.twins, tmp_path)
    file = Path(address(pointer.remote, pointer))
    content = file.read_bytes()
    file.chmod(0o644)
    file.unlink() if harm == "missing" else file.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    result = with_remote(life.twins, tmp_path)("reproduce", 1)
    assert result.exit_code == 1
    assert str(file) in result.stderr
    assert ("damaged" if harm == "flipped" else "not there") in result.stderr
    assert "Traceback" not in result.output


def test_without_a_remote_of_its_own_it_looks_where_the_version_says(life, tmp_path):
    result = typed_into(deployment_of(life.twins, settings_of(tmp_path)))("reproduce", 1)
    assert result.exit_code == 1
    assert "memory/files/md5" in result.stderr
    assert "MLOPS_DATA_REMOTE" in result.stderr


def test_without_the_tables_the_second_way_says_what_to_set(life, tmp_path):
    result = with_remote(life.twins, tmp_path)("reproduce", 1, "--from-tables")
    assert result.exit_code == 1
    assert "MLOPS_TABLES" in result.stderr
