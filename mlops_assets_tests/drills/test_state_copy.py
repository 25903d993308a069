"""A copy of a state is whole, also while somebody writes, and leaves no trace on the original."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.drills.refusals import NotCopied
from mlops_assets.drills.sandbox import sandbox_in
from mlops_assets.drills.state_copy import copy_state, traces

TABLE = "flights/datasets/flights"


def database(path: Path, ahead: bool = False) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={'WAL' if ahead else 'DELETE'}")
    connection.execute("CREATE TABLE seen (what TEXT)")
    connection.execute("INSERT INTO seen VALUES ('before')")
    connection.commit()
    return connection


@pytest.fixture
def original(tmp_path):
    """A state with a registry, a log of answers, a table, files, and what belongs to processes."""
    settings = Settings(state=tmp_path / "original")
    database(settings.mlflow / "mlflow.db").close()
    database(settings.serving / "traffic.db", ahead=True).close()
    tables = DeltaTables(settings.tables)
    for number, day in enumerate(("2013-04-01", "2013-04-02")):
        tables.replace(TABLE, pd.DataFrame({"day": [day], "number": [number]}), [day], {})
    for name in ("artifacts/a/b.json", "landing/2013-04-01/flights.csv", "services/registry.json",
                 "serving/server.pid", "dagster/logs/1.out", "drills/earlier/post-mortem.md"):  # fmt: skip
        (settings.state / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.state / name).write_text(name)
    (settings.state / "alerts.jsonl").write_text("{}\n")
    return settings


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [what for (what,) in connection.execute("SELECT what FROM seen")]


def test_the_copy_has_what_the_original_keeps_and_nothing_of_its_processes(original, tmp_path):
    before = traces(original.state)
    copied = copy_state(original, tmp_path / "copy")
    assert traces(original.state) == before
    copy = Settings(state=tmp_path / "copy")
    assert copied > 0
    assert rows(copy.mlflow / "mlflow.db") == rows(copy.serving / "traffic.db") == ["before"]
    assert DeltaTables(copy.tables).read(TABLE)["number"].tolist() == [0, 1]
    names = {str(file.relative_to(copy.state)) for file in copy.state.rglob("*") if file.is_file()}
    assert {"artifacts/a/b.json", "landing/2013-04-01/flights.csv"} <= names
    assert not [name for name in names if name.startswith(("services", "drills", "dagster/logs"))]
    assert not {"serving/server.pid", "alerts.jsonl"} & names


def test_a_database_that_is_written_ahead_is_copied_with_what_is_committed_and_no_more(original, tmp_path):
    with closing(sqlite3.connect(original.serving / "traffic.db")) as writer:
        writer.execute("INSERT INTO seen VALUES ('committed')")
        writer.commit()
        writer.execute("INSERT INTO seen VALUES ('not yet')")
        before = traces(original.state)
        copy_state(original, tmp_path / "copy")
        assert traces(original.state) == before
    assert rows(tmp_path / "copy" / "serving" / "traffic.db") == ["before", "committed"]


def test_a_copy_stands_alone_when_the_original_is_gone(original, tmp_path):
    copy_state(original, tmp_path / "copy")
    original.state.rename(tmp_path / "elsewhere")
    tables = DeltaTables(tmp_path / "copy" / "tables")
    tables.replace(TABLE, pd.DataFrame({"day": ["2013-04-03"], "number": [2]}), ["2013-04-03"], {})
    assert tables.read(TABLE)["number"].tolist() == [0, 1, 2]
    assert DeltaTables(tmp_path / "elsewhere" / "tables").read(TABLE)["number"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"online_store": "redis://127.0.0.1:6379/0"}, "MLOPS_ONLINE_STORE"),
        ({"traffic_log": "postgresql://localhost/log"}, "MLOPS_TRAFFIC_LOG"),
    ],
)
def test_what_lies_elsewhere_is_not_touched_and_the_refusal_says_what_to_do(original, tmp_path, chosen, named):
    elsewhere = Settings(state=original.state, **chosen)
    with pytest.raises(NotCopied, match=f"{named}.*--on base"):
        copy_state(elsewhere, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_sandbox_reaches_nobody_outside(tmp_path):
    original = Settings(
        state=tmp_path / "original",
        alert_addresses=("jsons://pager/hook",),
        production_uri="http://production:5000",
        data_remote="s3://sets",
        openlineage="http://lineage:5000",
        registry_uri="http://registry:5000",
        online_store="redis://features:6379/0",
        predict_token="t" * 20,
    )
    sandbox = sandbox_in(tmp_path / "sandbox", original)
    words = " ".join(sandbox.environment())
    for outside in ("pager", "production:", "s3:", "lineage:", "registry:5000", "redis", "tttt", str(original.state)):
        assert outside not in words
    assert "--unset=MLOPS_ALERT_ADDRESSES" in words
    assert f"MLOPS_STATE={tmp_path / 'sandbox' / 'state'}" in words
    assert sandbox.settings.registry_uri.startswith("http://127.0.0.1:")


def test_the_environment_of_a_sandbox_reads_back_as_its_settings(tmp_path, monkeypatch):
    original = Settings(state=tmp_path, live_from="2013-04-01", feed_from="2013-02-15", registry_environment="staging")
    sandbox = sandbox_in(tmp_path / "sandbox", original)
    monkeypatch.setenv("MLOPS_ALERT_ADDRESSES", "json://nobody")
    for word in sandbox.environment()[1:]:
        if word.startswith("--unset="):
            monkeypatch.delenv(word.removeprefix("--unset="), raising=False)
        else:
            monkeypatch.setenv(*word.split("=", 1))
    assert Settings.from_environment() == sandbox.settings
