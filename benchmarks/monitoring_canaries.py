"""Canaries over the real year: how many equal ones are rejected, and how long bad ones live.

Here: canaries that were flown day by day through the shipped release table, and what became of them. Belongs here: a
figure about releases. Does not: the table (``mlops_assets.ml.releases``), the rows (``benchmarks.model_data``), models
for the gates (``benchmarks.gates_models``).

``measure`` is one part of the monitoring benchmark; alone: ``python -m benchmarks.monitoring_canaries --state <year>``.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.gates_models import Damage, inverted
from benchmarks.model_data import LAST, USE_CASE, asked_state, landed_year
from benchmarks.report import Row, write
from mlops_assets.adapters.memory_feature_store import MemoryFeatureStore
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.contracts import Arm, Outcome, ReleaseDecision, Step, Verdict
from mlops_assets.ml.bundles import Inputs
from mlops_assets.ml.canary_signals import Signals
from mlops_assets.ml.fitting import fit_bundle
from mlops_assets.ml.models import Scorer
from mlops_assets.ml.paired import ArmEvidence, compare_arms
from mlops_assets.ml.releases import Candidate, Measured, decide_release

RELEASE, LABEL = USE_CASE.release, USE_CASE.label
BEFORE, *CUTOFFS = (f"2013-{end}" for end in ("02-28", "03-31", "05-31", "07-31", "09-30", "11-30"))
"""Cut-off days of the models: every two months, for training is what takes the time."""
SEEDS = (7, 8)
"""Of the champion, and of its equal."""
EVERY_DAYS = 1
"""Canaries start on every day: their days overlap, their models change every two months."""
FLIPS = 3
"""Draws of the coin for each start."""
SPAN_DAYS = 61
"""Days after a cut-off day on which its models fly."""
BAD_EVERY_DAYS = 4
LONGEST_DAYS = 2 * RELEASE.max_days
SERVES = Signals(verdict=Verdict.OK, reason="service as the champion's")
DELAYS = ("origin_delays__", "carrier_delays__", "destination_delays__")
KEY_OF = {"origin_delays__": "origin", "carrier_delays__": "carrier", "destination_delays__": "dest"}
HALF, FROZEN = "30 % of the labels inverted", "delay features frozen"
SURE = (HALF,)
"""Kinds that must never become champion."""
TEXT = """
A canary starts on every day from 1 April to {last}, with models that were trained up to the last cut-off day before
(every two months). It is flown day by day through the shipped release table: shadow, then {shares} of the traffic for
a full day each, on the flights of the days after, with the outcomes that were known on each day. Service counts as
good: what is measured here is the judgement of the model.

**Equal canaries**: champion and candidate are the same model trained with another seed, both ways round. **Equal by
coin**: a coin for each day says which of two models two months apart is the candidate. Their days differ as those of
different models do, and the expected difference is zero; no two real models are like that, and it shows what a few days
can decide at all. A *rejection* is the outcome "fail"; a candidate that never beat the champion in {days} days of
shadow leaves as *inconclusive*, which is not held against it.

**Bad canaries**, on every fourth day: {kinds}.
Each flies the whole way, and once more straight into its canary, as an operator's override sends it. Flights are those
that both models had scored and whose outcomes were known. The week in place of the last day hardly hurts the model: it
stands here for what the eye would call broken and the loss does not.

{tables}
"""


@dataclass(frozen=True)
class Journey:
    """What became of one candidate."""

    start: str
    arm: Arm
    """Where it ended."""
    last: ReleaseDecision
    days: int
    flights: int
    """Rows that both had scored and whose outcomes were known, in all arms."""

    @property
    def rejected(self) -> bool:
        """Held against it."""
        return self.last.outcome is Outcome.FAIL

    @property
    def promoted(self) -> bool:
        """Champion."""
        return self.last.step is Step.TO_CHAMPION


@dataclass(frozen=True)
class World:
    """The flights of a span of days and of those after it, in the order in which their outcomes were known."""

    rows: pd.DataFrame
    asked: np.ndarray
    known: np.ndarray
    labels: np.ndarray

    @classmethod
    def after(cls, rows: pd.DataFrame, cutoff: str) -> "World":
        """What could be asked of models of a cut-off day that start within the span after it."""
        last = iso(number(cutoff) + SPAN_DAYS + LONGEST_DAYS)
        mine = rows[(rows["day"] > cutoff) & (rows["day"] <= last)].sort_values(["known_day", "landed_at", "flight_id"])
        days = [mine[name].map(number).to_numpy() for name in ("day", "known_day")]
        return cls(mine.reset_index(drop=True), *days, mine[LABEL].to_numpy(np.float64))

    def evidence(self, set_out: int, day: int, pair: "Pair", share_since: int | None) -> ArmEvidence:
        """The shipped comparison, on what was asked after the candidate set out and was known by the end of the day."""
        # Rows lie in the order of their outcomes, and none is known before it is asked about.
        first, end = np.searchsorted(self.known, [set_out, day], side="right")
        seen = first + np.flatnonzero(self.asked[first:end] > set_out)
        columns = {"day": self.known, LABEL: self.labels, "candidate": pair.candidate, "champion": pair.champion}
        frame = pd.DataFrame({name: values[seen] for name, values in columns.items()})
        facts = {"candidate": "candidate", "champion": "champion", "label": LABEL, "margin": RELEASE.margin}
        return compare_arms(frame, since=share_since, **facts)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pair:
    """Two models' scores of a world's flights."""

    champion: np.ndarray
    candidate: np.ndarray


def number(day: str) -> int:
    """A day, counted."""
    return dt.date.fromisoformat(day).toordinal()


def iso(day: int) -> str:
    """A counted day as text."""
    return dt.date.fromordinal(day).isoformat()


def fly(world: World, start: str, pair: Pair, arm: Arm = Arm.SHADOW) -> Journey:
    """One candidate's way, judged by the shipped table at the end of every day."""
    set_out = came = since = number(start)
    share = RELEASE.first_share if arm is Arm.CANARY else 0
    for day in range(came + 1, came + LONGEST_DAYS + 1):
        paired = world.evidence(set_out, day, pair, since if arm is Arm.CANARY else None)
        candidate = Candidate(
            version=2, arm=arm, days_in_arm=day - came, gates=(), share=share, days_at_share=day - since
        )
        told = decide_release(iso(day), candidate, RELEASE, Measured(paired=paired, signals=SERVES), champion=1)
        if told.step in (Step.REFUSE, Step.TO_CHAMPION):
            break
        if told.step is Step.TO_CANARY:
            arm, came = Arm.CANARY, day
        if told.basis_points:
            share, since = told.basis_points, day
    return Journey(start, arm, told, day - set_out, paired.difference.rows)


@dataclass(frozen=True)
class Span:
    """The models of one cut-off day, and who flies after it."""

    cutoff: str
    world: World
    champion: Scorer
    equal: Scorer
    halved: Scorer
    before: Scorer
    """The champion of the span before."""

    @property
    def starts(self) -> list[str]:
        """Days on which a candidate enters whose way can end before the year does."""
        first = number(self.cutoff) + 1
        last = min(first + SPAN_DAYS, number(LAST) - LONGEST_DAYS)
        return [iso(day) for day in range(first, last, EVERY_DAYS)]


def trained(rows: pd.DataFrame, inputs: Inputs, cutoff: str, seed: int, damage: Damage | None = None) -> Scorer:
    """The model of a cut-off day, by the function that the asset ``model`` calls."""
    known = rows[(rows["day"] <= cutoff) & (rows["known_day"] <= cutoff)]
    training = replace(USE_CASE.training, params={**USE_CASE.training.params, "seed": seed})
    return Scorer(fit_bundle(damage(known) if damage else known, USE_CASE, training, inputs)[1])


def spans(rows: pd.DataFrame, inputs: Inputs) -> Iterator[Span]:
    """The spans from April on."""
    before = trained(rows, inputs, BEFORE, SEEDS[0])
    for cutoff in CUTOFFS:
        champion, equal = (trained(rows, inputs, cutoff, seed) for seed in SEEDS)
        halved = trained(rows, inputs, cutoff, SEEDS[1], inverted(0.3))
        yield Span(cutoff, World.after(rows, cutoff), champion, equal, halved, before)
        before = champion


def equal_ones(span: Span) -> list[Journey]:
    """The two models that differ by their seed, both ways round, from every start."""
    one, other = (scorer.score(span.world.rows) for scorer in (span.champion, span.equal))
    pairs = [Pair(one, other), Pair(other, one)]
    return [fly(span.world, start, pair) for start in span.starts for pair in pairs]


def equal_by_coin(span: Span) -> list[Journey]:
    """Two models two months apart, a coin for each day that says which of them is the candidate."""
    random = np.random.default_rng(number(span.cutoff))
    one, other = (scorer.score(span.world.rows) for scorer in (span.champion, span.before))
    days, found = span.world.asked - number(span.cutoff), []
    for start in span.starts:
        for _ in range(FLIPS):
            heads = random.integers(0, 2, days.max() + 1)[days] == 1
            pair = Pair(np.where(heads, one, other), np.where(heads, other, one))
            found.append(fly(span.world, start, pair))
    return found


def nulled(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in which every feature about delays is missing."""
    return rows.assign(**{name: np.nan for name in rows if name.startswith(DELAYS)})


def wide_window(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in which the airline's last day is computed over its last week."""
    week = [name for name in rows if name.endswith("_168h")]
    return rows.assign(**{name.replace("_168h", "_24h"): rows[name] for name in week})


def frozen(rows: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """Rows from a store whose delay features stand still at the last values of the past: 24 hours old and older."""
    past = past.sort_values("event_timestamp")
    for view, key in KEY_OF.items():
        names = [name for name in rows if name.startswith(view)]
        last = past.groupby(key)[names].last()
        rows = rows.assign(**{name: rows[key].map(last[name]) for name in names})
    return rows


def bad_ones(rows: pd.DataFrame, span: Span) -> dict[str, list[tuple[Journey, Journey]]]:
    """Kind -> from every fourth start, the whole way and straight into the canary."""
    world, equal = span.world, span.equal
    champion = span.champion.score(world.rows)
    always = {
        HALF: span.halved.score(world.rows),
        "delay features missing": equal.score(nulled(world.rows)),
        "the airline's last day computed over a week": equal.score(wide_window(world.rows)),
    }
    found: dict[str, list[tuple[Journey, Journey]]] = {kind: [] for kind in (*always, FROZEN)}
    for start in span.starts[::BAD_EVERY_DAYS]:
        stale = _stale(rows, world, equal, champion, start)
        for kind, scores in {**always, FROZEN: stale}.items():
            pair = Pair(champion, scores)
            found[kind].append((fly(world, start, pair), fly(world, start, pair, Arm.CANARY)))
    return found


def _stale(rows: pd.DataFrame, world: World, equal: Scorer, otherwise: np.ndarray, start: str) -> np.ndarray:
    """Scores from delay features that stand still since the start; ``otherwise`` for flights nobody asks about."""
    past = rows[(rows["day"] <= start) & (rows["day"] > iso(number(start) - 14))]
    met = (world.asked > number(start)) & (world.asked <= number(start) + LONGEST_DAYS)
    scores = otherwise.copy()
    scores[met] = equal.score(frozen(world.rows[met], past))
    return scores


def measure(rows: pd.DataFrame) -> tuple[list[Row], str]:
    """The figures and their page, from the frozen rows of the year."""
    inputs = MemoryFeatureStore(MemoryTables()).inputs(USE_CASE.feature_service)
    equal: list[Journey] = []
    coin: list[Journey] = []
    bad: dict[str, list[tuple[Journey, Journey]]] = {}
    for span in spans(rows, inputs):
        equal += equal_ones(span)
        coin += equal_by_coin(span)
        for kind, pairs in bad_ones(rows, span).items():
            bad.setdefault(kind, []).extend(pairs)
    text = TEXT.format(
        last=max(journey.start for journey in equal),
        shares=", ".join(f"{step.basis_points / 100:g} %" for step in RELEASE.canary_steps),
        days=RELEASE.max_days,
        kinds="; ".join(bad),
        tables=f"{_equal_table(equal, coin)}\n\n{_bad_table(bad)}",
    )
    return figures(equal, coin, bad), text


def figures(
    equal: Sequence[Journey], coin: Sequence[Journey], bad: Mapping[str, Sequence[tuple[Journey, Journey]]]
) -> list[Row]:
    """The rows of the report."""
    share = _rejected_share(equal)
    told = [
        Row(name="equal canaries rejected", value=share, unit=f"% of {len(equal)}", goal="at most 1", met=share <= 1),
        Row(name="equal by coin rejected", value=_rejected_share(coin), unit=f"% of {len(coin)}"),
    ]
    for kind, pairs in bad.items():
        whole, forced = [one for one, _ in pairs], [other for _, other in pairs]
        goal = {} if kind not in SURE else {"goal": "all", "met": not any(j.promoted for j in (*whole, *forced))}
        stopped = sum(not journey.promoted for journey in whole)
        told += [
            Row(name=f"{kind}: kept from champion", value=100 * stopped / len(whole), unit="%", **goal),
            Row(name=f"{kind}: flights until rejected in canary", value=_middle(forced, "flights"), unit="flights"),
        ]
    return told


def _rejected_share(journeys: Sequence[Journey]) -> float:
    return 100 * sum(journey.rejected for journey in journeys) / len(journeys)


def _middle(journeys: Sequence[Journey], what: str) -> float | None:
    lived = [float(getattr(journey, what)) for journey in journeys if journey.rejected]
    return float(np.median(lived)) if lived else None


def _equal_table(equal: Sequence[Journey], coin: Sequence[Journey]) -> str:
    head = "| equal canaries | flown | rejected in shadow | rejected in canary | promoted | inconclusive | days |\n"
    lines = [_fates(name, journeys) for name, journeys in (("another seed", equal), ("by coin", coin))]
    return head + "|---|---:|---:|---:|---:|---:|---:|\n" + "\n".join(lines)


def _fates(name: str, journeys: Sequence[Journey]) -> str:
    by_arm = [sum(j.rejected and j.arm is arm for j in journeys) for arm in (Arm.SHADOW, Arm.CANARY)]
    promoted = sum(journey.promoted for journey in journeys)
    rest = len(journeys) - promoted - sum(by_arm)
    days = np.median([journey.days for journey in journeys if journey.promoted]) if promoted else float("nan")
    return f"| {name} | {len(journeys)} | {by_arm[0]} | {by_arm[1]} | {promoted} | {rest} | {days:g} to champion |"


def _bad_table(bad: Mapping[str, Sequence[tuple[Journey, Journey]]]) -> str:
    head = (
        "| bad canaries | way | flown | rejected | inconclusive | promoted | days until rejected | flights |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|\n"
    )
    lines = []
    for kind, pairs in bad.items():
        for way, journeys in (("whole", [one for one, _ in pairs]), ("forced in", [other for _, other in pairs])):
            rejected, promoted = (sum(getattr(j, name) for j in journeys) for name in ("rejected", "promoted"))
            days, flights = (_shown(_middle(journeys, name)) for name in ("days", "flights"))
            rest = len(journeys) - rejected - promoted
            cells = (kind, way, len(journeys), rejected, rest, promoted, days, flights)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return head + "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def main(state: Path | None) -> None:
    """Measure alone and write."""
    with landed_year(state) as graph:
        rows, text = measure(graph.rows(LAST))
    write("monitoring_canaries", "Canaries on the real year", rows, text)


if __name__ == "__main__":
    main(asked_state(__doc__))
