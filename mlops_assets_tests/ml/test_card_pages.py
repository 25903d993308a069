"""A card as a page, the technical documentation, and what differs between two versions."""

from dataclasses import replace

import pytest

from mlops_assets.contracts import Gate, Transition, from_json, to_json
from mlops_assets.ml.annex_iv import (
    PERSON,
    POINTS,
    SECTIONS,
    missing_points,
    to_be_written,
    write_technical_documentation,
)
from mlops_assets.ml.card_diff import differing
from mlops_assets.ml.card_facts import CALIBRATION, PICTURES
from mlops_assets.ml.card_pages import page, with_pictures
from mlops_assets.ml.explanations import Explanations
from mlops_assets.ml.model_cards import write_card
from mlops_assets_tests.ml.test_model_cards import EVALUATION, FACTS, MANIFEST, TRANSITION

FILES = dict.fromkeys(PICTURES, b"\x89PNG\r\n")
SHOWN = replace(FACTS, documents=dict.fromkeys((*PICTURES, "manifest.json", "evaluation.json"), "ab" * 32))


def test_every_picture_is_inside_the_page_and_nothing_outside_is_asked_for() -> None:
    made = page(write_card(SHOWN), FILES)
    assert made.count("data:image/png;base64,") == len(PICTURES)
    assert "default-src 'none'" in made
    for outside in ("http://", "https://", "<script", 'src="calibration'):
        assert outside not in made.replace("https://github.com", "")
    assert "<table>" in made


def test_html_in_a_fact_is_shown_and_not_run() -> None:
    loud = replace(SHOWN, transitions=(replace(TRANSITION, reason="<script>alert(1)</script>"),))
    made = page(write_card(loud), FILES)
    assert "<script>" not in made
    assert "&lt;script&gt;" in made


def test_a_picture_that_is_missing_is_not_promised() -> None:
    assert f"({CALIBRATION})" not in write_card(FACTS)
    assert with_pictures(write_card(SHOWN), FILES).count("(data:image/png") == len(PICTURES)


def test_every_point_of_the_annex_states_facts_or_asks_a_person() -> None:
    text = write_technical_documentation(SHOWN)
    assert missing_points(text) == ()
    assert len(POINTS) == 23
    assert to_be_written(text) == sum(point.person is not None for point in POINTS) == text.count(PERSON)
    assert f"{to_be_written(text)} of 23 points need a person" in text


def test_every_paragraph_of_facts_names_its_record() -> None:
    text = write_technical_documentation(SHOWN)
    body = text.partition("\n## ")[2]
    paragraphs = [p for p in ("## " + body).split("\n\n") if p.strip() and not p.startswith("## ")]
    assert all("*Source: " in p or p.startswith(PERSON) for p in paragraphs)
    assert "[manifest.json](manifest.json), `code_commit` (SHA-256 `abababababab`)" in text


@pytest.mark.parametrize("fact", ["c0ffee", "off by 0.18", "operator:jane", "the first model"])
def test_a_fact_stands_in_the_documentation(fact: str) -> None:
    assert fact in write_technical_documentation(SHOWN)


def test_the_features_that_lead_are_those_of_the_largest_contribution() -> None:
    sizes = {f"{chr(122 - n)}{n}": 1.0 - n / 20 for n in range(16)}
    told = Explanations(
        mean_contribution=sizes, expected_value=0.0, rows=2000, slices={"carrier=UA": {"z": 0.7, "a": 0.2}}
    )
    facts = replace(SHOWN, explanations=from_json(Explanations, to_json(told)))
    assert "What moves its answers most: z0, y1, x2, w3, v4." in write_technical_documentation(facts)
    card = write_card(facts)
    assert card.index("| z0 | 1.0000 |") < card.index("| l14 | 0.3000 |")
    assert "| k15 |" not in card
    assert "| carrier=UA | z 70%, a 20% |" in card


def point_of(text: str, number: str) -> str:
    """What stands under one point of the annex."""
    return next(part for part in text.split("\n## ") if part.startswith(f"{number} "))


def moved(kind: str, arms: tuple[str | None, str | None], by: str = "sensor:release") -> Transition:
    """A line of the promotion history."""
    return replace(TRANSITION, kind=kind, from_arm=arms[0], to_arm=arms[1], by=by, reason="its reason")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([("registered", (None, None))], "This version has entered no arm of the traffic."),
        ([("promoted", (None, "champion"))], "2013-04-01 promoted to champion, without shadow and canary, by sensor:"),
        (
            [("shadow", (None, "shadow")), ("canary", ("shadow", "canary")), ("promoted", ("canary", "champion"))],
            "2013-04-01 promoted to champion, by sensor:release: its reason.",
        ),
        (
            [
                ("refused", (None, None)),
                ("override", (None, "champion"), "operator:joe"),
                ("rolled_back", ("champion", None)),
                ("restored", (None, "champion")),
            ],
            "2013-04-01 refused, by sensor:release: its reason; 2013-04-01 override to champion, round the gates, "
            "without shadow and canary, by operator:joe: its reason; 2013-04-01 rolled_back out of champion, by "
            "sensor:release: its reason; 2013-04-01 restored to champion, by sensor:release: its reason.",
        ),
    ],
)  # fmt: skip
def test_the_annex_tells_the_way_of_this_version_from_its_history(lines: list, told: str) -> None:
    facts = replace(SHOWN, transitions=tuple(moved(*line) for line in lines))
    point = point_of(write_technical_documentation(facts), "2(f)")
    assert told in point
    assert "Every new version" not in point


def test_the_annex_counts_what_passed_what_failed_and_what_was_not_judged() -> None:
    gates = (
        Gate(name="a", passed=True, reason="fine"),
        Gate(name="b", passed=False, reason="off by 0.18"),
        Gate(name="c", passed=True, judged=False, reason="not judged: too few days"),
    )
    text = write_technical_documentation(replace(SHOWN, evaluation=replace(EVALUATION, gates=gates, enforced=False)))
    told = "1 of 3 passed; failed: b (off by 0.18); not judged: c; a dry run: they stopped nothing"
    assert told in point_of(text, "2(f)")
    assert told in point_of(text, "2(g)")


def test_no_source_has_backticks_within_backticks() -> None:
    text = write_technical_documentation(SHOWN)
    assert "``" not in text
    assert "`promotion history: mlops history`" in text


def test_a_text_from_before_registration_says_so() -> None:
    early = replace(SHOWN, version=None, transitions=())
    title = "# Technical documentation, arrival_delay, cut-off day 2013-03-31, text before registration\n"
    assert title in write_technical_documentation(early)
    assert "unregistered" not in write_technical_documentation(early) + write_card(early)


@pytest.mark.parametrize("title", [SECTIONS[0], SECTIONS[-1]])
def test_a_documentation_without_a_point_is_incomplete(title: str) -> None:
    text = write_technical_documentation(SHOWN)
    assert title in missing_points(text.replace(f"## {title}", "## something else"))


def test_equal_versions_differ_in_nothing_and_others_in_their_facts() -> None:
    assert differing(SHOWN, SHOWN) == []
    other = replace(
        SHOWN,
        manifest=replace(MANIFEST, code_commit="decade"),
        evaluation=replace(EVALUATION, metrics={**EVALUATION.metrics, "auc": 0.8}),
        transitions=(),
    )
    found = {name: (before, after) for name, before, after in differing(SHOWN, other)}
    assert found == {
        "manifest.code_commit": ("c0ffee", "decade"),
        "evaluation.metrics.auc": (0.76, 0.8),
        "history.1": ("2013-04-01 promoted by operator:jane", "-"),
    }
