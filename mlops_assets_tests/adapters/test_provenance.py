"""The code names itself, and does not guess."""

import subprocess
from pathlib import Path

import pytest

from mlops_assets.adapters.provenance import UNKNOWN, read_provenance
from mlops_assets.ml.bundles import digest_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--no-verify", "--message", "first")
    return tmp_path


def test_a_clean_checkout_tells_its_commit(checkout: Path) -> None:
    told = read_provenance(checkout)
    assert (told.code_commit, told.code_dirty) == (git(checkout, "rev-parse", "HEAD"), False)


def test_a_changed_file_makes_it_dirty(checkout: Path) -> None:
    (checkout / "code.py").write_text("x = 2\n")
    assert read_provenance(checkout).code_dirty


def test_without_git_nothing_is_claimed(tmp_path: Path) -> None:
    told = read_provenance(tmp_path)
    assert (told.code_commit, told.code_dirty, told.lock_digest) == (UNKNOWN, True, UNKNOWN)


def test_a_repository_further_up_is_not_ours(checkout: Path) -> None:
    (checkout / "inner").mkdir()
    assert read_provenance(checkout / "inner").code_commit == UNKNOWN


def test_a_repository_without_a_commit_has_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert read_provenance(tmp_path).code_commit == UNKNOWN


def test_the_lock_is_told_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("a==1\n")
    assert read_provenance(tmp_path).lock_digest == digest_of(b"a==1\n")


def test_versions_of_what_shapes_a_model_are_told() -> None:
    versions = read_provenance().versions
    assert versions["lightgbm"].startswith("4.")
    assert UNKNOWN not in versions.values()
