"""What differs between two versions, fact by fact.

Here: two sets of facts as one flat list of differences. Belongs here: what is worth comparing. Does not: judging it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_assets.contracts import to_plain
from mlops_assets.ml.card_facts import CardFacts

ABSENT = "-"


def differing(a: CardFacts, b: CardFacts) -> list[tuple[str, object, object]]:
    """(fact, in a, in b) for every fact that is not the same, in the order of a card; ABSENT where one has none.

    Days' digests, event ids and instants say nothing to a reader and are left out.
    """
    first, second = dict(_flat(_facts(a))), dict(_flat(_facts(b)))
    names = [*first, *(name for name in second if name not in first)]
    pairs = [(name, first.get(name, ABSENT), second.get(name, ABSENT)) for name in names]
    return [(name, before, after) for name, before, after in pairs if before != after]


def _facts(facts: CardFacts) -> dict[str, Any]:
    manifest = to_plain(facts.manifest)
    manifest["tables"] = {pin["table"]: pin["version"] for pin in manifest["tables"]}
    shown = to_plain(facts.evaluation)
    shown["gates"] = {gate["name"]: _answer(gate) for gate in shown["gates"]}
    return {
        "manifest": manifest,
        "evaluation": shown,
        "explanations": {
            "mean_contribution": dict(facts.explanations.mean_contribution),
            "drift": to_plain(facts.explanations.drift),
        },
        "drift_limit": facts.drift_limit,
        "history": {f"{n}": f"{line.day} {line.kind} by {line.by}" for n, line in enumerate(facts.transitions, 1)},
        "sign_offs": [line.by for line in facts.signatures],
    }


def _answer(gate: Mapping[str, Any]) -> str:
    return "passed" if gate["passed"] and gate["judged"] else gate["reason"]


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _flat(inside, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(map(str, value))
    else:
        yield name, round(value, 6) if isinstance(value, float) else value
