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
from mlops_assets.contracts import Action
from mlops_assets.ml.day_blocks import Difference, paired_difference

FIRST = "2013-04-01"
PERIODS = (14, 28, 56, 84)
SHARES = (0.2, 0.25, 0.33)
PHASE = 14
"""A calendar's luck is its phase: each is also played from every phase of two weeks, on the same models."""
EQUAL = 0.001
"""Log-loss within which two policies are equal."""
ALONE, SHIPPED, STALE = "the trigger alone", "the shipped loop", "never"
TEXT = """
Every policy begins with the model of 31 March and answers all decisions from {first} to {last}; outcomes count from the
day on which they became known, and a training sees the rows that were known on its cut-off day.

- **Calendars** put a new model in charge on the day after its cut-off day and ask nothing of it. Their luck is the
  phase: *all phases* is the mean over every start in steps of two weeks, on the same models.
- **{shipped}** is `ml.policy.decide` on the verdicts of the shipped monitors (performance, data drift, regret against
  the predecessor), with K-of-N, cooldown and its calendar ({growth:.0%} more data, {every} days at least); a challenger
  passes the gates, then three full days of shadow and three of canary by `ml.releases.decide_release`, so it answers a
  week after its cut-off day or never. **{alone}** is the same without the calendar.
- **More data** is a calendar in shares of the data: a new model when there are that many more days than the last one
  saw. It asks nothing either.
- Differences are to {alone_}, on the same decisions, with 95 % intervals by day blocks.

{table}

{verdict}

{story}
"""


def measure(year: Year, last: str = LAST) -> tuple[list[Row], str, Mapping[str, Any]]:
    """The figures, their page, and what goes into the JSON."""
    facts = USE_CASE.monitoring
    loops = [
        triggered(year, ALONE, FIRST, last, replace(facts, retrain_every_days=NEVER, retrain_growth=NEVER)),
        triggered(year, SHIPPED, FIRST, last, facts),
    ]
    plans = {STALE: []} | {f"every {days} days": every(days, FIRST, last) for days in PERIODS}
    calendars = [scheduled(year, name, FIRST, last, plan) for name, plan in plans.items()]
    grown = {f"{share:.0%} more data": growing(share, BEGIN, FIRST, last) for share in SHARES}
    others = [scheduled(year, name, FIRST, last, plan) for name, plan in grown.items()]
    phases = {f"every {days} days": _phases(year, last, days) for days in PERIODS}
    days = year.rows["day"].to_numpy()[year.asked(FIRST, last)]
    policies = (*loops, *calendars, *others)
    rows = [_row(policy, loops[0], days, phases) for policy in policies]
    verdicts = [_verdict(loop, calendars, days) for loop in loops]
    page = TEXT.format(
        first=FIRST,
        last=last,
        shipped=SHIPPED,
        alone=ALONE[0].upper() + ALONE[1:],
        alone_=ALONE,
        every=facts.retrain_every_days,
        growth=facts.retrain_growth,
        table=_table(policies, loops[0], days, phases),
        verdict="\n\n".join(text for _, text in verdicts),
        story="\n\n".join(_story(loop) for loop in loops),
    )
    return [*rows, *(row for row, _ in verdicts)], page, {"trigger": [_facts(policy) for policy in policies]}


def _phases(year: Year, last: str, days: int) -> list[Outcome]:
    return [scheduled(year, "", FIRST, last, every(days, FIRST, last, age)) for age in range(0, days, PHASE)]


def beside(policy: Outcome, other: Outcome, days: np.ndarray) -> Difference:
    """Log-loss of one policy minus that of the other."""
    return paired_difference(days, policy.losses, other.losses)


def equal(difference: Difference) -> bool:
    """No difference that matters, or none that is sure."""
    return abs(difference.mean) <= EQUAL or difference.low <= 0 <= difference.high


def _row(policy: Outcome, trigger: Outcome, days: np.ndarray, phases: Mapping[str, Sequence[Outcome]]) -> Row:
    note = f"{len(policy.retrained)} trainings, {len(policy.promoted)} changes of champion"
    if policy is not trigger:
        found = beside(policy, trigger, days)
        note += f"; {found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}) to {trigger.name}"
    if policy.name in phases:
        note += f"; all phases {_mean(phases[policy.name]):.4f}"
    return Row(name=f"{policy.name}, log-loss", value=float(policy.losses.mean()), unit="", note=note)


def _mean(phases: Sequence[Outcome]) -> float:
    return float(np.mean([phase.losses.mean() for phase in phases]))


def _verdict(loop: Outcome, calendars: Sequence[Outcome], days: np.ndarray) -> tuple[Row, str]:
    """How many trainings fewer than the calendar that reaches the same log-loss with the fewest."""
    reaching = [c for c in calendars if (d := beside(c, loop, days)).mean <= EQUAL or equal(d)]
    cheapest = min(reaching, key=lambda calendar: len(calendar.retrained))
    strictly = [c for c in calendars if beside(c, loop, days).mean <= EQUAL]
    fewer = len(cheapest.retrained) - len(loop.retrained)
    name = f"{loop.name}, trainings fewer than the cheapest calendar of equal log-loss"
    told = f"*{cheapest.name}* needs {len(cheapest.retrained)}, {loop.name} {len(loop.retrained)}"
    text = f"**At equal log-loss** (within {EQUAL}, or an interval that holds 0), the cheapest calendar: {told}."
    if strictly:
        least = min(strictly, key=lambda calendar: len(calendar.retrained))
        text += f" Within {EQUAL} or better, whatever the interval: *{least.name}*, {len(least.retrained)}."
    else:
        text += f" None comes within {EQUAL} of it or is better."
    return Row(name=name, value=float(fewer), unit="trainings", goal="above 0", met=fewer > 0, note=told), text


def _table(
    policies: Sequence[Outcome], trigger: Outcome, days: np.ndarray, phases: Mapping[str, Sequence[Outcome]]
) -> str:
    lines = [
        "| policy | log-loss | difference | trainings | champions | all phases |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for policy in policies:
        found = beside(policy, trigger, days)
        told = "" if policy is trigger else f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
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
