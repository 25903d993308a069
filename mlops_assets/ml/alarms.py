"""Would a bad release be noticed? The monitors that would notice it, and whether they speak.

Here: which monitors, and for how long a verdict of theirs arms them. Belongs here: what an armed alarm is. Does not:
the monitors (``ml.monitoring``, ``ml.performance``), what waits for them (``ml.releases``).
"""

import datetime as dt
from collections.abc import Sequence

from mlops_assets.contracts import Judgement, Verdict

ALARMS = ("performance", "data_contract")
"""Monitors that would notice a bad release: without their verdict nothing moves on."""
ARMED_DAYS = 2
"""The day and the one before: an operator acts before the day's own verdict is in. A monitor that could not judge two
days running has lost its evidence, and would not see the next bad release either."""


def armed_since(day: str) -> str:
    """The first day whose verdicts arm an alarm on ``day``."""
    return (dt.date.fromisoformat(day) - dt.timedelta(days=ARMED_DAYS - 1)).isoformat()


def silent(day: str, judgements: Sequence[Judgement]) -> tuple[str, ...]:
    """Why the alarms are not armed on ``day``: a reason for each monitor that gave no verdict lately.

    A verdict about an earlier champion counts: it shows that the monitor has its data, which is what the release needs.
    """
    newest = {judgement.monitor: judgement for judgement in sorted(judgements, key=lambda j: j.day)}
    spoke = {
        judgement.monitor
        for judgement in judgements
        if judgement.verdict is not Verdict.UNKNOWN and armed_since(day) <= judgement.day <= day
    }
    missing = [name for name in ALARMS if name not in spoke]
    return tuple(f"{name} gave no verdict since {armed_since(day)}{_said(newest.get(name))}" for name in missing)


def _said(judgement: Judgement | None) -> str:
    return f" ({judgement.reason})" if judgement else ""
