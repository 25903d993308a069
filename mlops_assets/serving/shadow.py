"""The shadow's scores, off the answer's path.

Here: ``Shadow``: rows that were answered and that a shadow has still to score. Belongs here: what becomes of them when
there is no time. Does not: who answers (``serving.scoring``), the thread (``serving.batching``).

A shadow answers nobody, so nobody waits for it: its rows are worked off in small parts by the batcher's thread when
nothing else is to do, and what does not fit into the backlog is dropped and counted. The record of an answer is on
disk before its shadow's score is; a process that dies in between leaves an answer without it.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.adapters.traffic_log import ArmScore, TrafficLog, TrafficLogError
from mlops_assets.contracts import Arm
from mlops_assets.serving.arms import ModelState
from mlops_assets.serving.metrics import Metrics
from mlops_assets.serving.scoring import Features, said_by, scores_of

PART = 8
"""Rows scored at once: a request that comes meanwhile waits for these."""
KEPT = 64
"""Scores written at once: a request that comes meanwhile waits for a millisecond."""
LONGEST_S = 0.1
"""Scores are not kept longer than this before they are written."""


@dataclass(eq=False)
class _Waiting:
    state: ModelState
    features: Features
    rows: Sequence[tuple[int, str]]
    """Positions among the features, and request ids."""
    done: int = 0


class Shadow:
    """The backlog. All but ``waiting`` belongs to the batcher's thread."""

    def __init__(self, log: TrafficLog, metrics: Metrics, max_rows: int = 20_000) -> None:
        """Nothing waits."""
        self._log, self._metrics, self._max_rows = log, metrics, max_rows
        self._backlog: deque[_Waiting] = deque()
        self._scored: list[tuple[str, ArmScore]] = []
        self._models: list[str] = []
        """Whose each of them is."""
        self._scored_at = 0.0
        self._rows: Counter[str] = Counter()
        self.problems: dict[str, str | None] = {}
        """Model -> why its shadow could not score the last time, None when it could."""

    def waiting(self, model: str | None = None) -> int:
        """Rows whose shadow's score is not in the log yet."""
        return self._rows[model] if model is not None else self._rows.total()

    def add(self, state: ModelState, features: Features, rows: Sequence[tuple[int, str]]) -> None:
        """Have these rows scored later, or not at all when too many wait."""
        model = state.facts.name
        if self.waiting() + len(rows) > self._max_rows:
            self._metrics.count("mlops_shadow_dropped_rows_total", len(rows), model=model)
            return
        self._rows[model] += len(rows)
        self._backlog.append(_Waiting(state, features, rows))

    def work(self) -> float | None:
        """Do a little; after how many seconds there is more to do, None when there is nothing."""
        return self._step(written=False)

    def finish(self) -> int:
        """Do all of it now; in how many steps."""
        steps = 1
        while self._step(written=True) is not None:
            steps += 1
        return steps

    def _step(self, *, written: bool) -> float | None:
        if self._backlog:
            self._score(self._backlog[0])
        due_s = self._scored_at + LONGEST_S - time.monotonic()
        if len(self._scored) >= KEPT or (self._scored and (due_s <= 0 or (written and not self._backlog))):
            self._write()
        if self._backlog:
            return 0.0
        return max(due_s, 0.0) if self._scored else None

    def _score(self, waiting: _Waiting) -> None:
        state, held = waiting.state, waiting.state.arms[Arm.SHADOW]
        model = state.facts.name
        part = waiting.rows[waiting.done : waiting.done + PART]
        waiting.done += len(part)
        if waiting.done >= len(waiting.rows):
            self._backlog.popleft()
        try:
            inputs = waiting.features.assemble(held.bundle.signature, held.bundle.recipe)
            scores = scores_of(held, inputs.matrix[[position for position, _ in part]])
        except Exception as error:
            self._metrics.count("mlops_arm_errors_total", model=model, arm=Arm.SHADOW)
            self.problems[model] = f"{type(error).__name__}: {error}"
            self._rows[model] -= len(part)
            return
        self.problems[model] = None
        self._metrics.count("mlops_scores_total", len(part), model=model, arm=Arm.SHADOW, version=held.version)
        barred = sum(position in inputs.barred for position, _ in part)
        if barred:
            self._metrics.count("mlops_barred_rows_total", barred, model=model, arm=Arm.SHADOW)
        self._rows[model] -= barred
        if not self._scored:
            self._scored_at = time.monotonic()
        for (position, request_id), score in zip(part, scores, strict=True):
            if position not in inputs.barred:
                self._scored.append((request_id, said_by(Arm.SHADOW, held, score)))
                self._models.append(model)

    def _write(self) -> None:
        try:
            self._log.add_scores(self._scored)
        except TrafficLogError:
            self._metrics.count("mlops_traffic_log_errors_total")
            for model, rows in Counter(self._models).items():
                self._metrics.count("mlops_shadow_dropped_rows_total", rows, model=model)
        self._rows.subtract(self._models)
        self._scored, self._models = [], []
