"""A named person's yes before a version becomes champion or goes to production: who must sign, who is missing.

Here: the rule and the line of the history that is a signature. Belongs here: what makes a sign-off count. Does not:
writing it down (``adapters.releases``), what waits for it (``ml.releases``). A rollback asks nobody.
"""

from collections.abc import Sequence

from mlops_assets.contracts import Transition

SIGNED_OFF = "signed_off"
"""Kind of the line in the promotion history."""
SIGNED_AS = "signed_as"
"""Evidence of that line: the entry of the use case's ``sign_off`` that it answers."""


class NotAskedToSign(ValueError):
    """Somebody signs who need not, or in a role that need not."""


class NotSigned(ValueError):
    """A version goes to production without a sign-off that the use case asks for."""


def signed_as(required: Sequence[str], person: str, role: str | None = None) -> str:
    """The entry that a signature answers: the role it is given in, or the person's own id.

    Raises NotAskedToSign, which lists who is asked.
    """
    if role and not required:
        raise NotAskedToSign("the use case asks no role to sign (Release.sign_off is empty); sign without --role")
    entry = role or person
    if required and entry not in required:
        how = " (a role is named with --role)" if any(":" in asked for asked in required) else ""
        raise NotAskedToSign(f"{entry} is not asked to sign; asked are {', '.join(required)}{how}")
    return entry


def sign_offs(lines: Sequence[Transition], version: int, digest: str) -> tuple[Transition, ...]:
    """The signatures under a version, oldest first. One under other bytes does not count."""
    return tuple(t for t in lines if t.kind == SIGNED_OFF and (t.version, t.digest) == (version, digest))


def missing_sign_offs(
    required: Sequence[str], lines: Sequence[Transition], version: int, digest: str
) -> tuple[str, ...]:
    """Who of ``required`` has not signed the version, in that order."""
    given = {line.evidence.get(SIGNED_AS) for line in sign_offs(lines, version, digest)}
    return tuple(entry for entry in required if entry not in given)


def require_sign_offs(required: Sequence[str], lines: Sequence[Transition], version: int, digest: str) -> None:
    """Raise NotSigned unless everybody who is asked has signed the version."""
    if missing := missing_sign_offs(required, lines, version, digest):
        raise NotSigned(
            f"version {version} waits for the sign-off of {', '.join(missing)} before it goes to production: "
            f"`mlops sign-off {version}`"
        )
