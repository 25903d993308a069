"""The environment is read once, and every address has a default of this machine."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from mlops_assets.adapters.settings import FORMS, Settings, SettingsError, without_password


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


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


def test_every_setting_can_be_given() -> None:
    assert list(FORMS) == [field.name for field in fields(Settings)]
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize("given", ["1", "true", "True"])
def test_a_switch_is_switched_by_any_of_its_words(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SAMPLE", given)
    settings = Settings.from_environment()
    assert settings.sample
    assert settings.state == Settings().state / "sample"
    monkeypatch.setenv("MLOPS_START_SERVICES", "false")
    assert not Settings.from_environment().start_services


@pytest.mark.parametrize("variable", ["MLOPS_STATE", "MLOPS_SENSOR_SECONDS", "MLOPS_SAMPLE", "MLOPS_FEED_UNTIL"])
def test_an_empty_variable_is_none(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "")
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize(
    ("variable", "given", "asked"),
    [
        ("MLOPS_SENSOR_SECONDS", "abc", "a whole number of seconds"),
        ("MLOPS_SENSOR_SECONDS", "0", "1 or more"),
        ("MLOPS_RETENTION_HOURS", "-5", "0 or more"),
        ("MLOPS_SERVER_WORKERS", "0", "a whole number of processes, 1 to 64"),
        ("MLOPS_SAMPLE", "perhaps", "1 or 0"),
        ("MLOPS_FEED_UNTIL", "tomorrow", "a day like"),
        ("MLOPS_LIVE_FROM", "2013-02-30", "a day like"),
        ("MLOPS_REGISTRY_URI", "nonsense", "an address like http"),
        ("MLOPS_ENDPOINT_URL", "ftp://x", "an address like http"),
        ("MLOPS_ONLINE_STORE", "memcached://x", "redis://"),
        ("MLOPS_OPENLINEAGE", "here", "file:///"),
        ("MLOPS_REGISTRY_ENVIRONMENT", "a/b", "a name"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_it_must_be(
    variable: str, given: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(SettingsError, match=f"{variable} must be .*{asked}.*{given}"):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://h:5432/d?options=a@b", "postgresql://h:5432/d?options=a@b"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://u:p%40ss@h:1,k:2/d?sslmode=require", "postgresql://u@h:1,k:2/d?sslmode=require"),
        ("postgresql://u:p:q@r@h/d", "postgresql://u@h/d"),
        ("postgresql://u@h/d?password=word", "postgresql://u@h/d"),
        ("postgresql://u@h/d?password=word&sslmode=require", "postgresql://u@h/d?sslmode=require"),
        ("", ""),
    ],
)
def test_an_address_is_written_down_without_its_password(address: str, shown: str) -> None:
    assert without_password(address) == shown


@pytest.mark.parametrize("address", ["mysql://u:shown@h/d", "postgresql://u:shown%zz@h/d", "postgresql://u:sho wn@h"])
def test_an_address_with_a_password_is_never_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_TRAFFIC_LOG", address)
    with pytest.raises(SettingsError, match="MLOPS_TRAFFIC_LOG must be an address like postgresql") as told:
        Settings.from_environment()
    assert address not in str(told.value)
    assert "shown" not in repr(Settings(traffic_log="postgresql://u:shown@h/d"))


def test_addresses_of_alerts_are_read_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ALERT_ADDRESSES", " json://h/hush  mailtos://u:hush@h?to=ann@h ")
    known = Settings.from_environment()
    assert known.alert_addresses == ("json://h/hush", "mailtos://u:hush@h?to=ann@h")
    assert "hush" not in repr(known)
    monkeypatch.setenv("MLOPS_ALERT_ADDRESSES", "json://h/hush somebody")
    with pytest.raises(SettingsError, match="separated by spaces") as refused:
        Settings.from_environment()
    assert "hush" not in str(refused.value)
