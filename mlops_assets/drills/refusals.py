"""Why a drill does not begin, or not go on.

Here: the two refusals, without anything that is slow to import. Belongs here: what a person is told. Does not: raising.
"""


class DrillFailed(RuntimeError):
    """The drill itself could not go on; says what was missing."""


class NotCopied(RuntimeError):
    """The state cannot be copied: a part of it lies elsewhere. Says which, and what to do."""
