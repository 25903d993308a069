"""The way into the registry: one flipped byte, a stale or an incomplete card stays out, and the check says why."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.registry import RegistryCorrupt
from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import MODELS, key
from mlops_assets.assets.files import release_decision_of
from mlops_assets.assets.models.registered_version import CURRENT, EXACT
from mlops_assets.assets.models.released_card import build_released_card
from mlops_assets.assets.models.workbench import place
from mlops_assets.contracts import Arm, Step
from mlops_assets_tests.conftest import LAST, LIVE, Twins, checks_of

STAY_OUT = {
    "model/model.txt": EXACT,
    "model/manifest.json": CURRENT,
    "model/training_set.json": CURRENT,
    "evaluation/evaluation.json": CURRENT,
    "evaluation/calibration.png": CURRENT,
    "explanations/explanations.json": CURRENT,
    "explanations/beeswarm.png": CURRENT,
    "drift_reference/reference.json": CURRENT,
    "model_card/card.md": CURRENT,
    "model_card/annex_iv.md": CURRENT,
}
"""File on the workbench -> the check that sees a flipped byte in it."""


class DamagingRegistry(MemoryRegistry):
    """A registry whose storage changes one file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._damaged = file

    def _add(self, name: str, *arguments: Any) -> Any:
        added = super()._add(name, *arguments)
        self.files[name, added.version][self._damaged] += b"\n"
        return added


def register(twins: Twins, **options: Any) -> dict[str, bool]:
    result = twins.materialize([key(twins.use_case, MODELS, "registered_version")], LAST, **options)
    assert result.success
    return {name.removeprefix("registered_version/"): passed for name, passed in checks_of(result).items()}


def flip(twins: Twins, file: str) -> None:
    """Change one letter in the middle of a file, so that text stays text."""
    asset, _, name = file.partition("/")
    path = f"{place(twins.use_case, asset, LAST)}/{name}"
    content = bytearray(twins.memory.artifacts.get(path))
    letters = [i for i in range(len(content) // 3, len(content)) if chr(content[i]) in "0123456789"]
    content[letters[0]] ^= 1
    twins.memory.artifacts.put(path, bytes(content))


@pytest.mark.parametrize("file", sorted(STAY_OUT))
def test_one_flipped_byte_is_not_registered_and_the_check_says_so(lived, file):
    before = lived.memory.registry.versions("arrival_delay")
    flip(lived, file)
    answers = register(lived)
    assert answers[STAY_OUT[file]] is False
    assert lived.memory.registry.versions("arrival_delay") == before


def test_an_evaluation_made_again_leaves_the_card_stale(lived):
    dry = {"ops": {"arrival_delay__models__evaluation": {"config": {"dry_run": True}}}}
    lived.materialize([key(lived.use_case, MODELS, "evaluation")], LAST, run_config=dry)
    assert register(lived) == {EXACT: True, CURRENT: False}
    lived.materialize([key(lived.use_case, MODELS, "model_card")], LAST)
    assert register(lived) == {EXACT: True, CURRENT: True}


def test_an_incomplete_card_is_not_registered(lived, tmp_path):
    silent = Twins(tmp_path / "other", lived.memory, lived.endpoint, replace(lived.use_case, limits=()))
    silent.materialize([key(lived.use_case, MODELS, "model_card")], LAST)
    assert register(silent) == {EXACT: True, CURRENT: False}


@pytest.mark.parametrize("file", ["bundle/model.txt", "documents/manifest.json", "documents/card.md"])
def test_what_the_registry_damages_is_recorded_and_refused(lived, tmp_path, file):
    memory = replace(lived.memory, registry=DamagingRegistry(file))
    damaging = Twins(tmp_path / "other", memory, lived.endpoint)
    assert register(damaging) == {EXACT: False, CURRENT: True}
    verdict = release_decision_of(memory.artifacts, lived.use_case, 1)
    assert verdict.step is Step.REFUSE
    assert "does not hold what was evaluated" in verdict.reason


@pytest.mark.parametrize("file", ["bundle/model.txt", "documents/manifest.json", "documents/card.md"])
def test_a_release_refuses_a_version_that_was_damaged_since(lived, file):
    registry = lived.memory.registry
    version = registry.versions("arrival_delay")[0]
    cause = Cause(id="out", day=LIVE[1], by="operator:test", reason="to set the stage")
    lived.releases.leave(version.name, 1, version.digest, cause=cause, kind="retired")
    registry.files["arrival_delay", 1][file] += b" "
    with pytest.raises(RegistryCorrupt):
        lived.releases.enter(version.name, 1, version.digest, Arm.CHAMPION, cause=replace(cause, id="in"))


def test_the_released_card_tells_the_whole_story_until_something_happens(lived):
    card = key(lived.use_case, MODELS, "released_card")
    assert checks_of(lived.materialize([card], LAST)) == {"released_card/card_tells_the_whole_story": True}
    kept = lived.memory.artifacts.get(f"{place(lived.use_case, 'released_card', LAST)}/card.md").decode()
    assert "| promoted |" in kept
    registered = lived.memory.registry.documents("arrival_delay", 1)["card.md"]
    assert f"`{registered}`" in kept
    version = lived.memory.registry.versions("arrival_delay")[0]
    cause = Cause(id="out", day=LIVE[1], by="operator:test", reason="something happens")
    lived.releases.leave(version.name, 1, version.digest, cause=cause, kind="retired")
    assert stale_card(lived) == {"released_card/card_tells_the_whole_story": False}
    assert checks_of(lived.materialize([card], LAST)) == {"released_card/card_tells_the_whole_story": True}


def stale_card(twins: Twins) -> dict[str, bool]:
    """What the check about released cards says by itself, without a new card."""
    parts = build_released_card(twins.use_case)
    (check,) = [part for part in parts if isinstance(part, dg.AssetChecksDefinition)]
    found = check(artifacts=twins.memory.artifacts, releases=twins.releases)
    return {"released_card/card_tells_the_whole_story": found.passed}
