"""Every alert has a runbook, and every command in one is a command that works."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_assets.assets.files import put_decision, put_inputs
from mlops_assets.assets.remediation import ACTING
from mlops_assets.contracts import Arm
from mlops_assets.ml.what_if import Inputs
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into
from mlops_assets_tests.conftest import LAST
from mlops_assets_tests.ml.made_rows import MONITORING, judged
from mlops_assets_tests.ml.test_what_if import CALM

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "runbooks"
RUNBOOKS = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
OF_THE_MACHINERY = {"failed_run", "failed_check", "server_problem", "silence"}
SAYS_MORE = {"status": (0, 1), "watch": (0, 1)}
"""Exit codes of commands that tell a state: they fail when something is silent, as on twins without servers."""


def commands(runbook: str) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", (FOLDER / f"{runbook}.md").read_text(), flags=re.S | re.M)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture
def mlops(lived, tmp_path):
    """The command, on a system that lived, rolled a version back and decided something about its last day."""
    name, registry = lived.use_case.name, lived.memory.registry
    first = registry.version(name, 1)
    files = {p.removeprefix("bundle/"): c for p, c in registry.files[name, 1].items() if p.startswith("bundle/")}
    documents = {p: registry.document(name, 1, p) for p in registry.documents(name, 1)}
    registry.register(name, "another", files, documents, first.digest, {"cutoff_day": LAST})
    inputs = Inputs(situation=replace(CALM, day=LAST, judgements=(judged("performance", LAST),)), monitoring=MONITORING)
    put_inputs(lived.memory.artifacts, lived.use_case, inputs)
    put_decision(lived.memory.artifacts, lived.use_case, inputs.decide())
    run = typed_into(deployment_of(lived, settings_of(tmp_path)))
    assert run("promote", 2, "--by", "ann", "--reason", "so that there is one before").exit_code == 0
    assert registry.by_alias(name, Arm.CHAMPION).version == 2
    return run


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_every_command_of_a_runbook_works(runbook, mlops):
    found = commands(runbook)
    assert found
    for line in found:
        words = re.findall(r'"[^"]*"|\S+', line.replace("DAY", LAST).replace("VERSION", "1").replace("NAME", "ann"))
        assert words[0] == "mlops", line
        done = mlops(*(word.strip('"') for word in words[1:]))
        assert done.exit_code in SAYS_MORE.get(words[1], (0,)), f"{line}: {done.output}"


def test_there_is_a_runbook_for_every_action_and_no_other():
    assert set(RUNBOOKS) == {str(action) for action in ACTING} | OF_THE_MACHINERY


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_a_runbook_says_what_it_means_what_was_done_and_how_to_check(runbook):
    text = (FOLDER / f"{runbook}.md").read_text()
    assert "**Meaning.**" in text
    assert "**Check.**" in text
    assert "**What the system did.**" in text or runbook in OF_THE_MACHINERY
    assert "**Undo.**" in text or "**Mend.**" in text


def test_the_table_of_runbooks_names_them_all():
    assert re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text()) == [
        "roll_back", "retrain", "hold", "fall_back", "failed_run", "failed_check", "silence", "server_problem",
    ]  # fmt: skip
