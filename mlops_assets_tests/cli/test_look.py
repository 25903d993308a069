"""Commands that look: what stands in registry, history and server, in words and as JSON."""

import json

from mlops_assets.contracts import Arm
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into
from mlops_assets_tests.conftest import LAST


def test_history_tells_every_move_in_order(looks):
    result = looks("history")
    assert result.exit_code == 0
    first, second = result.stdout.strip().splitlines()
    assert first.startswith(f"{LAST}  v1")
    assert "registered" in first
    assert "promoted" in second
    assert "-> champion" in second


def test_history_as_json_is_the_history(looks, life):
    lines = json.loads(looks("history", "--json").stdout)
    assert [line["kind"] for line in lines] == ["registered", "promoted"]
    assert lines[1]["digest"] == life.twins.memory.registry.version("arrival_delay", 1).digest


def test_lineage_reaches_from_the_version_to_the_file_of_its_training_set(looks, life):
    facts = json.loads(looks("lineage", 1, "--json").stdout)
    version = life.twins.memory.registry.version("arrival_delay", 1)
    assert facts["artifact_digest"] == version.digest
    training = facts["training_set"]
    assert training["file"]["size"] > 0
    assert len(training["content_digest"]) == 64
    assert training["query"]["cutoff_day"] == LAST
    assert facts["training_config"]["threads"] == 0
    assert facts["packages"]["lightgbm"].startswith("4.")
    assert {table["table"] for table in facts["tables"]} > {"flights/datasets/flights"}


def test_lineage_in_words_names_the_same(looks, life):
    facts, told = json.loads(looks("lineage", 1, "--json").stdout), looks("lineage", 1).stdout
    assert facts["artifact_digest"] in told
    assert facts["training_set"]["file"]["md5"] in told
    assert facts["training_set"]["query"]["text"] in told
    assert facts["lock_digest"] in told


def test_lineage_of_a_version_without_a_recorded_training_set_is_told_without_it(lived, tmp_path):
    registry = lived.memory.registry
    bundle = {p.removeprefix("bundle/"): c for p, c in registry.files["arrival_delay", 1].items() if "bundle/" in p}
    documents = {name: registry.document("arrival_delay", 1, name) for name in ("manifest.json", "evaluation.json")}
    first = registry.version("arrival_delay", 1)
    registry.register("arrival_delay", "old", bundle, documents, first.digest, {"cutoff_day": LAST})
    mlops = typed_into(deployment_of(lived, settings_of(tmp_path)))
    assert mlops("lineage", 2).exit_code == 0
    assert json.loads(mlops("lineage", 2, "--json").stdout)["training_set"]["file"] is None


def test_status_names_the_services_that_are_silent_and_fails(looks):
    result = looks("status")
    assert result.exit_code == 1
    assert result.stdout.count("silent") == 2
    assert "not started by `mlops up`" in result.stdout


def test_the_lived_system_has_a_champion_to_look_at(life):
    assert life.twins.promotions.arms("arrival_delay").keys() == {Arm.CHAMPION}
