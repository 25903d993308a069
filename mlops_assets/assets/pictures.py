"""Pictures in metadata.

Here: a PNG as the Markdown that Dagster's UI shows. Belongs here: nothing else. Does not: drawing (``ml.plots``).
"""

import base64

import dagster as dg


def picture(png: bytes, text: str) -> dg.MarkdownMetadataValue:
    """The picture inline, with ``text`` for those who cannot see it."""
    return dg.MetadataValue.md(f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})")
