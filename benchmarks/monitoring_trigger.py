"""What the trigger is worth: log-loss and number of trainings of the shipped loop, beside calendars.

Here: which policies are played on the real year, and their table. Belongs here: comparing policies. Does not: how a
policy works (``benchmarks.monitoring_loops``), models and verdicts (``benchmarks.monitoring_versions``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gates_models import Workshop
from benchmarks.model_data import FIRST as BEGIN
from benchmarks.model_data import LAST, USE_CASE, asked_state, landed_year
from benchmarks.monitoring_loops import NEVER, Outcome, every, growing, scheduled, triggered
from benchmarks.monitoring_versions import Year
from benchmarks.report import Row, write
from mlops_assets.contracts import Action, Monitoring
from mlops_assets.ml.day_blocks import Difference, paired_difference
from mlops_assets.ml.policy import DRIFTS

FIRST = "2013-04-01"
PERIODS = (14, 28, 56, 84)
SHARES = (0.2, 0.25, 0.33)
PHASE = 14
"""A calendar's luck is its phase: each is also played from every phase of two weeks, on the same models."""
EQUAL = 0.001
"""Log-loss within which two policies are equal."""
SHIPPED, ALONE, STALE = "the shipped loop", "the alarms alone", "never"
BARE = ", nothing asked"
TEXT = """
Every policy begins with the model of 31 March and answers all decisions from {first} to {last}; outcomes count from the
day on which they became known, and a training sees the rows that were known on its cut-off day.

- **{shipped}** is `ml.policy.decide` on the verdicts of the shipped monitors (performance, data drift, regret against
  the predecessor), with K-of-N, cooldown and its calendar ({growth:.0%} more data than the champion knows, {every} days
  at least). A challenger passes the gates, then three full days of shadow and three of canary by
  `ml.releases.decide_release`, so it answers a week after its cut-off day or never. **{alone}** are the same without
  the calendar.
- **Calendars** go the same way, deaf to performance and data drift: a challenger when the champion knows nothing of so
  many days, or when there is that share more data; gates, shadow, canary, rollback, and another one two weeks after one
  that was refused.
- **Nothing asked**: the new model is in charge on the day after its cut-off day, whatever it is. No deployment that
  wants to be trusted does that; it shows what the way costs. *All phases* is the mean over every start of such a
  calendar in steps of two weeks, on the same models.
- Differences are to {shipped}, on the same decisions, with 95 % intervals by day blocks.

{table}

{verdict}

{story}
"""


def measure(year: Year, last: str = LAST) -> tuple[list[Row], str, Mapping[str, Any]]:
    """The figures, their page, and what goes into the JSON."""
    facts = USE_CASE.monitoring
    shipped = triggered(year, SHIPPED, FIRST, last, facts)
    alone = triggered(year, ALONE, FIRST, last, replace(facts, retrain_every_days=NEVER, retrain_growth=NEVER))
    calendars = [triggered(year, name, FIRST, last, rules, deaf_to=DRIFTS) for name, rules in _calendars(facts).items()]
    plans = {STALE: []} | {f"every {days} days{BARE}": every(days, FIRST, last) for days in PERIODS}
    plans |= {f"{share:.0%} more data{BARE}": growing(share, BEGIN, FIRST, last) for share in SHARES}
    bare = [scheduled(year, name, FIRST, last, plan) for name, plan in plans.items()]
    phases = {f"every {days} days{BARE}": _phases(year, last, days) for days in PERIODS}
    days = year.rows["day"].to_numpy()[year.asked(FIRST, last)]
    policies = (shipped, alone, *calendars, *bare)
    rows = [_row(policy, shipped, days, phases) for policy in policies]
    timed = [policy for policy in calendars if policy.name.startswith("every")]
    verdicts = [
        _verdict(shipped, timed, days, "the same way", goal=True),
        _verdict(shipped, [policy for policy in bare if policy.name.startswith("every")], days, "nothing asked"),
        _verdict(alone, timed, days, "the same way"),
    ]
    page = TEXT.format(
        first=FIRST,
        last=last,
        shipped=SHIPPED,
        alone=ALONE[0].upper() + ALONE[1:],
        every=facts.retrain_every_days,
        growth=facts.retrain_growth,
        table=_table(policies, shipped, days, phases),
        verdict="\n\n".join(text for _, text in verdicts),
        story="\n\n".join(_story(loop) for loop in (shipped, alone)),
    )
    return [*rows, *(row for row, _ in verdicts)], page, {"trigger": [_facts(policy) for policy in policies]}


def _calendars(facts: Monitoring) -> Mapping[str, Monitoring]:
    """The calendars that go the same way."""
    timed = {
        f"every {days} days": replace(facts, retrain_every_days=days, retrain_growth=NEVER, retrain_cooldown_days=PHASE)
        for days in PERIODS
    }
    return timed | {f"{share:.0%} more data": replace(facts, retrain_growth=share) for share in SHARES}


def _phases(year: Year, last: str, days: int) -> list[Outcome]:
    return [scheduled(year, "", FIRST, last, every(days, FIRST, last, age)) for age in range(0, days, PHASE)]


def beside(policy: Outcome, other: Outcome, days: np.ndarray) -> Difference:
    """Log-loss of one policy minus that of the other."""
    return paired_difference(days, policy.losses, other.losses)


def equal(difference: Difference) -> bool:
    """No difference that matters, or none that is sure."""
    return abs(difference.mean) <= EQUAL or difference.low <= 0 <= difference.high


def _row(policy: Outcome, shipped: Outcome, days: np.ndarray, phases: Mapping[str, Sequence[Outcome]]) -> Row:
    note = f"{len(policy.retrained)} trainings, {len(policy.promoted)} changes of champion"
    if policy is not shipped:
        found = beside(policy, shipped, days)
        note += f"; {found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}) to {shipped.name}"
    if policy.name in phases:
        note += f"; all phases {_mean(phases[policy.name]):.4f}"
    return Row(name=f"{policy.name}, log-loss", value=float(policy.losses.mean()), unit="", note=note)


def _mean(phases: Sequence[Outcome]) -> float:
    return float(np.mean([phase.losses.mean() for phase in phases]))


def _verdict(
    loop: Outcome, calendars: Sequence[Outcome], days: np.ndarray, way: str, *, goal: bool = False
) -> tuple[Row, str]:
    """How many trainings fewer than the calendar that reaches the same log-loss with the fewest."""
    reaching = [c for c in calendars if (d := beside(c, loop, days)).mean <= EQUAL or equal(d)]
    name = f"{loop.name}, trainings fewer than the cheapest calendar of equal log-loss, {way}"
    # When none reaches it, not even the one that trains most.
    cheapest = min(reaching or calendars, key=lambda calendar: len(calendar.retrained) * (1 if reaching else -1))
    fewer = len(cheapest.retrained) - len(loop.retrained)
    needs = "needs" if reaching else "does not reach it with"
    told = f"*{cheapest.name}* {needs} {len(cheapest.retrained)}, {loop.name} {len(loop.retrained)}"
    text = f"**At equal log-loss** (within {EQUAL}, or an interval that holds 0), the cheapest calendar, {way}: {told}."
    facts = {"goal": "above 0", "met": fewer > 0} if goal else {}
    return Row(name=name, value=float(fewer), unit="trainings", note=told, **facts), text


def _table(
    policies: Sequence[Outcome], shipped: Outcome, days: np.ndarray, phases: Mapping[str, Sequence[Outcome]]
) -> str:
    lines = [
        "| policy | log-loss | difference | trainings | champions | all phases |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for policy in policies:
        found = beside(policy, shipped, days)
        told = "" if policy is shipped else f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
        mean = f"{_mean(phases[policy.name]):.4f}" if policy.name in phases else ""
        lines.append(
            f"| {policy.name} | {policy.losses.mean():.4f} | {told} | {len(policy.retrained)} | "
            f"{len(policy.promoted)} | {mean} |"
        )
    return "\n".join(lines)


def _story(loop: Outcome) -> str:
    """What a loop did, line by line."""
    acted = [d for d in loop.decisions if d.action in (Action.RETRAIN, Action.FALL_BACK, Action.ROLL_BACK)]
    lines = [f"- {d.day}: {d.action}, {d.reason}" for d in acted]
    lines += [f"- champion from the day after {day}" for day in loop.promoted]
    lines += [f"- refused: {line}" for line in loop.refused]
    return f"**{loop.name}**\n\n" + "\n".join(sorted(lines))


def _facts(policy: Outcome) -> Mapping[str, Any]:
    return {
        "name": policy.name,
        "log_loss": float(policy.losses.mean()),
        "retrained": list(policy.retrained),
        "promoted": list(policy.promoted),
        "refused": list(policy.refused),
    }


def main(state: Path | None) -> None:
    """Measure and write."""
    with landed_year(state) as graph:
        rows, page, facts = measure(Year(Workshop(graph.rows(LAST), graph.inputs)))
    write("monitoring_trigger", "The value of the trigger", rows, page, facts)


if __name__ == "__main__":
    main(asked_state(__doc__))
