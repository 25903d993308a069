"""Days that belong together: the run of alarms of one monitor about one champion, and a verdict that is given again.

Here: what makes two alarms the same cause. Belongs here: rules about verdicts over time that no table needs. Does not:
verdicts (``ml.monitoring``), what is done (``ml.policy``), what becomes of it (``ml.incidents``).

An episode is the judged days in a row on which one monitor alarms about one champion. Whatever says the same again
within it (a second day, a day whose outcomes came late) is no news: no second alert, incident or action.
"""

from collections.abc import Sequence
from dataclasses import replace

from mlops_assets.contracts import Arm, Judgement, Transition, Verdict
from mlops_assets.ml.tenures import holders


def revised(new: Judgement, earlier: Judgement | None) -> Judgement:
    """The verdict on a day that was judged before: it tells of the one that was given then, when it was another."""
    if earlier is None:
        return new
    said = earlier.revised_from if earlier.verdict is new.verdict else earlier.verdict
    return replace(new, revised_from=said)


def episode(judgements: Sequence[Judgement], monitor: str, champion: int | None, day: str) -> list[str]:
    """The days of the episode that lasts on ``day``, oldest first; empty when the monitor is quiet then.

    A day without a verdict neither ends an episode nor belongs to it. A data check is about no champion: give None to
    count alarms about any.
    """
    known = {
        judged.day: judged.verdict
        for judged in judgements
        if judged.monitor == monitor and judged.day <= day and champion in (None, judged.champion_version)
    }
    if known.get(day) is not Verdict.ALARM:
        return []
    found: list[str] = []
    for one in sorted(known, reverse=True):
        if known[one] is Verdict.OK:
            break
        found += [one] if known[one] is Verdict.ALARM else []
    return found[::-1]


def left_on(lines: Sequence[Transition], champion: Transition | None, day: str) -> str | None:
    """The day on which a champion was replaced, when it was, and not by what was decided about ``day`` itself.

    Of a day that is decided again: nothing can be done to a champion that is none any more.
    """
    present = holders(lines).get(Arm.CHAMPION)
    if champion is None or (present is not None and present.version == champion.version):
        return None
    since = [line for line in lines if line.at > champion.at]
    left = next(
        (n for n in since if n.to_arm == Arm.CHAMPION or (n.from_arm, n.version) == (Arm.CHAMPION, champion.version)),
        None,
    )
    return None if left is None or left.event_id.startswith(f"decision/{day}/") else left.day
