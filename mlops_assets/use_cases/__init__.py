"""The facts of every prediction problem: one file each, one entry in ``USE_CASES``.

Here: the tuple of all use cases and the look-up by name.
Belongs here: a new file of facts and its entry. Does not: logic, Dagster, anything that computes.
"""

from mlops_assets.contracts import UseCase
from mlops_assets.use_cases.arrival_delay import ARRIVAL_DELAY

USE_CASES: tuple[UseCase, ...] = (ARRIVAL_DELAY,)


def use_case(name: str) -> UseCase:
    """The use case of that name.

    Raises KeyError that lists the known names.
    """
    for candidate in USE_CASES:
        if candidate.name == name:
            return candidate
    raise KeyError(f"no use case named {name!r}; known: {', '.join(u.name for u in USE_CASES)}")
