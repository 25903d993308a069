"""The technical documentation that Annex IV of the EU AI Act (Regulation (EU) 2024/1689) asks for, as far as facts go.

Every point of the annex is there. What the system knows stands under it, each paragraph with the fact it came from;
what no record can say is named plainly as a person's to write. Whether the Act applies to a use case at all, and in
which class, is a person's judgement: nothing here makes a system compliant.

Here: the points of the annex and what is said under each. Belongs here: a fact that the annex asks for. Does not: the
model card (``ml.model_cards``), legal advice.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlops_assets.ml.annex_iv_facts import (
    access,
    accuracy,
    algorithm,
    architecture,
    changes,
    data_sheet,
    development,
    instructions,
    interpretation,
    metrics_chosen,
    monitoring,
    oversight,
    pre_determined_changes,
    purpose,
    security,
    software,
    validation,
)
from mlops_assets.ml.card_facts import CardFacts
from mlops_assets.ml.card_metadata import missing_in, title_of

PERSON = "**A person must write:**"


class Fact(NamedTuple):
    """One paragraph and the record it came from, e.g. ``manifest.json#code_commit``."""

    text: str
    source: str


class Point(NamedTuple):
    """One point of the annex."""

    number: str
    asks: str
    """What the annex asks for, in short."""
    facts: Callable[[CardFacts], Sequence[tuple[str, str]]] | None
    person: str | None
    """What remains to be written by a person; None where the records say all."""


POINTS = (
    Point(
        "1(a)", "Intended purpose, provider, version and its relation to previous versions", purpose,
        "name and address of the provider",
    ),
    Point("1(b)", "Interaction with other hardware and software", access, "the systems of yours that ask it"),
    Point("1(c)", "Versions of relevant software, requirements for updates", software, None),
    Point("1(d)", "Forms in which it is put into service", access, "in which of them it is offered to whom"),
    Point("1(e)", "Hardware on which it is intended to run", None, "the machines of your deployment"),
    Point("1(f)", "Photographs or illustrations, where it is part of a product", None, "them, or that it is none"),
    Point("1(g)", "User interface provided to the deployer, in basic terms", interpretation, "the screens of yours"),
    Point("1(h)", "Instructions for use for the deployer", instructions, "instructions in the words of your users"),
    Point(
        "2(a)", "Methods and steps of the development, pre-trained systems and third-party tools", development,
        None,
    ),
    Point(
        "2(b)", "Design: general logic, key choices with rationale and assumptions, what it optimises for", algorithm,
        "why these choices are right for the persons concerned, and which trade-offs were made",
    ),
    Point(
        "2(c)", "System architecture and computational resources", architecture,
        "the resources that training and serving take in your deployment",
    ),
    Point(
        "2(d)", "Data: provenance, scope, main characteristics, selection, labelling, cleaning", data_sheet,
        "how and under which rights the data was collected, and whom it leaves out",
    ),
    Point("2(e)", "Human oversight measures (Article 14), interpretation of outputs", oversight, "who watches, when"),
    Point("2(f)", "Pre-determined changes and continuous compliance", pre_determined_changes, None),
    Point(
        "2(g)", "Validation and testing: data, metrics, potentially discriminatory impacts, signed reports", validation,
        "an assessment of discriminatory impacts: the slices are carriers, airports and hours, not persons; the test "
        "reports signed by the responsible persons, where the sign-off above is not meant as such",
    ),
    Point("2(h)", "Cybersecurity measures", security, "the measures of your deployment around it"),
    Point(
        "3", "Monitoring, functioning and control: capabilities, limitations, accuracy, foreseeable risks", accuracy,
        "foreseeable unintended outcomes, and risks to health, safety and fundamental rights",
    ),
    Point("4", "Appropriateness of the performance metrics", metrics_chosen, "why they fit what an error costs you"),
    Point("5", "Risk management system (Article 9)", None, "all of it"),
    Point("6", "Relevant changes through the lifecycle", changes, None),
    Point("7", "Harmonised standards applied, or the solutions adopted instead", None, "the list"),
    Point("8", "EU declaration of conformity (Article 47)", None, "it, and attach a copy"),
    Point(
        "9", "Post-market monitoring system and plan (Article 72)", monitoring,
        "the plan: who reads these signals, and who is told of a serious incident within which time",
    ),
)  # fmt: skip
SECTIONS = tuple(f"{point.number} {point.asks}" for point in POINTS)


def write_technical_documentation(facts: CardFacts) -> str:
    """The documentation as Markdown. Equal facts give equal text."""
    parts = [f"## {title}\n\n{_written(point, facts)}" for title, point in zip(SECTIONS, POINTS, strict=True)]
    left = sum(point.person is not None for point in POINTS)
    head = (
        f"# Technical documentation, {title_of(facts)}\n\nAfter Annex IV of Regulation (EU) 2024/1689. Each paragraph "
        f"names the record it was written from. {left} of {len(POINTS)} points need a person: they say so, and this "
        f"document is not complete without them. Bundle `{facts.manifest.model_digest}`."
    )
    return head + "\n\n" + "\n\n".join(parts) + "\n"


def missing_points(text: str) -> tuple[str, ...]:
    """Points of the annex that are absent, or under which nothing stands. () means that all are there."""
    lacking = missing_in(f"---\nlanguage: en\n---\n{text}", SECTIONS)
    return tuple(name for name in lacking if name in SECTIONS)


def to_be_written(text: str) -> int:
    """How many points still wait for a person."""
    return text.count(PERSON)


def _written(point: Point, facts: CardFacts) -> str:
    found = [Fact(*pair) for pair in point.facts(facts)] if point.facts else []
    paragraphs = [f"{fact.text} *Source: {_link(fact.source, facts)}.*" for fact in found]
    if point.person is not None:
        paragraphs.append(f"{PERSON} {point.person}.")
    return "\n\n".join(paragraphs)


def _link(source: str, facts: CardFacts) -> str:
    """The record, as a link where it is a document of the version, with the beginning of its digest."""
    file, _, field = source.partition("#")
    if file not in facts.documents:
        return f"`{source}`"
    told = f", `{field}`" if field else ""
    return f"[{file}]({file}){told} (SHA-256 `{facts.documents[file][:12]}`)"
