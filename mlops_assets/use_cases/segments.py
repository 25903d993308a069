"""One model per segment of a use case: facts derived from its own, one use case for each level of a column.

Here: ``segmented``, and ``with_segments`` for a whole deployment. Belongs here: what a segment inherits, what it leaves
out, and why. Does not: which rows are a segment's (``ml.segments``), whether a deployment has segments
(``adapters.settings``). A segment is a use case like every other: nothing downstream knows a second path.

Thresholds that count rows are inherited as they are. ``slice_min_rows``, ``rollback_min_rows`` and the model's
``min_data_in_leaf`` bound the error of one rate, loss or leaf by its own rows, however many others there are: smaller
ones would let a segment decide on less evidence than its parent. It has fewer rows a day, so it needs more days.
One gate is wider, see ``CALIBRATION_ROOM``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mlops_assets.contracts import Domain, Segment, UseCase

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What asset keys, jobs, the registry, addresses of the server and metrics all take."""
CALIBRATION_ROOM = 1.5
"""Times the parent's ``max_calibration_error``. The error of a fortnight is that fortnight's own late rate, which the
parent averages over its segments: of nine honest models of all airports the worst showed 0.077, of 27 of one airport
0.123 (``make bench-segments``). A first model that is refused for its weather would leave the segment without any."""


def segmented(parent: UseCase, column: str, values: Sequence[str]) -> tuple[UseCase, ...]:
    """One use case for each value, named ``<parent>__<value in lower case>``, with the parent's facts.

    Slices by ``column`` are left out: all rows of a segment are alike in it. Question, intended use and limits say
    which decisions it is for, and with them every card. Raises ValueError, naming the field, for a parent that is a
    segment itself, for a column or value that its domain's ``levels`` do not have, for no values or the same twice,
    and for values of which no names, or equal ones, can be made.
    """
    if parent.segment is not None:
        raise ValueError(f"segment: {parent.name} is one already ({_told(parent.segment)}): divide its parent")
    known = levels(parent.domain, column)
    strange = [value for value in values if value not in known]
    if strange:
        raise ValueError(f"segment.value: {parent.domain.name} has no {column} {strange[0]!r}; it has {_list(known)}")
    if not values or len(set(values)) != len(values):
        raise ValueError(f"segment.value: give one or more values of {column}, each once, not {_list(values)}")
    names = [segment_name(parent, value) for value in values]
    for name in names:
        if names.count(name) > 1 or not NAME.fullmatch(name):
            alike = [value for value, made in zip(values, names, strict=True) if made == name]
            raise ValueError(f"segment.value: {_list(alike)} would be named {name}; names are unique, of a-z, 0-9, _")
    return tuple(_of(parent, name, Segment(column=column, value=v)) for name, v in zip(names, values, strict=True))


def levels(domain: Domain, column: str) -> tuple[str, ...]:
    """The values that a column has by the facts of a domain. Raises ValueError, naming the field, when it has none."""
    for known in domain.levels:
        if known.column == column:
            return known.values
    said = _list([known.column for known in domain.levels]) or "of none"
    raise ValueError(f"segment.column: {domain.name} states no levels of {column!r}, but {said}")


def segment_name(parent: UseCase, value: str) -> str:
    """The name of the use case for one value.

    Two underscores, for no name of a use case has them: nobody else's can be the same.
    """
    return f"{parent.name}__{re.sub('[^a-z0-9]+', '_', value.lower())}"


def with_segments(use_cases: Sequence[UseCase], wanted: Sequence[tuple[str, str]]) -> tuple[UseCase, ...]:
    """The use cases, each followed by the segments that ``wanted``, pairs of its name and a column, asks for.

    What is there already is not added twice. Raises ValueError, naming the field, for a name that is none of theirs,
    for two columns whose segments would have one name, and whatever ``segmented`` raises.
    """
    names = [use_case.name for use_case in use_cases]
    for name, _ in wanted:
        if name not in names:
            raise ValueError(f"segment: there is no use case {name!r}; there are {_list(names)}")
    found: dict[str, UseCase] = {}
    for use_case in use_cases:
        parts = [part for name, column in wanted if name == use_case.name for part in _parts(use_case, column)]
        for one in (use_case, *parts):
            if found.setdefault(one.name, one).segment != one.segment:
                raise ValueError(f"segment.column: {_told(found[one.name].segment)} and {_told(one.segment)} would "
                                 f"both be named {one.name}")  # fmt: skip
    return tuple(found.values())


def possible(use_cases: Sequence[UseCase]) -> tuple[tuple[str, str], ...]:
    """Every pair of a use case and a column that ``with_segments`` takes."""
    return tuple((u.name, known.column) for u in use_cases if u.segment is None for known in u.domain.levels)


def _parts(use_case: UseCase, column: str) -> Iterator[UseCase]:
    yield from segmented(use_case, column, levels(use_case.domain, column))


def _of(parent: UseCase, name: str, segment: Segment) -> UseCase:
    told = _told(segment)
    return replace(
        parent,
        name=name,
        question=f"{parent.question.removesuffix('?')} ({told})?",
        gates=replace(parent.gates, max_calibration_error=CALIBRATION_ROOM * parent.gates.max_calibration_error),
        slices=tuple(part for part in parent.slices if part.column != segment.column),
        intended_use=f"{parent.intended_use} This model: only decisions whose {told}.",
        limits=(*parent.limits, f"Trained on decisions whose {told}, and on no others: it says nothing about them."),
        segment=segment,
    )


def _told(segment: Segment | None) -> str:
    return "all" if segment is None else f"{segment.column} is {segment.value}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
