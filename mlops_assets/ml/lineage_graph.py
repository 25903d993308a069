"""The lineage of a version as a picture: from tables and code on the left to the answers on the right.

Here: the boxes and arrows of a lineage, as Mermaid text and as an SVG. Belongs here: drawing it. Does not: the facts
(``ml.lineage``, ``ml.impact``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from mlops_assets.ml.features import VIEWS

COLUMNS = ("sources", "features", "training", "model", "releases", "answers")
COLOURS = {
    "sources": "#e3edf7",
    "features": "#e2f2e6",
    "training": "#fdf1d8",
    "model": "#f3e3f5",
    "releases": "#fbe3e0",
    "answers": "#e8e8e8",
}
WIDTH, GAP_X, GAP_Y, LINE, MARGIN = 250, 60, 18, 15, 20
LONGEST = 38
"""Letters of 11 px that fit into a box."""


@dataclass(frozen=True)
class Box:
    """One thing of a lineage."""

    id: str
    column: str
    title: str
    lines: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Pixels."""
        return 2 * LINE + LINE * len(self.lines)


@dataclass(frozen=True)
class Picture:
    """Boxes, and arrows between their ids."""

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[str, str], ...]


def lineage_picture(lineage: Mapping[str, Any]) -> Picture:
    """Boxes and arrows of a lineage (``ml.lineage.lineage_of``, with ``answers`` where they are known)."""
    pinned = {table["table"]: table for table in lineage["tables"]}
    inputs = {name: _inputs(name) for name in pinned if "/features/" in name}
    tables = sorted({*pinned, *(source for sources in inputs.values() for source in sources)})
    training, model = _training_box(lineage), _model_box(lineage)
    boxes = [
        *(_table_box(name, pinned.get(name)) for name in tables),
        Box("code", "sources", "code", (_commit(lineage), f"lock {_short(lineage['lock_digest'])}")),
        Box(
            "service", "features", f"feature service {lineage['feature_service']}", _digest(lineage, "feature_service")
        ),
        training,
        model,
        _evaluation_box(lineage),
        *_release_boxes(lineage),
        *_answer_boxes(lineage),
    ]
    arrows = [(source, name) for name, sources in inputs.items() for source in sources]
    arrows += [(name, training.id) for name in pinned] + [("service", training.id), ("code", training.id)]
    arrows += [(training.id, model.id), (model.id, "evaluation")]
    releases = [box.id for box in boxes if box.column == "releases" and box.id != "evaluation"]
    arrows += [(model.id, release) for release in releases]
    arrows += [(release, box.id) for release in releases[-1:] or [model.id] for box in boxes if box.column == "answers"]
    return Picture(tuple(boxes), tuple(arrows))


def mermaid(picture: Picture) -> str:
    """The picture as Mermaid text: GitHub, GitLab and most editors draw it."""
    number = {box.id: f"n{position}" for position, box in enumerate(picture.boxes)}
    lines = ["flowchart LR"]
    for box in picture.boxes:
        text = "<br/>".join(line.replace('"', "'") for line in (box.title, *box.lines))
        lines.append(f'  {number[box.id]}["{text}"]:::{box.column}')
    lines += [f"  {number[a]} --> {number[b]}" for a, b in picture.arrows]
    lines += [f"  classDef {name} fill:{colour},stroke:#555" for name, colour in COLOURS.items()]
    return "\n".join(lines)


def svg(picture: Picture) -> str:
    """The picture as an SVG document that any browser opens."""
    places = _places(picture)
    width = MARGIN * 2 + len(COLUMNS) * WIDTH + (len(COLUMNS) - 1) * GAP_X
    height = MARGIN + max(y + box.height for box, (_, y) in zip(picture.boxes, places.values(), strict=True))
    heights = {box.id: box.height for box in picture.boxes}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="11">',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#777"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
        *(_arrow(places[a], heights[a], places[b], heights[b]) for a, b in picture.arrows),
        *(_drawn(box, places[box.id]) for box in picture.boxes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _places(picture: Picture) -> dict[str, tuple[int, int]]:
    """Where each box lies: a column for each stage, one under the other in it."""
    below: dict[str, int] = dict.fromkeys(COLUMNS, MARGIN)
    places = {}
    for box in picture.boxes:
        places[box.id] = (MARGIN + COLUMNS.index(box.column) * (WIDTH + GAP_X), below[box.column])
        below[box.column] += box.height + GAP_Y
    return places


def _arrow(start: tuple[int, int], start_height: int, end: tuple[int, int], end_height: int) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + start_height // 2
    x2, y2 = end[0] - 2, end[1] + end_height // 2
    if start[0] == end[0]:
        x1, y1, x2, y2 = start[0] + WIDTH // 2, start[1] + start_height, end[0] + WIDTH // 2, end[1] - 2
    bend = (x2 - x1) // 2
    curve = f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2},{y2}"
    return f'<path d="{curve}" fill="none" stroke="#777" marker-end="url(#tip)"/>'


def _drawn(box: Box, place: tuple[int, int]) -> str:
    x, y = place
    texts = [
        f'<text x="{x + 10}" y="{y + LINE + 3 + row * LINE}"{weight}><title>{escape(line)}</title>'
        f"{escape(_cut(line))}</text>"
        for row, (line, weight) in enumerate([(box.title, ' font-weight="bold"'), *((line, "") for line in box.lines)])
    ]
    frame = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{box.height}" rx="5"'
    return "\n".join([f'{frame} fill="{COLOURS[box.column]}" stroke="#555"/>', *texts])


def _inputs(table: str) -> list[str]:
    domain, _, view = table.split("/")
    return [f"{domain}/datasets/{name}" for name in VIEWS[view].inputs] if view in VIEWS else []


def _table_box(name: str, pin: Mapping[str, Any] | None) -> Box:
    column = "features" if "/features/" in name else "sources"
    if pin is None:
        return Box(name, column, name)
    days = pin["partitions"]
    return Box(
        name, column, name, (f"version {pin['version']}", f"{days['first']} to {days['last']}" if days else "whole")
    )


def _training_box(lineage: Mapping[str, Any]) -> Box:
    told = lineage["training_set"]
    span = f"{told['first_day']} to {told['cutoff_day']}"
    return Box("training", "training", "training set", (_short(told["digest"]), f"{told['rows']:,} rows", span))


def _model_box(lineage: Mapping[str, Any]) -> Box:
    title = f"{lineage['model']} version {lineage['version']}"
    lines = (_short(lineage["artifact_digest"]), " ".join(lineage["aliases"]) or "no alias", lineage["trained_because"])
    return Box("model", "model", title, lines)


def _evaluation_box(lineage: Mapping[str, Any]) -> Box:
    passed = sum(bool(gate["passed"]) for gate in lineage["gates"])
    metrics = tuple(f"{name} {value:.4f}" for name, value in sorted(lineage["metrics"].items()))
    return Box("evaluation", "model", f"evaluation: {passed} of {len(lineage['gates'])} gates", metrics)


def _release_boxes(lineage: Mapping[str, Any]) -> list[Box]:
    return [
        Box(line["event_id"], "releases", f"{line['kind']} {line['day']}", (line["by"], line["reason"]))
        for line in lineage["history"]
    ]


def _answer_boxes(lineage: Mapping[str, Any]) -> list[Box]:
    told = lineage.get("answers")
    if not told or not told["answers"]:
        return []
    lines = (f"{told['days']} days, {told['first_day']} to {told['last_day']}",)
    return [Box("answers", "answers", f"{told['answers']:,} answers", lines)]


def _commit(lineage: Mapping[str, Any]) -> str:
    return f"commit {_short(lineage['code_commit'])}{' with changes' if lineage['code_dirty'] else ''}"


def _digest(lineage: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return (_short(lineage[f"{name}_digest"]),)


def _short(digest: str) -> str:
    return digest[:16]


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
