"""What the server counts, in Prometheus' text format.

Here: counters, gauges, histograms, and their rendering. Belongs here: the format. Does not: deciding what is worth
counting (whoever calls ``count``). Written out by hand: a client library would add more to the worker's start than this
file.
"""

import bisect
import copy
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

Labels = tuple[tuple[str, str], ...]

HELP = {
    "mlops_requests_total": "Requests by path and status.",
    "mlops_predictions_total": "Answered rows by model, arm and version.",
    "mlops_scores_total": "Scored rows by model, arm and version, answered or not.",
    "mlops_arm_errors_total": "Batches that an arm could not score.",
    "mlops_missing_features_total": "View values missing, by feature and reason: absent_key, stale, null, store_error.",
    "mlops_shadow_rows_waiting": "Answered rows that the shadow has still to score.",
    "mlops_shadow_dropped_rows_total": "Answered rows that the shadow never scored: it was too far behind.",
    "mlops_barred_rows_total": "Rows that an arm may not score: a feature is missing whose policy is to fail.",
    "mlops_feature_age_seconds": "Age of a view's newest values at the last batch, on the domain's clock.",
    "mlops_future_features_total": "Rows scored with view values younger than their event time.",
    "mlops_repeated_requests_total": "Rows answered from the log because their request id was known.",
    "mlops_late_requests_total": "Requests dropped because their caller had stopped waiting.",
    "mlops_batches_total": "Batches taken from the queue.",
    "mlops_online_store_errors_total": "Batches for which the online store could not be read.",
    "mlops_traffic_log_errors_total": "Batches refused because the traffic log could not be written.",
    "mlops_swaps_total": "Versions that took an arm.",
    "mlops_load_failures_total": "Attempts to load a version that failed.",
    "mlops_models": "Models that are served, in memory or not.",
    "mlops_models_loaded": "Models in memory; of several workers, the sum.",
    "mlops_model_memory_bytes": "What models in memory are accounted for; of several workers, the sum.",
    "mlops_model_loads_total": "Models that were loaded within a memory budget.",
    "mlops_model_evictions_total": "Models that were let go because others needed the memory.",
    "mlops_requests_waiting_for_models": "Requests that wait until their model is in memory.",
    "mlops_in_flight_requests": "Prediction requests waiting for their answer.",
    "mlops_queued_rows": "Rows waiting to be taken.",
    "mlops_workers": "Workers that are connected with the front.",
    "mlops_workers_lost_total": "Workers that went without being asked.",
    "mlops_workers_killed_total": "Workers that were killed because they said nothing.",
    "mlops_retried_requests_total": "Requests that were sent again because their worker died.",
    "mlops_arm_info": "One per loaded arm; the value is its share of the traffic in basis points.",
    "mlops_refused_version": "One per version that the registry puts into an arm and that may not serve: why.",
    "mlops_problems": "Problems that /ready tells of, by model.",
    "mlops_request_seconds": "Time from a request's arrival to its answer, by path.",
    "mlops_answer_seconds": "The same of each answered row until its record was handed to the log, by arm and version.",
    "mlops_score": "What was answered, by arm and version.",
}
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SCORES = tuple(round(0.05 * step, 2) for step in range(1, 21))
BOUNDS = {"mlops_request_seconds": SECONDS, "mlops_answer_seconds": SECONDS, "mlops_score": SCORES}
"""Histogram -> upper bounds of its buckets."""


class _Histogram:
    """Counts by bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: Labels) -> list[str]:
        told, total = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            told.append(f"{name}_bucket{_labels((*labels, ('le', bound)))} {total}")
        return [*told, f"{name}_sum{_labels(labels)} {shown(self.sum)}", f"{name}_count{_labels(labels)} {total}"]


class Metrics:
    """Counters of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        """Everything at zero."""
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], float] = defaultdict(float)
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], _Histogram] = {}

    def count(self, name: str, amount: float = 1, **labels: object) -> None:
        """Add to a counter."""
        key = (name, tuple((label, str(value)) for label, value in labels.items()))
        with self._lock:
            self._counters[key] += amount

    def count_each(self, name: str, series: Iterable[Labels], amount: float = 1) -> None:
        """Add to several series of one counter."""
        with self._lock:
            for labels in series:
                self._counters[name, labels] += amount

    def set(self, name: str, values: Mapping[Labels, float]) -> None:
        """Say what gauges show from now on."""
        with self._lock:
            self._gauges.update({(name, labels): value for labels, value in values.items()})

    def observe_each(self, name: str, labels: Labels, values: Sequence[float]) -> None:
        """Add values to a histogram's series."""
        key = (name, labels)
        with self._lock:
            if key not in self._histograms:
                self._histograms[key] = _Histogram(BOUNDS[name])
            for value in values:
                self._histograms[key].add(value)

    def value(self, name: str, **labels: object) -> float:
        """Sum of a counter over every series that carries these labels."""
        wanted = {(label, str(value)) for label, value in labels.items()}
        with self._lock:
            return sum(n for (key, series), n in self._counters.items() if key == name and wanted <= set(series))

    def buckets(self, name: str) -> tuple[Sequence[float], list[int]]:
        """Upper bounds of a histogram, and the counts of all its series by bucket; one more for what lies above."""
        with self._lock:
            every = [histogram.counts for (key, _), histogram in self._histograms.items() if key == name]
        return BOUNDS[name], [sum(counts) for counts in zip([0] * (len(BOUNDS[name]) + 1), *every, strict=True)]

    def render(self, gauges: Mapping[tuple[str, Labels], float]) -> str:
        """Everything counted, and the given values of the moment, as Prometheus' text."""
        with self._lock:
            counters = {**self._counters, **self._gauges}
            histograms = {key: copy.deepcopy(histogram) for key, histogram in self._histograms.items()}
        lines: list[str] = []
        for name in HELP:
            series = [(key, value) for key, value in {**counters, **gauges}.items() if key[0] == name]
            if series:
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {_type(name)}"]
                lines += [f"{name}{_labels(labels)} {shown(value)}" for (_, labels), value in sorted(series)]
        for name in BOUNDS:
            series = sorted((labels, histogram) for (key, labels), histogram in histograms.items() if key == name)
            if series:
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} histogram"]
                lines += [line for labels, histogram in series for line in histogram.lines(name, labels)]
        return "\n".join([*lines, ""])


def shown(value: float) -> str:
    """A number with all its digits: a counter of which the last ones are cut off stands still for long."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _type(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
