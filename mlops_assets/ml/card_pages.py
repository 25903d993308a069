"""A card as one HTML page that needs nothing beside it: pictures inline, no script, no address outside.

Here: from Markdown and pictures to a page. Belongs here: what a page looks like. Does not: what a card says.
"""

import base64
import html
from collections.abc import Mapping

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}td,th{border:1px solid #ccc;"
    "padding:.25rem .5rem;text-align:left;vertical-align:top}code,pre{font-size:13px;background:#f5f5f5;"
    "overflow-wrap:anywhere}pre{padding:.5rem;white-space:pre-wrap}img{max-width:100%}"
)
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def with_pictures(card: str, files: Mapping[str, bytes]) -> str:
    """The Markdown with every picture that lies beside the card in its own text."""
    for name, content in files.items():
        if name.endswith(".png"):
            card = card.replace(f"]({name})", f"](data:image/png;base64,{base64.b64encode(content).decode()})", 1)
    return card


def page(card: str, files: Mapping[str, bytes]) -> str:
    """A card's Markdown as a page. HTML inside the Markdown is shown, not run."""
    from markdown_it import MarkdownIt

    header, _, body = card.removeprefix("---\n").partition("\n---\n") if card.startswith("---\n") else ("", "", card)
    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(_unlinked(with_pictures(body, files)))
    title = next((line[2:] for line in body.splitlines() if line.startswith("# ")), "model card")
    block = f"<details><summary>Metadata</summary><pre>{html.escape(header)}</pre></details>" if header else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>'
        f"<body>{rendered}{block}</body></html>\n"
    )


def _unlinked(card: str) -> str:
    """A page on its own has no documents beside it: their names stay, the links go."""
    import re

    return re.sub(r"(?<!!)\[([\w.]+)\]\(\1\)", r"`\1`", card)
