"""The facts of every prediction problem: one file each, one entry in ``USE_CASES``.

Here: the tuple of all use cases and the look-up by name.
Belongs here: a new file of facts and its entry. Does not: logic, Dagster, anything that computes.
"""

from mlops_assets.contracts import UseCase
from mlops_assets.use_cases.arrival_delay import ARRIVAL_DELAY
from mlops_assets.use_cases.segments import possible, with_segments

USE_CASES: tuple[UseCase, ...] = (ARRIVAL_DELAY,)
KNOWN: tuple[UseCase, ...] = with_segments(USE_CASES, possible(USE_CASES))
"""All of them, and every segment that there may be: the names that a person can ask for. Which segments a deployment
has is a setting."""


def use_case(name: str) -> UseCase:
    """The use case or segment of that name.

    Raises KeyError that lists the known names.
    """
    for candidate in KNOWN:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no use case named {name!r}; known: {', '.join(u.name for u in KNOWN)}")
