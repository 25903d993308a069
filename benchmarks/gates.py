"""``make bench-gates``: which honest retrains the gates refuse on the real year, and which bad models they let pass.

Here: the verdicts and their table. Does not belong here: the rows (``benchmarks.model_data``), the models
(``benchmarks.gates_models``), the limits (``use_cases``), the gates of the server, which need a server and no year.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gates_models import BAD, Candidate, Workshop
from benchmarks.model_data import LAST, USE_CASE, asked_state, landed_year
from benchmarks.report import Row, write
from mlops_assets.contracts import Evaluation
from mlops_assets.ml.evaluation import evaluate
from mlops_assets.ml.explanations import AttributionDrift, attribute, compared, summarize

MONTHS = tuple(f"2013-{end}" for end in (
    "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-30"
))  # fmt: skip
FORTNIGHTS = tuple(f"2013-{month:02}-15" for month in range(2, 13))
BAD_AT = ("2013-04-30", "2013-09-30", "2013-12-30")
TEXT = """
Models are trained by the function that the asset `model` calls, on the rows that were known on their cut-off day, and
judged by the shipped limits of `{use_case}` on their last {days} days, with true labels.

**Honest**: cut off every two weeks ({honest} models); each is judged without a champion, and beside the model of two
weeks, one month and two months before. **Bad**: ten kinds of damaged labels at {bad_at}; each is judged without a
champion, and beside the honest model of two weeks before.

{tables}
"""


@dataclass(frozen=True)
class Case:
    """One judgement."""

    what: str
    cutoff: str
    champion: str | None
    shown: Evaluation

    @property
    def failed(self) -> list[str]:
        """The gates that refused."""
        return [gate.name for gate in self.shown.gates if not gate.passed]


def main(state: Path | None) -> None:
    """Measure and write; ``state`` is a folder that an earlier run landed the year in."""
    with landed_year(state) as graph:
        workshop = Workshop(graph.rows(LAST), graph.inputs)
    honest = {cutoff: workshop.make(cutoff) for cutoff in sorted({*MONTHS, *FORTNIGHTS})}
    good = [case for cutoff in honest for case in judged("honest", honest[cutoff], champions(honest, cutoff))]
    bad = [
        case
        for what, damage in BAD.items()
        for cutoff in BAD_AT
        for case in judged(what, workshop.make(cutoff, damage), champions(honest, cutoff)[:2])
    ]
    drifts = [drift for cutoff in MONTHS[1:] for drift in [moved(honest, cutoff)]]
    text = TEXT.format(
        use_case=USE_CASE.name,
        days=USE_CASE.training.validation_days,
        honest=len(honest),
        bad_at=", ".join(BAD_AT),
        tables=f"{_table(good, 'Honest models')}\n\n{_table(bad, 'Bad models')}",
    )
    write("gates", "The gates on the real year", rows_of(good, bad, drifts), text)


def champions(honest: dict[str, Candidate], cutoff: str) -> list[Candidate | None]:
    """None, and the honest models of two weeks, a month and two months before, as far as there are."""
    before = [honest[day] for day in sorted(honest) if day < cutoff][::-1]
    return [None, *(before[n] for n in (0, 1, 3) if n < len(before))]


def judged(what: str, candidate: Candidate, others: Sequence[Candidate | None]) -> list[Case]:
    """The candidate beside each of the others."""
    return [Case(what, candidate.cutoff, other and other.cutoff, _evaluated(candidate, other)) for other in others]


def _evaluated(candidate: Candidate, champion: Candidate | None) -> Evaluation:
    held_out = candidate.held_out
    return evaluate(
        held_out,
        held_out["score"].to_numpy(),
        candidate.scorer.score(held_out),
        label=USE_CASE.label,
        gates=USE_CASE.gates,
        model_digest="",
        training_rate=float(held_out[USE_CASE.label].mean()),
        champion_version=1 if champion else None,
        champion_scores=champion.scorer.score(held_out) if champion else None,
        champion_cutoff_day=champion.cutoff if champion else None,
        slices=USE_CASE.slices,
    )


def moved(honest: dict[str, Candidate], cutoff: str) -> AttributionDrift:
    """How far the attribution is from that of the month before, on the same rows."""
    before = MONTHS[MONTHS.index(cutoff) - 1]
    mine = attribute(honest[cutoff].scorer, honest[cutoff].held_out)
    theirs = attribute(honest[before].scorer, honest[cutoff].held_out)
    drift = compared(summarize(mine), mine, theirs, 1).drift
    assert drift is not None
    return drift


def rows_of(good: Sequence[Case], bad: Sequence[Case], drifts: Sequence[AttributionDrift]) -> list[Row]:
    """The figures."""
    beside, alone = [c for c in good if c.champion], [c for c in good if not c.champion]
    bad_beside, bad_alone = [c for c in bad if c.champion], [c for c in bad if not c.champion]
    measured = [measures for case in beside for measures in case.shown.slices.values()]
    lows = [m["low"] for m in measured if m["rows"] >= USE_CASE.gates.slice_min_rows and "low" in m]
    errors = [case.shown.metrics["calibration_error"] for case in alone]
    return [
        _share("honest, refused without a champion", alone, "at most 0", lambda n, of: n == 0),
        _share("honest, refused beside a champion", beside, "at most 1 in 50", lambda n, of: n <= of / 50),
        _share("bad, refused without a champion", bad_alone, "at least 9 in 10", lambda n, of: n >= 0.9 * of),
        _share("bad, refused beside a champion", bad_beside, "all", lambda n, of: n == of),
        Row(name="honest, lowest AUC", value=min(c.shown.metrics["auc"] for c in alone), unit="AUC"),
        Row(name="honest, highest log-loss ratio", value=max(map(_ratio, alone)), unit="of the constant rate's"),
        Row(name="honest, highest calibration error", value=max(errors), unit=""),
        Row(name="honest, highest lower end of a slice", value=max(lows), unit="log-loss"),
        Row(
            name="honest, months with attribution drift",
            value=float(sum(d.drifted for d in drifts)),
            unit=f"of {len(drifts)}",
            note=f"largest distance is {max(d.distance / d.limit for d in drifts):.2f} of its limit",
        ),
    ]


def _ratio(case: Case) -> float:
    return case.shown.metrics["log_loss"] / case.shown.metrics["constant_log_loss"]


def _share(name: str, cases: Sequence[Case], goal: str, met: Callable[[int, int], bool]) -> Row:
    refused = sum(bool(case.failed) for case in cases)
    return Row(name=name, value=float(refused), unit=f"of {len(cases)}", goal=goal, met=met(refused, len(cases)))


def _table(cases: Sequence[Case], title: str) -> str:
    head = f"## {title}\n\n| model | cut-off | champion | AUC | log-loss ratio | calibration | refused by |\n"
    lines = [
        f"| {c.what} | {c.cutoff} | {c.champion or 'none'} | {c.shown.metrics['auc']:.3f} | {_ratio(c):.3f} | "
        f"{c.shown.metrics['calibration_error']:.3f} | {', '.join(c.failed)} |"
        for c in cases
    ]
    return head + "|---|---|---|---:|---:|---:|---|\n" + "\n".join(lines)


if __name__ == "__main__":
    main(asked_state(__doc__))
