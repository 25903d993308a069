"""Two versions of a deployment, trained again by a stranger with a fresh clone and nothing else."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_assets.adapters.content_store import address
from mlops_assets.adapters.documents import training_set_of
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.provenance import git_commit
from mlops_assets.adapters.services import ensure_services, stop_services
from mlops_assets.adapters.settings import ROOT, Settings
from mlops_assets_tests.cli.test_run import environment

MODEL = "arrival_delay"
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Origin:
    """The deployment that trained: its settings, and what it says of itself."""

    settings: Settings
    told: dict[str, dict[str, str]]

    def file(self, version: int) -> Path:
        """Where the remote keeps the training set of a version."""
        frozen = training_set_of(MlflowRegistry(self.settings.registry_uri), MODEL, version)
        return Path(address(frozen.file.remote, frozen.file))


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """A sample that has run, by its command, with its registry up again."""
    folder = tmp_path_factory.mktemp("origin")
    env = {**environment(folder), "PYTHONPATH": str(ROOT)}
    played = run("sample", "--json", env=env, cwd=ROOT)
    assert played.returncode == 0, played.stderr[-2000:]
    settings = Settings(
        state=folder / "state", registry_uri=env["MLOPS_REGISTRY_URI"], endpoint_url=env["MLOPS_ENDPOINT_URL"]
    )
    ensure_services(settings)
    try:
        yield Origin(settings, json.loads(played.stdout))
    finally:
        stop_services(settings)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, and nothing else."""
    folder = tmp_path_factory.mktemp("clone") / "repository"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, capture_output=True)
    return folder


def run(*words: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlops_assets.cli.main", *words]
    return subprocess.run(command, env=env, cwd=cwd, text=True, capture_output=True, check=False)


def stranger(clone: Path, origin: Origin, **more: str) -> dict[str, str]:
    """The environment of somebody who has the clone, a state of their own, and the registry's address."""
    env = environment(clone)
    return {**env, "PYTHONPATH": str(clone), "MLOPS_REGISTRY_URI": origin.settings.registry_uri, **more}


@pytest.mark.parametrize("version", [1, 2])
def test_a_clean_clone_trains_the_same_bytes_again(origin: Origin, clone: Path, version: int) -> None:
    env = stranger(clone, origin, MLOPS_DATA_REMOTE=origin.settings.remote)
    done = run("reproduce", str(version), "--json", env=env, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["digest_found"] == origin.told["models"][f"{MODEL} {version}"]
    assert told["training_set_found"] == origin.told["training_sets"][f"{MODEL} {version}"]
    assert told["differences"] == []
    assert not (clone / "state" / "tables").exists()


def test_the_two_versions_are_different_models(origin: Origin) -> None:
    assert len(set(origin.told["models"].values())) == 2
    assert len(set(origin.told["training_sets"].values())) == 2


def test_the_remote_is_found_by_the_version_s_own_word(origin: Origin, clone: Path) -> None:
    done = run("reproduce", "2", env=stranger(clone, origin), cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert origin.settings.remote in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "IDENTICAL"


@pytest.mark.parametrize("version", [1, 2])
def test_the_pinned_tables_alone_give_the_same_file(origin: Origin, clone: Path, version: int) -> None:
    applied = sorted(path.name for path in origin.settings.features.iterdir())
    env = stranger(clone, origin, MLOPS_TABLES=str(origin.settings.tables), MLOPS_DATA_REMOTE=str(clone / "nothing"))
    done = run("reproduce", str(version), "--from-tables", "--json", env=env, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["training_set_found"] == origin.told["training_sets"][f"{MODEL} {version}"]
    assert sorted(path.name for path in origin.settings.features.iterdir()) == applied


def test_a_clone_at_another_commit_says_so_plainly(origin: Origin, clone: Path, tmp_path: Path) -> None:
    other = tmp_path / "repository"
    git = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "clone", "--quiet", str(clone), str(other)], check=True, capture_output=True)
    commit = [*git, "-C", str(other), "commit", "--quiet", "--no-verify", "--allow-empty", "--message", "later"]
    subprocess.run(commit, check=True, capture_output=True)
    done = run("reproduce", "1", env=stranger(other, origin), cwd=other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "This checkout is at another commit than the model was trained from" in done.stdout
    assert str(git_commit(other)) in done.stdout


def test_a_flipped_byte_in_the_remote_is_refused(origin: Origin, clone: Path) -> None:
    file = origin.file(1)
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    try:
        done = run("reproduce", "1", env=stranger(clone, origin), cwd=clone)
    finally:
        file.write_bytes(whole)
    assert done.returncode == 1
    assert f"{file} is damaged" in done.stderr
    assert origin.told["training_sets"][f"{MODEL} 1"] in done.stderr
    assert "IDENTICAL" not in done.stdout
