"""Values of metadata: plain numbers, and pictures.

Here: what Dagster can store and its UI can show. Belongs here: a form of metadata that two stages use. Does not:
drawing (``ml.plots``), computing.
"""

import base64
from collections.abc import Mapping
from typing import Any

import dagster as dg


def picture(png: bytes, text: str) -> dg.MarkdownMetadataValue:
    """The picture inline, with ``text`` for those who cannot see it."""
    return dg.MetadataValue.md(f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})")


def drawing(svg: str, text: str) -> dg.MarkdownMetadataValue:
    """An SVG picture inline. Dagster's pages show it as an image: nothing in it is run."""
    return dg.MetadataValue.md(f"![{text}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as Python's own types, without those that are missing: Dagster stores no numpy scalars."""
    return {name: getattr(value, "item", lambda v=value: v)() for name, value in values.items() if value is not None}
