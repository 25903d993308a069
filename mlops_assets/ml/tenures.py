"""What the lines of a promotion history mean together: who holds an arm, who held it then, from when to when.

Here: the sum of a history, its state at a moment, the tenures of an arm. Belongs here: anything that follows from the
lines alone. Does not: keeping them (``adapters.promotions``), deciding the next one (``ml.releases``, ``ml.policy``).
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlops_assets.contracts import Arm, Transition

INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """One version's stay in an arm: who put it there, on what evidence, and what ended it."""

    arm: str
    version: int
    digest: str
    from_day: str
    from_at: str
    kind: str
    by: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    until_day: str | None = None
    """Day on which the next one took over; None while it lasts."""
    until_at: str | None = None
    ended_as: str | None = None
    """``retired``, ``rolled_back``, ``refused`` or ``replaced``; None while it lasts."""
    ended_by: str | None = None


def holders(lines: Iterable[Transition]) -> dict[Arm, Transition]:
    """Who holds which arm after these lines, oldest first."""
    held: dict[Arm, Transition] = {}
    for line in lines:
        leaves = Arm(line.from_arm) if line.from_arm else None
        if leaves and leaves in held and held[leaves].version == line.version:
            del held[leaves]
        if line.to_arm:
            held[Arm(line.to_arm)] = line
    return held


def entered(lines: Sequence[Transition], held: Transition) -> Transition:
    """The line with which the version of ``held`` came into its arm: a canary that is widened stays where it is."""
    first = held
    for line in reversed(lines[: lines.index(held)]):
        if first.from_arm != first.to_arm:
            break
        if line.version == held.version and line.to_arm == held.to_arm:
            first = line
    return first


def set_out(lines: Sequence[Transition], held: Transition) -> Transition:
    """The line with which a version began its way to where it stands, through one arm after the other."""
    came = entered(lines, held)
    before = reversed(lines[: lines.index(came)]) if came.from_arm else ()
    earlier = next((line for line in before if (line.version, line.to_arm) == (held.version, came.from_arm)), None)
    return set_out(lines, earlier) if earlier else came


def previous_champion(lines: Sequence[Transition]) -> Transition | None:
    """The newest line that made champion a version other than the present one, whose tenure was not rolled back."""
    present = holders(lines).get(Arm.CHAMPION)
    passed_over = {present.version} if present else set()
    for line in reversed(lines):
        if line.kind == "rolled_back":
            passed_over.add(line.version)
        if line.to_arm == Arm.CHAMPION and line.version not in passed_over:
            return line
    return None


def as_of(lines: Iterable[Transition], moment: str) -> list[Transition]:
    """The lines that count at a moment, oldest first.

    ``moment`` is a day (its end, on the use case's calendar) or an instant with its zone (on the wall's clock). On the
    calendar a move never takes effect before a move that was recorded earlier: a line that an operator dates back
    does not rewrite the days in between. Raises ValueError when ``moment`` is neither.
    """
    if not _is_day(moment):
        until = as_instant(moment)
        return [line for line in lines if line.at <= until]
    return [line for line, day in _on_their_days(lines) if day <= moment]


def _on_their_days(lines: Iterable[Transition]) -> Iterator[tuple[Transition, str]]:
    """Every line with the day of the calendar on which it takes effect."""
    effective = ""
    for line in lines:
        effective = max(effective, line.day) if line.from_arm or line.to_arm else effective
        yield line, max(line.day, effective)


def as_judged(lines: Sequence[Transition], day: str, version: int | None) -> list[Transition]:
    """The lines that count for a day that is judged again, oldest first: those until its champion was replaced.

    ``version`` is the champion that its first verdict was about; what that verdict led to is dated with the same day,
    so the day alone does not tell. None, or a version that was no champion by then: the lines ``as_of`` the day.
    """
    put_in = [n for n, line in enumerate(lines) if _puts_in(line) and line.version == version and line.day <= day]
    if not put_in:
        return as_of(lines, day)
    later = (n for n in range(put_in[-1] + 1, len(lines)) if _puts_in(lines[n]) and lines[n].version != version)
    return list(lines[: next(later, len(lines))])


def _puts_in(line: Transition) -> bool:
    return line.to_arm == Arm.CHAMPION


def tenures(lines: Sequence[Transition], arm: Arm = Arm.CHAMPION) -> list[Tenure]:
    """Every stay in an arm, oldest first; the last one may still last.

    >>> tenures([])
    []
    """
    stays: list[Tenure] = []
    held: Transition | None = None
    for position, (line, day) in enumerate(_on_their_days(lines)):
        present = holders(lines[: position + 1]).get(arm)
        if present is held:
            stays = _with_the_reason(stays, line, arm)
            continue
        if held is not None and present is line and line.from_arm == line.to_arm:
            # A larger share of the traffic: the stay goes on.
            held = present
            continue
        if held is not None:
            stays[-1] = _ended(stays[-1], line, day)
        if present is not None:
            stays.append(_begun(present, arm, day))
        held = present
    return stays


def unproven(lines: Sequence[Transition], version: int) -> str | None:
    """Why a version has not proven itself here, None when it has: champion by its own evidence, and not taken back."""
    own = [line for line in lines if line.version == version]
    if taken := next((line for line in reversed(own) if line.kind in ("rolled_back", "refused")), None):
        since = own[own.index(taken) :]
        if not any(line.to_arm == Arm.CHAMPION for line in since):
            return f"it was {taken.kind.replace('_', ' ')} on {taken.day}: {taken.reason}"
    if not any(line.to_arm == Arm.CHAMPION and line.kind != "override" for line in own):
        return "it never became champion by its own evidence"
    return None


def as_instant(text: str) -> str:
    """An instant in the history's own form, so that texts compare as times. Raises ValueError when it has no zone."""
    try:
        instant = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a day like 2013-05-02 nor an instant like 2026-01-31T12:00:00Z"
        ) from None
    if instant.tzinfo is None:
        raise ValueError(f"the instant {text!r} has no zone: write {text}Z for UTC")
    return instant.astimezone(datetime.UTC).strftime(INSTANT)


def _is_day(moment: str) -> bool:
    try:
        return datetime.date.fromisoformat(moment).isoformat() == moment
    except ValueError:
        return False


def _begun(line: Transition, arm: Arm, day: str) -> Tenure:
    return Tenure(
        arm=arm,
        version=line.version,
        digest=line.digest,
        from_day=day,
        from_at=line.at,
        kind=line.kind,
        by=line.by,
        reason=line.reason,
        evidence=line.evidence,
    )


def _ended(stay: Tenure, line: Transition, day: str) -> Tenure:
    left = line.version == stay.version
    return _replaced(stay, until_day=day, until_at=line.at, ended_as=line.kind if left else "replaced", by=line.by)


def _with_the_reason(stays: list[Tenure], line: Transition, arm: Arm) -> list[Tenure]:
    """The newcomer's line ends a stay; the line that follows it says of the one who left why."""
    out = line.from_arm == arm and line.to_arm is None and len(stays) > 1 and stays[-2].version == line.version
    if not out or stays[-2].ended_as != "replaced":
        return stays
    stay = stays[-2]
    return [*stays[:-2], _replaced(stay, stay.until_day, stay.until_at, line.kind, line.by), stays[-1]]


def _replaced(stay: Tenure, until_day: str | None, until_at: str | None, ended_as: str, by: str) -> Tenure:
    return replace(stay, until_day=until_day, until_at=until_at, ended_as=ended_as, ended_by=by)
