"""The environment is read once, and every address has a default of this machine."""

from pathlib import Path

import pytest

from mlops_assets.adapters.settings import Settings


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_STATE", "MLOPS_DATA_REMOTE", "MLOPS_TABLES", "MLOPS_SAMPLE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_remote_of_its_own_a_deployment_pushes_to_a_folder_in_its_state(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path)
    assert settings.data_remote is None
    assert settings.remote == str(tmp_path / "dvc-remote")


def test_a_folder_as_a_remote_counts_from_where_the_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLOPS_DATA_REMOTE", "remote")
    assert Settings.from_environment().remote == str(tmp_path / "remote")


@pytest.mark.parametrize("url", ["s3://bucket/training", "ssh://host/srv", "https://host/path"])
def test_any_other_address_of_a_remote_is_taken_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATA_REMOTE", url)
    assert Settings.from_environment().remote == url


def test_tables_of_another_deployment_can_be_read_from_a_state_of_one_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_STATE", str(tmp_path / "mine"))
    assert Settings.from_environment().tables == tmp_path / "mine" / "tables"
    monkeypatch.setenv("MLOPS_TABLES", str(tmp_path / "theirs"))
    settings = Settings.from_environment()
    assert (settings.tables, settings.features) == (tmp_path / "theirs", tmp_path / "mine" / "features")
