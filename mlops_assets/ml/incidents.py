"""The report of one incident: what was seen, what was decided, what moved.

Here: the report as markdown, from facts only. Belongs here: wording for people. Does not: finding the facts, sending.
"""

from collections.abc import Sequence

from mlops_assets.contracts import Decision, Judgement, Transition, UseCase


def incident_report(use_case: UseCase, decision: Decision, moves: Sequence[Transition]) -> str:
    """Markdown: the decision, each monitor's verdict with its numbers, the moves it led to."""
    lines = [
        f"# {use_case.name}, {decision.day}: {decision.action}",
        "",
        decision.reason,
        "",
        "| monitor | day | verdict | reason | numbers |",
        "|---|---|---|---|---|",
        *[_row(judgement) for judgement in decision.evidence],
        "",
        "## What moved",
        *([_move(line) for line in moves] or ["Nothing."]),
    ]
    return "\n".join(lines) + "\n"


def _row(judgement: Judgement) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in judgement.numbers.items() if value is not None)
    return f"| {judgement.monitor} | {judgement.day} | {judgement.verdict} | {judgement.reason} | {numbers} |"


def _move(line: Transition) -> str:
    return f"- version {line.version} {line.kind}: {line.from_arm or 'out'} -> {line.to_arm or 'out'}, by {line.by}"
