"""The Markdown that both kinds of cards are made of: tables, lists, numbers.

Here: words and cells. Belongs here: a form that two templates share. Does not: what is said.
"""

from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; a pipe or a line break in a cell does no harm.

    >>> print(table(("a",), [("x|y",)]))
    | a |
    |---|
    | x\\\\|y |
    """
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(cell(value) for value in row) + " |" for row in rows)])


def cell(value: object) -> str:
    """A value in a table."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def between(ends: tuple[float, float] | None) -> str:
    """An interval, or nothing."""
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def picture(file: str, text: str, documents: Mapping[str, str]) -> str:
    """A picture that lies beside the card, or nothing where there is none."""
    return f"\n\n![{text}]({file})" if file in documents else ""


def sections_of(body: str) -> dict[str, str]:
    """Title -> text of every second-level section."""
    parts = ("\n" + body).split("\n## ")[1:]
    return {title.strip(): text for title, _, text in (part.partition("\n") for part in parts)}
