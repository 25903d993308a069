"""Contracts as JSON text and as plain data.

Here: one way out and one way in. Belongs here: nothing else. Does not: files.
"""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: Any) -> str:
    """The JSON text of a contract (or of plain data), keys sorted, so that equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def from_json(kind: type[T], text: str | bytes) -> T:
    """Read a contract back from its JSON text.

    Raises msgspec.ValidationError, naming the field, when the text does not fit ``kind``.
    """
    return msgspec.json.decode(text, type=kind)


def to_plain(value: Any) -> Any:
    """A contract as plain dicts, lists and scalars."""
    return msgspec.to_builtins(value)
