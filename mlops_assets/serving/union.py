"""Several workers as one server: their states and their counts, put together.

Here: ``Union``. Belongs here: what callers are told when workers differ. Does not: asking the workers
(``serving.gathering``), the paths (``serving.front``).

While workers serve different versions, the older state is the one that is told, with a problem that says who differs:
what is told of an arm is what every worker answers with, so a release that waits for a digest waits for all of them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlops_assets.contracts import ServerStatus
from mlops_assets.serving.gathering import Told
from mlops_assets.serving.metrics import shown
from mlops_assets.serving.statuses import problems_of

SUMMED_GAUGES = frozenset(
    (
        "mlops_in_flight_requests",
        "mlops_queued_rows",
        "mlops_shadow_rows_waiting",
        "mlops_models_loaded",
        "mlops_model_memory_bytes",
        "mlops_requests_waiting_for_models",
    )
)
SHOWN_OF_DIGEST = 12


class Union:
    """The reports of one moment. Workers that do not know yet what to serve get no requests, and have no say."""

    def __init__(self, told: Told, expected: int) -> None:
        """What was told, of ``expected`` workers."""
        self._reports = {place: report for place, (_, report) in sorted(told.items()) if report and report.statuses}
        self.problems = self._missing(told, expected)
        """Of the server as a whole."""
        self.problems += dict.fromkeys(note for report in self._reports.values() for note in report.notes)
        self._told = {place: {s.model: s for s in report.statuses} for place, report in self._reports.items()}
        self.statuses = [self._status(model) for model in sorted(self._models())]
        """One for each model."""

    def ready(self) -> tuple[bool, list[str]]:
        """Whether every model gets the answer it should, from every worker the same; and every problem there is."""
        ready = bool(self.statuses) and all(s.ready or not s.required for s in self.statuses)
        return ready, [*problems_of(self.statuses, self.problems), *self.problems]

    def _missing(self, told: Told, expected: int) -> list[str]:
        problems = []
        for place in range(expected):
            pid, report = told.get(place, (0, None))
            if not pid:
                problems.append(f"worker {place} is not there: it is being started")
            elif report is None:
                problems.append(f"worker {place} does not answer")
            elif not report.statuses:
                problems.append(f"worker {place} does not know yet what to serve")
        return problems

    def _models(self) -> set[str]:
        return {model for told in self._told.values() for model in told}

    def _status(self, model: str) -> ServerStatus:
        mine: dict[int, ServerStatus] = {}
        for place in self._reports:
            unknown = ServerStatus(model=model, ready=False, arms=(), problems=("nothing is known of this model",))
            mine[place] = self._told[place].get(model, unknown)
        oldest = min(mine, key=lambda place: self._reports[place].since.get(model, 0.0))
        problems = dict.fromkeys(problem for status in mine.values() for problem in status.problems)
        differing = _differences(mine)
        agree, ready = not differing, any(status.ready for status in mine.values())
        told = tuple(dict.fromkeys((*problems, *differing, *self.problems)))
        behind = sum(status.shadow_rows_waiting for status in mine.values())
        shown = next((status for status in mine.values() if agree and status.loaded), mine[oldest])
        return replace(shown, ready=ready and agree, problems=told, shadow_rows_waiting=behind)


def held(status: ServerStatus) -> tuple[tuple[str, int, str, int], ...]:
    """What must be equal for two workers to answer alike."""
    return tuple((arm.arm, arm.version, arm.digest, arm.basis_points) for arm in status.arms)


def _differences(mine: Mapping[int, ServerStatus]) -> list[str]:
    if len({held(status) for status in mine.values()}) <= 1:
        return []
    return ["the workers differ: " + "; ".join(f"worker {place} serves {_shown(s)}" for place, s in mine.items())]


def _shown(status: ServerStatus) -> str:
    arms = [f"{a.arm} version {a.version} ({a.digest[:SHOWN_OF_DIGEST]}, {a.basis_points})" for a in status.arms]
    return ", ".join(arms) or "no version"


class Counts:
    """The metrics of all workers in one text; what dead workers had told stays in the sums, which never fall."""

    def __init__(self) -> None:
        """Nothing counted yet."""
        self._last: dict[int, tuple[int, str]] = {}
        """Place -> process id and text at the last look."""
        self._gone: list[str] = []

    def together(self, told: Told, own: str) -> str:
        """The text of all, with the front's ``own``."""
        for place, (pid, report) in told.items():
            last = self._last.get(place)
            if last is not None and last[0] != pid:
                self._gone = [added([*self._gone, last[1]], counters_only=True)]
                del self._last[place]
            if report is not None:
                self._last[place] = (pid, report.metrics)
        away = [added([text], counters_only=True) for place, (_, text) in self._last.items() if place not in told]
        here = [text for place, (_, text) in self._last.items() if place in told]
        return added([*self._gone, *away, *here, own])


def added(texts: Sequence[str], *, counters_only: bool = False) -> str:
    """Several texts of Prometheus' format as one: counters and histograms summed, gauges the largest, but for those
    that count something. ``counters_only`` leaves the gauges out."""
    kinds: dict[str, str] = {}
    comments: dict[str, list[str]] = defaultdict(list)
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for text in texts:
        name = ""
        for line in text.splitlines():
            if line.startswith("#"):
                _, word, name, *more = line.split(" ", 3)
                if line not in comments[name]:
                    comments[name].append(line)
                if word == "TYPE":
                    kinds[name] = more[0]
                continue
            series, _, value = line.rpartition(" ")
            before, number = values[name].get(series), float(value)
            if before is None:
                values[name][series] = number
            elif kinds[name] == "gauge" and name not in SUMMED_GAUGES:
                values[name][series] = max(before, number)
            else:
                values[name][series] = before + number
    lines: list[str] = []
    for name, series in values.items():
        if not (counters_only and kinds[name] == "gauge"):
            lines += [*comments[name], *(f"{one} {shown(value)}" for one, value in series.items())]
    return "\n".join([*lines, ""])
