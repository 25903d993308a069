"""The post-mortem of one drill, as markdown for people and as facts for the table.

Here: ``written`` and ``Facts``. Belongs here: wording. Does not: finding anything out.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops_assets.drills.drill import Drill, Moment, Phase, Source, Verdict
from mlops_assets.drills.system import Done

LONGEST = 240
LONGEST_OUTPUT_LINES = 12


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the table of drills tells of one."""

    name: str
    injects: str
    runbook: str
    passed: bool
    missing: tuple[str, ...]
    detected_by: str
    seconds: dict[str, float]
    """Phase -> seconds since the injection."""
    days: dict[str, int]
    """Phase -> days of the calendar, the one of the injection's next day being the first."""
    made_from: str
    took_s: float


def facts_of(drill: Drill, verdict: Verdict, landed: str, made_from: str, took_s: float) -> Facts:
    """The same, of a verdict; ``landed`` is the last day before the injection."""
    times = {str(phase): verdict.seconds(phase) for phase in Phase}
    days = {str(p): _days(landed, moment) for p in Phase if (moment := verdict.first(p)) and moment.day > landed}
    detected = verdict.first(Phase.DETECTION)
    return Facts(
        name=drill.name,
        injects=drill.injects,
        runbook=drill.runbook,
        passed=verdict.passed,
        missing=verdict.missing,
        detected_by=f"{detected.source}: {detected.facts.get('name', '')}".rstrip(": ") if detected else "nobody",
        seconds={phase: round(seconds, 1) for phase, seconds in times.items() if seconds is not None},
        days=days,
        made_from=made_from,
        took_s=round(took_s, 1),
    )


def written(
    drill: Drill,
    facts: Facts,
    verdict: Verdict,
    moments: Sequence[Moment],
    commands: Sequence[Done],
    notes: Sequence[str],
) -> str:
    """The post-mortem."""
    at = verdict.injected.at
    parts = [
        f"# {drill.name}: {'as promised' if facts.passed else 'NOT as promised'}",
        f"Injected: {verdict.injected.what}.\nOn a copy of {facts.made_from}, at {_clock(at)} UTC; the last landed day "
        f"was {verdict.injected.day}. Runbook: [{drill.runbook}](../../../docs/runbooks/{drill.runbook}.md).",
        "## What must be seen\n\n" + "\n".join(_promises(drill, verdict)),
        "## What did not work\n\n" + ("\n".join(f"- {text}" for text in facts.missing) or "Nothing."),
        "## Timeline\n\n| after | day | record | what | reference |\n|---|---|---|---|---|\n"
        + "\n".join(_timeline(moments, at)),
        "## What people were told\n\n" + ("\n".join(_told(moments, at)) or "Nothing."),
        "## What was done by hand\n\n" + "\n".join(_by_hand(commands, notes)),
    ]
    return "\n\n".join(parts) + "\n"


def _promises(drill: Drill, verdict: Verdict) -> Iterator[str]:
    for finding in verdict.findings:
        moment = finding.moment
        when = f"after {moment.at - verdict.injected.at:.1f} s: {_short(moment.what)}" if moment else "**never**"
        yield f"- {finding.wanted.phase}: {finding.wanted.promise} ({finding.wanted.source}): {when}"
    broken = {rule.promise for rule, _ in verdict.breaches}
    for rule in drill.forbidden:
        yield f"- must not be: {rule.promise} ({rule.source}): {'**seen**' if rule.promise in broken else 'not seen'}"
    for known in verdict.observed:
        yield f"- looked up: {known.promise}: {'yes' if known.seen else '**no**'} ({_short(known.where)})"


def _speaks(moment: Moment) -> bool:
    if moment.source is Source.MONITORS:
        return moment.facts.get("verdict") != "ok"
    return moment.source is not Source.CHECKS or moment.facts.get("passed") == "no"


def _timeline(moments: Sequence[Moment], injected: float) -> Iterator[str]:
    """What came after the injection; a line that the server's log has again and again stands once, with its count."""
    after = [moment for moment in moments if moment.at >= injected and _speaks(moment)]
    logged = Counter(moment.what for moment in after if moment.source is Source.SERVER_LOG)
    for moment in after:
        times = logged.pop(moment.what, 0) if moment.source is Source.SERVER_LOG else 1
        if times:
            yield _row(moment, injected, f" ({times} times)" if times > 1 else "")


def _row(moment: Moment, injected: float, times: str) -> str:
    cells = (f"{moment.at - injected:+.1f} s", moment.day, moment.source, _short(moment.what) + times, moment.reference)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _told(moments: Sequence[Moment], at: float) -> Iterator[str]:
    for moment in moments:
        if moment.source is Source.ALERTS and moment.at >= at:
            severity, book = moment.facts["severity"], moment.facts["runbook"]
            yield f"- {severity}: {_short(moment.what)} ({book or 'no runbook'})"


def _by_hand(commands: Sequence[Done], notes: Sequence[str]) -> Iterator[str]:
    yield from (f"- {note}" for note in notes)
    for done in commands:
        shown = done.output.splitlines()[:LONGEST_OUTPUT_LINES]
        yield "\n".join(["", "```", f"$ {done.line}    # exit code {done.code}", *shown, "```"])
    if not commands and not notes:
        yield "Nothing."


def _days(landed: str, moment: Moment) -> int:
    return (dt.date.fromisoformat(moment.day) - dt.date.fromisoformat(landed)).days


def _clock(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _short(text: str) -> str:
    told = " ".join(text.split())
    return told if len(told) <= LONGEST else f"{told[: LONGEST - 4]} ..."
