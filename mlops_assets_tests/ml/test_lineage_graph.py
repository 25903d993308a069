"""A lineage is drawn whole: every fact a box, every arrow between boxes that exist, and the file is well-formed."""

import xml.etree.ElementTree as ElementTree

import pytest

from mlops_assets.adapters.documents import training_set_of
from mlops_assets.assets.models.workbench import evaluation_at, manifest_at
from mlops_assets.ml.impact import answers_of
from mlops_assets.ml.lineage import lineage_of, lineage_text
from mlops_assets.ml.lineage_graph import Picture, _places, lineage_picture, mermaid, svg
from mlops_assets_tests.conftest import LAST


@pytest.fixture
def facts(life) -> dict:
    twins = life.twins
    artifacts, use_case = twins.memory.artifacts, twins.use_case
    rows = twins.memory.tables.read("arrival_delay/releases/deployment")
    lineage = lineage_of(
        twins.memory.registry.version("arrival_delay", 1),
        manifest_at(artifacts, use_case, LAST),
        training_set_of(twins.memory.registry, "arrival_delay", 1),
        evaluation_at(artifacts, use_case, LAST),
        twins.promotions.all("arrival_delay"),
    )
    return {**lineage, "answers": answers_of(rows)}


@pytest.fixture
def picture(facts) -> Picture:
    return lineage_picture(facts)


def test_every_arrow_joins_two_boxes_and_no_box_stands_alone(picture: Picture) -> None:
    known = {box.id for box in picture.boxes}
    ends = {end for arrow in picture.arrows for end in arrow}
    assert len(known) == len(picture.boxes)
    assert ends == known


def test_upstream_and_downstream_are_both_there(picture: Picture) -> None:
    columns = {box.id: box.column for box in picture.boxes}
    assert columns["flights/datasets/weather"] == "sources"
    assert columns["flights/features/origin_weather"] == "features"
    assert ("flights/datasets/weather", "flights/features/origin_weather") in picture.arrows
    assert ("flights/features/origin_weather", "training") in picture.arrows
    assert ("training", "model") in picture.arrows
    assert {"releases", "answers"} <= set(columns.values())


def test_the_svg_is_well_formed_and_holds_every_title(picture: Picture) -> None:
    root = ElementTree.fromstring(svg(picture))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    titles = {element.text for element in root.iter("{http://www.w3.org/2000/svg}title")}
    assert {box.title for box in picture.boxes} <= titles
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == len(picture.arrows) + 1


def test_no_box_lies_over_another(picture: Picture) -> None:
    spans: dict[int, list[tuple[int, int]]] = {}
    for box, (x, y) in zip(picture.boxes, _places(picture).values(), strict=True):
        spans.setdefault(x, []).append((y, y + box.height))
    for column in spans.values():
        assert all(end < start for (_, end), (start, _) in zip(column, column[1:], strict=False))


def test_a_reason_with_markup_is_only_text(facts) -> None:
    evil = {**facts, "trained_because": '<script>alert("x")</script>'}
    assert "<script>" not in svg(lineage_picture(evil))
    assert '"x"' not in mermaid(lineage_picture(evil))


def test_mermaid_names_every_box_once(picture: Picture) -> None:
    text = mermaid(picture)
    assert text.startswith("flowchart LR\n")
    assert text.count(":::") == len(picture.boxes)
    assert text.count(" --> ") == len(picture.arrows)


def test_a_version_that_answered_nobody_is_drawn_without_answers(facts) -> None:
    silent = {key: value for key, value in facts.items() if key != "answers"}
    assert "answers" not in {box.column for box in lineage_picture(silent).boxes}
    assert "answered" not in lineage_text(silent)
    assert "requests on 2 days" in lineage_text(facts)
