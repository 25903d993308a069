"""Why a body was refused, in words that name the field and the remedy.

Here: from a decoder's error to a ``Refusal``. Belongs here: the wording of errors about JSON. Does not: the checks
themselves (``serving.validation``). Runs for bad requests only, so it may be slow; bodies are capped before.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from mlops_assets.serving.refusal import Refusal

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<how>contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)
_LONGEST_NAME = 80


def explain(error: Exception, prefix: str, hint: Callable[[str], str], non_finite: tuple[str, str] | None) -> Refusal:
    """The refusal for a decoder's error.

    ``prefix`` is where in the body the decoded part lies, ``hint(name)`` says what a field should hold, and
    ``non_finite`` is what ``find_non_finite`` found in the decoded part.
    """
    if non_finite is not None:
        path, value = non_finite
        return Refusal(422, _join(prefix, path), f"{value} is not a number that JSON knows; {hint(_last(path))}")
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(400, prefix or "body", f"not valid JSON ({_reason(error)}); {hint('')}")
    told = _PLACE.match(str(error))
    what, path = (told["what"], told["path"] or "") if told else (str(error), "")
    if named := _NAMED.match(what):
        name = named["name"][:_LONGEST_NAME]
        problem = "is not a field of this request" if named["how"].startswith("contains") else "is missing"
        return Refusal(422, _join(prefix, f"{path}.{name}"), f"{name} {problem}; {hint(name)}")
    return Refusal(422, _join(prefix, path) or "body", f"{what}; {hint(_last(path))}")


def find_non_finite(body: bytes) -> tuple[str, str] | None:
    """Path and spelling of the first NaN or infinity in an otherwise well-formed body, or None."""
    try:
        return _first_non_finite(json.loads(body), "")
    except (ValueError, RecursionError):
        return None


def _first_non_finite(value: Any, path: str) -> tuple[str, str] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return path, {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inside:
        step = f"[{key}]" if isinstance(value, list) else f".{key}"
        if found := _first_non_finite(member, path + step):
            return found
    return None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _join(prefix: str, path: str) -> str:
    return f"{prefix}{path}".lstrip(".")


def _last(path: str) -> str:
    return path.rpartition(".")[2] if "." in path else ""
