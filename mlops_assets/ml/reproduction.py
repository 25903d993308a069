"""Is it the same model? Two bundles, and the circumstances of two trainings, compared part by part.

Here: the comparison and its report, as data and as text. Belongs here: what a difference is called. Does not: training
again (``ml.fitting``), fetching either side (``adapters.reproduction``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mlops_assets.contracts import to_json
from mlops_assets.ml.bundles import SIGNATURE_FILE

NOTHING = "(nothing)"
LONGEST = 160
"""Characters of a value that a difference shows; a line of a model may have thousands."""
COMMIT, DIRTY, LOCK, DEFINITIONS = "commit", "uncommitted changes", "lock", "feature definitions"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not the same."""

    what: str
    recorded: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of training a version again."""

    model: str
    version: int
    rows_from: str
    """Where the training set came from this time."""
    digest_recorded: str
    digest_found: str
    training_set_recorded: str
    training_set_found: str
    same_rows: bool
    """The rows are the same, whatever wrote their file."""
    differences: tuple[Difference, ...]
    """Of the files of the bundle."""
    circumstances: tuple[Difference, ...]
    """Of code, lock, packages and feature definitions: the likely causes, or none the worse for the result."""

    @property
    def identical(self) -> bool:
        """The same training set, byte for byte, and the same model, byte for byte."""
        same_set = self.training_set_recorded == self.training_set_found
        return same_set and self.digest_recorded == self.digest_found


def compare_bundles(recorded: Mapping[str, bytes], found: Mapping[str, bytes]) -> tuple[Difference, ...]:
    """The differences, file by file: the first line that differs, or the fields of the signature that do."""
    differences: list[Difference] = []
    for path in sorted({*recorded, *found}):
        one, other = recorded.get(path), found.get(path)
        if one == other:
            continue
        if one is None or other is None:
            differences.append(Difference(what=path, recorded=_present(one), found=_present(other)))
        elif path == SIGNATURE_FILE:
            differences += _fields(path, one, other)
        else:
            differences.append(_first_line(path, one, other))
    return tuple(differences)


def compare_circumstances(recorded: Mapping[str, str], found: Mapping[str, str]) -> tuple[Difference, ...]:
    """The names whose values differ; a name that one side lacks counts only where it was recorded."""
    return tuple(
        Difference(what=name, recorded=value, found=found.get(name, NOTHING))
        for name, value in recorded.items()
        if found.get(name, NOTHING) != value
    )


def reproduction_text(told: Reproduction) -> str:
    """The report for a terminal."""
    rows = {True: "the same bytes", False: "THE SAME ROWS IN ANOTHER FILE" if told.same_rows else "OTHER ROWS"}
    model = {True: "the same bytes", False: "ANOTHER MODEL"}
    lines = [
        f"{told.model} version {told.version}, trained again on rows from {told.rows_from}",
        f"training set  {rows[told.training_set_recorded == told.training_set_found]}",
        f"    recorded  {told.training_set_recorded}",
        f"    found     {told.training_set_found}",
        f"model         {model[told.digest_recorded == told.digest_found]}",
        f"    recorded  {told.digest_recorded}",
        f"    found     {told.digest_found}",
        *_listed("differs in the bundle:", told.differences),
        *_commit_lines(told.circumstances),
        *_listed("differs around it:", [d for d in told.circumstances if d.what not in (COMMIT, DIRTY)]),
        "IDENTICAL" if told.identical else "NOT IDENTICAL",
    ]
    return "\n".join(lines)


def _commit_lines(circumstances: Sequence[Difference]) -> list[str]:
    lines = []
    for difference in circumstances:
        if difference.what == COMMIT:
            lines += [
                "This checkout is at another commit than the model was trained from:",
                f"    model     {difference.recorded}",
                f"    checkout  {difference.found}",
            ]
        if difference.what == DIRTY and difference.recorded == "yes":
            lines.append("The model was trained with uncommitted changes: no commit holds all of its code.")
        if difference.what == DIRTY and difference.recorded == "no":
            lines.append("This checkout has uncommitted changes.")
    return lines


def _listed(title: str, differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return []
    return [title, *(f"    {d.what}: recorded {d.recorded}, found {d.found}" for d in differences)]


def _first_line(path: str, recorded: bytes, found: bytes) -> Difference:
    one, other = recorded.decode(errors="replace").splitlines(), found.decode(errors="replace").splitlines()
    pairs = enumerate(zip(one, other, strict=False), start=1)
    number = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)) + 1)
    shown = [lines[number - 1] if number <= len(lines) else NOTHING for lines in (one, other)]
    return Difference(what=f"{path} line {number}", recorded=_short(shown[0]), found=_short(shown[1]))


def _fields(path: str, recorded: bytes, found: bytes) -> list[Difference]:
    one, other = msgspec.json.decode(recorded), msgspec.json.decode(found)
    return [
        Difference(what=f"{path} field {name}", recorded=_value(one, name), found=_value(other, name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def _value(fields: Mapping[str, object], name: str) -> str:
    return _short(to_json(fields[name])) if name in fields else NOTHING


def _present(content: bytes | None) -> str:
    return NOTHING if content is None else f"{len(content)} bytes"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"
