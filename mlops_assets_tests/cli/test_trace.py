"""The record answers: who was champion, from when to when, on what evidence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.cli.main import main
from mlops_assets_tests.ml.test_tenures import CHANGE


def own(state: Path) -> dict[str, str]:
    """A state of the test's own, and no servers: not those of whoever happens to run some."""
    nobody = "http://127.0.0.1:1"
    return {"MLOPS_STATE": str(state), "MLOPS_REGISTRY_URI": nobody, "MLOPS_ENDPOINT_URL": nobody}


@pytest.fixture
def ask(tmp_path: Path):
    """``ask("history", ...)`` -> (exit code, text), on a state with a history."""
    Promotions(DeltaTables(tmp_path / "tables")).record(CHANGE)
    runner = CliRunner(env=own(tmp_path))

    def run(*arguments: str) -> tuple[int, str]:
        done = runner.invoke(main, list(arguments))
        return done.exit_code, done.output

    return run


def test_the_history_lists_every_line(ask) -> None:
    code, text = ask("history")
    assert code == 0
    assert [row.split()[1:3] for row in text.splitlines()][:2] == [["v1", "promoted"], ["v2", "registered"]]
    assert len(json.loads(ask("history", "--json")[1])) == len(CHANGE)


def test_champions_are_told_with_their_days_their_maker_and_the_evidence(ask) -> None:
    code, text = ask("history", "--champions")
    assert code == 0
    assert "version 1  2013-04-01 to 2013-04-10 (retired by sensor:release)" in text
    assert "auc=0.7000" in text
    assert "version 1  2013-04-20 to now" in text
    assert [stay["version"] for stay in json.loads(ask("history", "--champions", "--json")[1])] == [1, 2, 1]


def test_the_evidence_of_a_rollback_is_told_in_words_and_whole(tmp_path: Path) -> None:
    said = [
        {"monitor": name, "day": "2013-04-20", "verdict": "alarm", "numbers": {}} for name in ("drift", "performance")
    ]
    evidence = {"judgements": said, "shares": {"champion": 0.5}, "note": "x" * 70}
    lines = [*CHANGE[:5], replace(CHANGE[5], evidence=evidence), CHANGE[6]]
    Promotions(DeltaTables(tmp_path / "tables")).record(lines)
    text = CliRunner(env=own(tmp_path)).invoke(main, ["history", "--champions"]).output
    told = f"judgements=drift alarm; performance alarm  note={'x' * 70}  shares=champion 0.5000"
    assert told in text


@pytest.mark.parametrize(("moment", "version"), [("2013-04-09", 1), ("2013-04-10", 2), ("2013-04-20", 1)])
def test_the_champion_at_a_day_is_a_query(ask, moment: str, version: int) -> None:
    (stay,) = json.loads(ask("history", "--at", moment, "--json")[1])
    assert stay["version"] == version


def test_a_stay_that_has_ended_since_says_so(ask) -> None:
    assert (
        "version 2  2013-04-10 to 2013-04-20 (rolled_back by operator:ann)" in ask("history", "--at", "2013-04-12")[1]
    )


def test_before_the_first_champion_there_was_none(ask) -> None:
    assert ask("history", "--at", "2013-03-01") == (1, "Error: arrival_delay had no champion at 2013-03-01\n")


def test_a_model_to_which_nothing_happened_says_so(ask) -> None:
    assert ask("history", "--model", "arrival_delay__jfk") == (
        0,
        "nothing has happened to arrival_delay__jfk in this state yet\n",
    )


@pytest.mark.parametrize("moment", ["soon", "", "2013-02-30"])
def test_a_moment_that_is_none_is_refused(ask, moment: str) -> None:
    code, text = ask("history", "--at", moment)
    assert code == 2
    assert "neither a day like 2013-05-02 nor an instant" in text
