"""What the server counts, in Prometheus' text format.

Here: counters, one histogram, and their rendering. Belongs here: the format. Does not: deciding what is worth counting
(whoever calls ``count``). Written out by hand: a client library would add more to the worker's start than this file.
"""

import bisect
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

Labels = tuple[tuple[str, str], ...]

HELP = {
    "mlops_requests_total": "Requests by path and status.",
    "mlops_predictions_total": "Answered rows by model, arm and version.",
    "mlops_scores_total": "Scored rows by model, arm and version, answered or not.",
    "mlops_arm_errors_total": "Batches that an arm could not score.",
    "mlops_missing_features_total": "View values missing, by feature and reason: absent_key, stale, null, store_error.",
    "mlops_barred_rows_total": "Rows that an arm may not score: a feature is missing whose policy is to fail.",
    "mlops_feature_age_seconds": "Age of a view's newest values at the last batch, on the domain's clock.",
    "mlops_future_features_total": "Rows scored with view values younger than their event time.",
    "mlops_repeated_requests_total": "Rows answered from the log because their request id was known.",
    "mlops_batches_total": "Batches taken from the queue.",
    "mlops_online_store_errors_total": "Batches for which the online store could not be read.",
    "mlops_traffic_log_errors_total": "Batches refused because the traffic log could not be written.",
    "mlops_swaps_total": "Versions that took an arm.",
    "mlops_load_failures_total": "Attempts to load a version that failed.",
    "mlops_in_flight_requests": "Prediction requests waiting for their answer.",
    "mlops_queued_rows": "Rows waiting to be taken.",
    "mlops_arm_info": "One per loaded arm; the value is its share of the traffic in basis points.",
    "mlops_refused_version": "One per version that the registry puts into an arm and that may not serve: why.",
    "mlops_problems": "Problems that /ready tells of, by model.",
    "mlops_request_seconds": "Time from a request's arrival to its answer.",
}
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        """Everything at zero."""
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], float] = defaultdict(float)
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._observed = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0

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

    def observe(self, seconds: float) -> None:
        """Add one request to the latency histogram."""
        with self._lock:
            self._observed[bisect.bisect_left(BUCKETS, seconds)] += 1
            self._seconds += seconds

    def value(self, name: str, **labels: object) -> float:
        """Sum of a counter over every series that carries these labels."""
        wanted = {(label, str(value)) for label, value in labels.items()}
        with self._lock:
            return sum(n for (key, series), n in self._counters.items() if key == name and wanted <= set(series))

    def render(self, gauges: Mapping[tuple[str, Labels], float]) -> str:
        """Everything counted, and the given values of the moment, as Prometheus' text."""
        with self._lock:
            counters = {**self._counters, **self._gauges}
            observed, seconds = list(self._observed), self._seconds
        lines: list[str] = []
        for name in HELP:
            series = [(key, value) for key, value in {**counters, **gauges}.items() if key[0] == name]
            if series:
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} {_type(name)}"]
                lines += [f"{name}{_labels(labels)} {value:g}" for (_, labels), value in sorted(series)]
        return "\n".join([*lines, *_histogram("mlops_request_seconds", observed, seconds), ""])


def _type(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def _labels(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escape(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histogram(name: str, observed: list[int], seconds: float) -> list[str]:
    lines, total = [f"# HELP {name} {HELP[name]}", f"# TYPE {name} histogram"], 0
    for bound, amount in zip((*map(str, BUCKETS), "+Inf"), observed, strict=True):
        total += amount
        lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
    return [*lines, f"{name}_sum {seconds:g}", f"{name}_count {total}"]
