"""A bad day is followed through the graph, the manifests and the log, to every answer that it touched."""

import json
from types import SimpleNamespace

import pytest

from mlops_assets.assets.reach import UnknownPartition, reach
from mlops_assets.cli.impact import record_of
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.impact import impact_of, impact_text
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, enthrone


def told(twins, asset: str, day: str) -> dict:
    parts = SimpleNamespace(**vars(twins.memory), promotions=twins.promotions)
    reached = reach(twins.definitions, asset, day)
    kept = {name: twins.memory.tables.days(name) for name in reached if twins.memory.tables.version(name) is not None}
    return impact_of(asset, day, reached, kept, [record_of(parts, twins.use_case)])


def test_a_bad_day_of_weather_touches_its_features_the_training_set_the_version_and_its_answers(life) -> None:
    impact = told(life.twins, "flights/datasets/weather", "2013-03-10")
    assert impact["features"] == {"flights/features/origin_weather": ["2013-03-10", "2013-03-11"]}
    touched = impact["use_cases"]["arrival_delay"]
    assert touched["training_sets"] == [LAST]
    (version,) = touched["versions"]
    assert (version["version"], version["cutoff_day"]) == (1, LAST)
    assert version["read"] == [
        {
            "table": "flights/features/origin_weather",
            "version": life.twins.memory.tables.version("flights/features/origin_weather") - len(LIVE),
            "first_day": "2013-03-10",
            "last_day": "2013-03-11",
        }
    ]
    assert [stay["arm"] for stay in version["releases"]] == ["champion"]
    answers = life.twins.memory.tables.read("arrival_delay/releases/deployment")["answers"].sum()
    predictions = touched["predictions"]
    assert predictions["by_a_model_that_learnt_from_it"]["answers"] == answers
    assert (predictions["all"]["first_day"], predictions["all"]["last_day"]) == LIVE
    assert predictions["all"]["by_version"][0]["digest"] == version["digest"]
    assert predictions["from_features_made_of_it"]["answers"] == 0


def test_a_bad_live_day_touches_answers_through_features_but_no_model(life) -> None:
    touched = told(life.twins, "flights/datasets/weather", LIVE[0])["use_cases"]["arrival_delay"]
    assert touched["training_sets"] == []
    assert touched["versions"] == []
    assert touched["predictions"]["by_a_model_that_learnt_from_it"]["answers"] == 0
    # Snapshots of the first live day are made of it, and those of the next one reach back to it.
    assert touched["predictions"]["from_features_made_of_it"]["days"] == 2


def test_arrivals_reach_further_than_weather(life) -> None:
    impact = told(life.twins, "flights/datasets/arrivals", FIRST)
    assert len(impact["features"]["flights/features/carrier_delays"]) == 10
    tables = {entry["table"] for entry in impact["use_cases"]["arrival_delay"]["versions"][0]["read"]}
    assert tables == {
        "flights/datasets/arrivals",
        *(f"flights/features/{name}_delays" for name in ("carrier", "origin", "destination")),
    }


def test_a_version_that_stopped_before_the_day_is_not_touched(lived) -> None:
    enthrone(lived, "2013-03-22")
    # Its manifest, not its registration, says what it read.
    document = lived.memory.registry.document("arrival_delay", 1, "manifest.json")
    lived.memory.registry.files["arrival_delay", 2]["documents/manifest.json"] = document
    lived.memory.registry._digests["arrival_delay", 2]["manifest.json"] = digest_of(document)
    assert told(lived, "flights/datasets/weather", LIVE[1])["use_cases"]["arrival_delay"]["versions"] == []
    before = told(lived, "flights/datasets/weather", FIRST)["use_cases"]["arrival_delay"]["versions"]
    assert [version["version"] for version in before] == [1, 2]


def test_the_text_names_everything(life) -> None:
    text = impact_text(told(life.twins, "flights/datasets/weather", "2013-03-10"))
    for part in (
        "origin_weather  2013-03-10 to 2013-03-11 (2 days)",
        "version 1 ",
        "champion 2013-03-21 to now",
        "v1 ",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("asset", "day", "message"),
    [
        ("flights/datasets/wether", "2013-02-12", "there is no dataset 'flights/datasets/wether'; there are flights/"),
        ("flights/datasets/weather", "2014-02-12", "no day '2014-02-12'; its days go from 2013-01-01 to 2013-12-31"),
        ("flights/datasets/weather", "soon", "no day 'soon'"),
        ("flights/datasets/weather", None, "ask for one, like flights/datasets/weather:2013-01-01"),
        ("flights/datasets/airports", "2013-02-12", "has no days: ask for flights/datasets/airports alone"),
    ],
)
def test_an_unknown_dataset_or_day_is_refused_with_what_there_is(
    life, asset: str, day: str | None, message: str
) -> None:
    with pytest.raises(UnknownPartition, match=message):
        reach(life.twins.definitions, asset, day)


def test_the_command_prints_the_tree_and_json(looks) -> None:
    told = looks("impact", "flights/datasets/weather:2013-03-10")
    assert told.exit_code == 0, told.output
    assert "version 1 " in told.stdout
    facts = json.loads(looks("impact", "flights/datasets/weather:2013-03-10", "--json").stdout)
    assert facts["use_cases"]["arrival_delay"]["training_sets"] == [LAST]


@pytest.mark.parametrize("words", ["flights/datasets/wether:2013-03-10", "flights/datasets/weather:2013-11-10"])
def test_the_command_says_what_there_is_instead(looks, words: str) -> None:
    refused = looks("impact", words)
    assert refused.exit_code == 2
    assert "DATASET:DAY" in refused.stderr
