"""What answers on which path: the server's own interface, the Open Inference Protocol, and MLflow's scoring server.

Here: ``Endpoints``: one thin handler for each path. Belongs here: which protocol speaks on a path, and its statuses.
Does not: which paths there are (``serving.routes``), connections and bodies (``serving.http``), who may ask
(``serving.app``), the forms of a protocol (``serving.open_inference``, ``serving.invocations``), what a request means
(``serving.data_plane``).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from mlops_assets.serving import invocations, open_inference
from mlops_assets.serving.batching import Batcher, Done
from mlops_assets.serving.columns import kinds_of
from mlops_assets.serving.data_plane import DataPlane
from mlops_assets.serving.demand import Demand
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets.serving.openapi import document
from mlops_assets.serving.refusal import NotLoaded, Refusal
from mlops_assets.serving.requests import LONGEST_NUMBER, PATIENCE_HEADER, Answer, PredictRequest
from mlops_assets.serving.routes import JSON, PLAIN, TEXT, Routes, live

BYTES = b"application/octet-stream"
HEADER_LENGTH = b"inference-header-content-length"
LONGEST_PATIENCE_MS = 600_000
_PATIENCE = PATIENCE_HEADER.encode()
LATE = "the time that the request allows for its answer passed before its model was loaded: try again, or allow more"
T = TypeVar("T")
_ENCODE = msgspec.json.Encoder().encode


class Pending(NamedTuple):
    """What is answered once it is scored."""

    request: PredictRequest
    form: Callable[[Answer], Reply]
    """From the answer's rows to the body."""
    submit: Callable[[PredictRequest, Done], None]


class Waits(NamedTuple):
    """What is asked anew when something has happened."""

    wait: Callable[[Callable[[Refusal | None], None]], None]
    """Called with what to call once: with nothing, or with why it is in vain."""


class Endpoints:
    """Every path of the server."""

    def __init__(
        self,
        plane: DataPlane,
        batcher: Batcher,
        nudge: Callable[[], None],
        versions: Mapping[str, str] | None = None,
        demand: Demand | None = None,
    ) -> None:
        """``nudge`` makes the server look for changes at once; ``versions`` are those of mlops_assets and mlflow.

        Requests for a model that is not in memory wait in ``demand``; None: they are refused.
        """
        self._plane, self.batcher, self._nudge, self._demand = plane, batcher, nudge, demand
        self._starts = invocations.Starts()
        self._versions = {"mlops_assets": "", "mlflow": "", **(versions or {})}
        self._routes = Routes(
            {
                "predict": self._once_loaded(self._predict),
                "live": live,
                "ready": self._ready,
                "metadata": self._metadata,
                "metrics": self._metrics,
                "openapi": self._openapi,
                "nudge": self._nudged,
                "invocations": self._once_loaded(self._invocations),
                "ping": self._ping,
                "version": self._version,
                "v2_server": self._v2_server,
                "v2_model": self._once_loaded(self._v2_model),
                "v2_ready": self._v2_ready,
                "v2_infer": self._once_loaded(self._v2_infer),
            }
        )
        self.at, self.paths = self._routes.at, self._routes.paths

    def _once_loaded(self, handle: Callable[[Asked], T]) -> Callable[[Asked], T | Waits]:
        """The same, but what is asked of a model that is not in memory waits for it."""

        def answer(asked: Asked) -> T | Waits:
            try:
                return handle(asked)
            except NotLoaded as absent:
                if self._demand is None:
                    raise
                seconds, late = self._demand.patience_s, Refusal(503, "model", f"{absent}: loading takes too long")
                if (told := asked.header(_PATIENCE)) is not None and (patience := _patience(told)) < seconds:
                    seconds, late = patience, Refusal(504, PATIENCE_HEADER, LATE)
                waited = time.perf_counter() - asked.arrived if asked.arrived else 0.0
                return Waits(partial(self._demand.wait, absent.model, seconds - waited, late))

        return answer

    def _predict(self, asked: Asked) -> Pending:
        self.batcher.admit()
        request = self._plane.check(asked.body, explain=_wants_reasons(asked.query))
        name = request.state.facts.name
        return self._pending(
            asked, request, lambda rows: Reply(200, JSON, _ENCODE({"model": name, "predictions": rows}))
        )

    def _ready(self, asked: Asked) -> Reply:
        ready, problems = self._plane.ready()
        return Reply(200 if ready else 503, JSON, _ENCODE({"ready": ready, "problems": problems}))

    def _metadata(self, asked: Asked) -> Reply:
        return Reply(200, JSON, json.dumps(msgspec.to_builtins(self._plane.metadata()), indent=1).encode())

    def _metrics(self, asked: Asked) -> Reply:
        waiting = self._demand.gauges() if self._demand else {}
        return Reply(200, TEXT, self._plane.render_metrics({**self.batcher.gauges(), **waiting}).encode())

    def _openapi(self, asked: Asked) -> Reply:
        return Reply(
            200, JSON, _ENCODE(document(self._plane.states, self._plane.max_rows, self._versions["mlops_assets"]))
        )

    def _nudged(self, asked: Asked) -> Reply:
        self._nudge()
        return Reply(202, JSON, b'{"nudged":true}')

    def _invocations(self, asked: Asked) -> Pending:
        self.batcher.admit()
        state = self._plane.state_of(self._only_model(asked.query))
        content_type = asked.header(b"content-type") or b""
        table = invocations.parse(asked.body, content_type, state.feature_names, lambda: kinds_of(state), self._starts)
        request = self._plane.check_table(state.facts.name, table, nan_is_missing=True)
        return self._pending(asked, request, lambda rows: Reply(200, JSON, invocations.answer(rows)))

    def _only_model(self, query: bytes) -> str:
        """The model of a protocol that names none: the one there is, or ``?model=``. Raises Refusal."""
        name, _, model = query.partition(b"=")
        if query and (name != b"model" or not model.isascii()):
            raise Refusal(422, "query", "the one parameter of /invocations is model: send ?model=<name> or nothing")
        known = sorted(self._plane.states)
        if not model and len(known) > 1:
            raise Refusal(422, "query", f"this server has {self._plane.names}: say which with ?model=<name>")
        return model.decode() or "".join(known)

    def _ping(self, asked: Asked) -> Reply:
        ready, _ = self._plane.ready()
        return Reply(200 if ready else 404, PLAIN, b"\n")

    def _version(self, asked: Asked) -> Reply:
        return Reply(200, PLAIN, self._versions["mlflow"].encode())

    def _v2_server(self, asked: Asked) -> Reply:
        return Reply(200, JSON, _ENCODE(open_inference.server_metadata(self._versions["mlops_assets"])))

    def _v2_model(self, asked: Asked) -> Reply:
        state = self._plane.state_of(asked.model)
        _require_version(asked, [str(holding.version) for holding in state.arms.values()])
        return Reply(200, JSON, _ENCODE(open_inference.model_metadata(state)))

    def _v2_ready(self, asked: Asked) -> Reply:
        state = self._plane.known(asked.model)
        _require_version(asked, [str(held.version) for held in (state.arms or state.unloaded).values()])
        return Reply(200 if state.ready else 503, JSON, _ENCODE({"name": asked.model, "ready": state.ready}))

    def _v2_infer(self, asked: Asked) -> Pending:
        self.batcher.admit()
        if asked.version:
            message = "which version answers is the release's to say: leave /versions/... away"
            raise Refusal(404, "version", message)
        wanted = open_inference.parse(asked.body, asked.header(HEADER_LENGTH))
        request = self._plane.check_table(asked.model, wanted.table)

        def form(rows: Answer) -> Reply:
            body, head = open_inference.answer(wanted, asked.model, rows)
            if head is None:
                return Reply(200, JSON, body)
            return Reply(200, BYTES, body, [(HEADER_LENGTH, str(head).encode())])

        return self._pending(asked, request, form)

    def _pending(self, asked: Asked, request: PredictRequest, form: Callable[[Answer], Reply]) -> Pending:
        if (told := asked.header(_PATIENCE)) is not None:
            # It counts from the arrival, also of what has waited for its model.
            request = replace(request, patience_s=_patience(told), arrived=asked.arrived or request.arrived)
        if asked.seed:
            request = request.under(asked.seed, again=asked.again, arrived=asked.arrived)
        return Pending(request, form, self.batcher.submit)


def _patience(told: bytes) -> float:
    """Seconds that a caller waits. Raises Refusal."""
    if not told.isdigit() or len(told) > LONGEST_NUMBER or not 1 <= int(told) <= LONGEST_PATIENCE_MS:
        raise Refusal(422, PATIENCE_HEADER, f"must be a whole number of milliseconds from 1 to {LONGEST_PATIENCE_MS}")
    return int(told) / 1000


def _require_version(asked: Asked, loaded: Sequence[str]) -> None:
    if asked.version and asked.version not in loaded:
        raise Refusal(
            404, "version", f"version {asked.version:.20} is not loaded; loaded: {', '.join(loaded) or 'none'}"
        )


def _wants_reasons(query: bytes) -> bool:
    """Whether the address asks for reasons. Raises Refusal for any other parameter or value."""
    if not query:
        return False
    asked = {b"explain=true": True, b"explain=false": False}.get(query)
    if asked is None:
        raise Refusal(422, "query", "the one parameter of /predict is explain: send ?explain=true or nothing")
    return asked
