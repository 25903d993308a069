"""The door: every command is there, says what it is for, and answers a refusal without a traceback."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.cli.main import main
from mlops_assets_tests.cli.conftest import settings_of, typed_into

COMMANDS = {
    "alerts", "card", "demo", "drill", "history", "impact", "incidents", "keys", "lineage", "override", "promote",
    "reproduce", "rollback", "sample", "serve", "sign-off", "status", "stop", "transfer", "up", "verify", "watch",
    "why",
}  # fmt: skip


def test_the_commands_are_these_and_each_has_a_test():
    assert set(main.commands) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_says_what_it_is_for_and_describes_its_options(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    command = main.commands[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", ["--help", "serve --help"])
def test_asking_for_help_and_the_server_s_door_import_no_dagster(name):
    code = f"import sys; from mlops_assets.cli.main import main\ntry: main({name.split()!r})\nexcept SystemExit: pass\n"
    code += "print([m for m in ('dagster', 'mlflow', 'feast', 'lightgbm', 'dvc') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words", [("lineage", 99), ("reproduce", 99), ("promote", 99, "--by", "ann", "--reason", "good")]
)
def test_a_version_that_is_not_there_is_named_without_a_traceback(acts, words):
    result = acts(*words)
    assert result.exit_code == 1
    assert "99" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [("lineage", 1), ("reproduce", 1)])
def test_a_registry_that_does_not_answer_is_named_with_the_remedy(tmp_path, words):
    result = typed_into(Deployment(settings_of(tmp_path)))(*words)
    assert result.exit_code == 1
    assert "MLOPS_REGISTRY_URI" in result.stderr


def test_an_unknown_use_case_is_refused(looks):
    result = looks("history", "--model", "nobody")
    assert result.exit_code == 2
    assert "arrival_delay" in result.stderr
