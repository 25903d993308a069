"""Live, ready, metadata, predict: what the server does, whatever transport asks for it.

Here: ``DataPlane``. Belongs here: the way of a batch from checked requests to logged answers, and what the server
tells about itself. Does not: HTTP (``serving.app``), threads (``serving.batching``), loading (``serving.follower``).

A request is answered by the state it was checked against: a swap between the two changes nothing for it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_assets.adapters.online_reader import OnlineReader
from mlops_assets.adapters.traffic_log import TrafficLog, TrafficLogError, TrafficRecord
from mlops_assets.contracts import Arm, ServerStatus
from mlops_assets.serving.arms import ModelState, now
from mlops_assets.serving.batch import Batch, conflicts
from mlops_assets.serving.columns import Table, rows_of
from mlops_assets.serving.features import Transformation
from mlops_assets.serving.metrics import Labels, Metrics
from mlops_assets.serving.reasons import MOST_ROWS, reasons_of
from mlops_assets.serving.refusal import NotLoaded, Refusal
from mlops_assets.serving.requests import PATIENCE_HEADER, Answer, PredictRequest
from mlops_assets.serving.scoring import BatchScores, on_path, record_of, score_rows
from mlops_assets.serving.shadow import Shadow
from mlops_assets.serving.statuses import gauges_of, problems_of, status_of
from mlops_assets.serving.validation import DecisionRow, parse_envelope, parse_rows

NAMED = 20
"""Models that a message names."""


class DataPlane:
    """The server without a transport. ``predict`` belongs to one thread, the rest may be called from any."""

    def __init__(
        self, log: TrafficLog, online: OnlineReader, transformations: Mapping[str, Transformation], max_rows: int = 2000
    ) -> None:
        """A server that serves nothing yet."""
        self._log = log
        self._online = online
        self.transformations = transformations
        self.max_rows = max_rows
        self._states: Mapping[str, ModelState] = {}
        self._preparing = 0
        self.used: Callable[[str], None] = lambda model: None
        """Called with every model that somebody asks for."""
        self._notes: dict[str, str] = {}
        self.metrics = Metrics()
        self._shadow = Shadow(log, self.metrics)
        self.started_at = now()

    def adopt(self, states: Mapping[str, ModelState], preparing: int = 0) -> None:
        """From now on, new requests are answered by these states. What is in flight ends with the old ones.

        ``preparing``: models that will come and of which nothing is known here yet.
        """
        self._states, self._preparing = dict(states), preparing

    @property
    def states(self) -> Mapping[str, ModelState]:
        """Who answers now, by model."""
        return self._states

    def note(self, subject: str, problem: str | None) -> None:
        """Tell ``/ready`` and ``/metadata`` of a problem of the server as a whole, or that it is over."""
        if problem is None:
            self._notes.pop(subject, None)
        else:
            self._notes[subject] = f"{subject}: {problem}"

    def check(self, body: bytes, *, explain: bool = False) -> PredictRequest:
        """Read a request strictly; ``explain`` asks for reasons. Raises Refusal, which names the field."""
        arrived = time.perf_counter()
        envelope = parse_envelope(body)
        state = self.state_of(envelope.model)
        rows = parse_rows(envelope, state.form, state.timezone, self.max_rows)
        _require_answers(state)
        if explain and len(rows) > MOST_ROWS:
            raise Refusal(422, "rows", f"{len(rows)} rows to explain: send at most {MOST_ROWS} with ?explain=true")
        return PredictRequest(state, rows, arrived, explain=explain)

    def check_table(self, model: str, table: Table, *, nan_is_missing: bool = False) -> PredictRequest:
        """Read a request of named columns strictly. Raises Refusal, which names row and column."""
        arrived, state = time.perf_counter(), self.state_of(model)
        rows = rows_of(model, table, state, self.max_rows, nan_is_missing=nan_is_missing)
        _require_answers(state)
        return PredictRequest(state, rows, arrived)

    def state_of(self, model: str) -> ModelState:
        """Who answers for a model now. Raises Refusal: 404, or 503 before anything is known; NotLoaded."""
        state = self.known(model)
        self.used(model)
        if state.unloaded:
            raise NotLoaded(model)
        return state

    def known(self, model: str) -> ModelState:
        """The same, of a model that need not be loaded."""
        if (state := self._states.get(model)) is not None:
            return state
        if not self._states:
            raise Refusal(503, None, "the server does not know yet what to serve: try again in a moment")
        if self._preparing:
            raise Refusal(503, "model", f"no such model yet; {self._preparing} are still being prepared")
        raise Refusal(404, "model", f"no such model; this server has {self.names}")

    @property
    def names(self) -> str:
        """Of the models, for people: the first ones where there are many."""
        names = sorted(self._states)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return ", ".join(names[:NAMED]) + more

    def predict(self, requests: Sequence[PredictRequest]) -> list[Answer | Refusal]:
        """Answer a batch: every answer returned is durably logged.

        A request id that was answered before gets the same answer and no second record.
        """
        self.metrics.count("mlops_batches_total")
        batch = Batch()
        try:
            given = [row.request_id for request in requests for row in request.rows if row.given_id]
            records = self._known(given)
            if given:
                # Ids that are made here are all different.
                batch.refused.update(conflicts(requests, records))
            batch.refused.update(self._late(requests))
            self._score(requests, batch, known=records)
            written = self._log.append(batch.records, batch.features)
        except TrafficLogError as error:
            self.note("traffic log", str(error))
            self.metrics.count("mlops_traffic_log_errors_total")
            reason = "the answer could not be logged, so it is not given: try again later"
            return [Refusal(503, None, reason) for _ in requests]
        self.note("traffic log", None)
        if written:
            # Another process answered these ids since we looked: its answers stand.
            batch.refused = conflicts(requests, written) | batch.refused
            batch.records = [record for record in batch.records if record.request_id not in written]
        records |= {record.request_id: record for record in batch.records} | dict(written)
        self._count(batch.records)
        self._leave_to_shadows(batch)
        return [batch.refused.get(i) or _answer(request, records) for i, request in enumerate(requests)]

    def _late(self, requests: Sequence[PredictRequest]) -> dict[int, Refusal]:
        """Those that waited too long: work for nobody would make the others wait longer."""
        late = [position for position, request in enumerate(requests) if request.late]
        if late:
            self.metrics.count("mlops_late_requests_total", len(late))
        message = (
            "the time that the request allows for its answer passed before its turn came: try again, or allow more"
        )
        return {position: Refusal(504, PATIENCE_HEADER, message) for position in late}

    def _known(self, given: Sequence[str]) -> dict[str, TrafficRecord]:
        known = self._log.find(given) if given else {}
        if known:
            self.metrics.count("mlops_repeated_requests_total", len(known))
        return known

    def _score(self, requests: Sequence[PredictRequest], batch: Batch, known: Mapping[str, TrafficRecord]) -> None:
        """Score every new row once, all alike together, so that each view is read once per batch."""
        claimed = set(known)
        alike: dict[tuple[ModelState, bool], list[tuple[DecisionRow, int]]] = {}
        for position, request in enumerate(requests):
            for row in request.rows if position not in batch.refused else ():
                if row.request_id not in claimed:
                    claimed.add(row.request_id)
                    alike.setdefault((request.state, row.given is None), []).append((row, position))
        for (state, _), pairs in alike.items():
            said = score_rows(state, [row for row, _ in pairs], self._online, self.transformations, self.metrics)
            self._tell(state, said)
            batch.features.update(said.features)
            batch.scored.append((state, said, [row.request_id for row, _ in pairs]))
            clock = time.perf_counter()
            for i, (row, position) in enumerate(pairs):
                request = requests[position]
                latency_ms = (clock - request.arrived) * 1000
                try:
                    batch.made[row.request_id] = record_of(state, said, i, row, latency_ms, request.received_at)
                except Refusal as refusal:
                    batch.failed[row.request_id] = refusal
        batch.settle(requests)

    def _leave_to_shadows(self, batch: Batch) -> None:
        """Every row that was answered and that a shadow has not scored yet."""
        answered = {record.request_id for record in batch.records}
        for state, said, ids in batch.scored:
            if Arm.SHADOW in state.arms and Arm.SHADOW not in on_path(state) and said.batch is not None:
                rows = [(position, key) for position, key in enumerate(ids) if key in answered]
                self._shadow.add(state, said.batch, rows)

    def work(self) -> float | None:
        """Do a little of what nobody waits for, in the thread that predicts; see Shadow.work."""
        more_s = self._shadow.work()
        self._tell_of_shadows()
        return more_s

    def finish(self) -> int:
        """Do all of it now; in how many steps."""
        steps = self._shadow.finish()
        self._tell_of_shadows()
        return steps

    def _tell_of_shadows(self) -> None:
        for model, problem in self._shadow.problems.items():
            self.note(f"{model} {Arm.SHADOW} cannot score", problem)

    def _tell(self, state: ModelState, said: BatchScores) -> None:
        self.note("online store", said.store_error)
        for arm in on_path(state):
            self.note(f"{state.facts.name} {arm} cannot score", said.errors.get(arm))

    def _count(self, records: Sequence[TrafficRecord]) -> None:
        answered: dict[tuple[str, str, int | None], list[TrafficRecord]] = {}
        for record in records:
            answered.setdefault((record.model, record.arm, record.version), []).append(record)
        for (model, arm, version), mine in answered.items():
            self.metrics.count("mlops_predictions_total", len(mine), model=model, arm=arm, version=version or "")
            labels = (("model", model), ("arm", arm), ("version", str(version or "")))
            self.metrics.observe_each("mlops_score", labels, [record.score for record in mine])
            self.metrics.observe_each("mlops_answer_seconds", labels, [record.latency_ms / 1000 for record in mine])

    def status(self, model: str) -> ServerStatus:
        """What one model is answered by now."""
        state = self._states.get(model)
        notes = tuple(self._notes.values())
        if state is None:
            return ServerStatus(model=model, ready=False, arms=(), problems=(*notes, "nothing is known of this model"))
        return status_of(state, notes, self._shadow.waiting(model))

    def ready(self) -> tuple[bool, list[str]]:
        """Whether every model gets the answer it should, and every problem there is, also while it does."""
        reports = [self.status(model) for model in self._states]
        problems = problems_of(reports, self._notes.values())
        waiting = [] if reports else ["the server does not know yet what to serve"]
        if self._preparing:
            waiting = [f"{self._preparing} models are still being prepared"]
        ready = bool(reports) and not self._preparing and all(r.ready or not r.required for r in reports)
        return ready, [*waiting, *problems, *self._notes.values()]

    def metadata(self) -> dict[str, Any]:
        """Everything the server tells about itself; ``models`` holds one ServerStatus each."""
        return {
            "server": {"pid": os.getpid(), "started_at": self.started_at},
            "models": [self.status(model) for model in sorted(self._states)],
            "problems": list(self._notes.values()),
        }

    def render_metrics(self, gauges: Mapping[tuple[str, Labels], float]) -> str:
        """The counters, and who holds which arm, in Prometheus' text format."""
        return self.metrics.render({**gauges, **gauges_of(self._states, self.status)})


def _require_answers(state: ModelState) -> None:
    if not state.answers:
        raise Refusal(503, "model", f"no version of {state.facts.name} is loaded: see /ready, try again later")


def _answer(request: PredictRequest, records: Mapping[str, TrafficRecord]) -> Answer:
    mine = [records[row.request_id] for row in request.rows]
    answer: Answer = [
        {
            "request_id": record.request_id,
            "entity_id": record.entity_id,
            "score": record.score,
            "arm": record.arm,
            "version": record.version,
            "digest": record.digest,
            "missing": record.missing,
        }
        for record in mine
    ]
    if request.explain:
        loaded = {held.bundle.digest: held.bundle for held in request.state.arms.values()}
        for entry, reasons in zip(answer, reasons_of(mine, loaded), strict=True):
            entry["reasons"] = reasons
    return answer
