"""The application behind a transport: who may ask, what answers, what is counted.

Here: ``App``. Belongs here: what happens to every request whatever its path. Does not: connections and bodies
(``serving.http``), what answers on a path (``serving.endpoints``), what a request means (``serving.data_plane``).
"""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from mlops_assets.serving.endpoints import Pending, Waits
from mlops_assets.serving.guard import Guard, Needs
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets.serving.metrics import Labels, Metrics
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.requests import Answer
from mlops_assets.serving.routes import JSON, Endpoint

LOG = logging.getLogger(__name__)
AUDIT = logging.getLogger("mlops_assets.audit")
RETRY_LATER = (b"retry-after", b"1")
Give = Callable[[Reply], None]


class Later(NamedTuple):
    """What is answered by somebody else."""

    ask: Callable[[Callable[[Reply | Refusal], None]], None]
    """Called with what to call once with the outcome, from the loop's thread."""


class Answers(Protocol):
    """What answers on which path: ``serving.endpoints.Endpoints``, or ``serving.front.FrontEndpoints``."""

    paths: list[str]
    at: Callable[[str], tuple[Endpoint | None, str, str]]


class App:
    """Answers every request, by its endpoints. See serving.messages.Application."""

    def __init__(self, endpoints: Answers, metrics: Metrics, guard: Guard | None = None) -> None:
        """Answer by ``endpoints``, count in ``metrics``, let in whom ``guard`` does (None: everybody)."""
        self._endpoints = endpoints
        self._metrics = metrics
        self._guard = guard or Guard(local=False)
        self._counted: dict[tuple[str, int], Labels] = {}

    def refusal(self, asked: Asked) -> Reply | None:
        """See Application."""
        endpoint, *_ = self._endpoints.at(asked.path)
        try:
            if endpoint is None:
                raise Refusal(404, "path", f"nothing is here; there are {', '.join(self._endpoints.paths)}")
            self._guard.require(endpoint.needs, asked.headers)
            if asked.method != endpoint.method and (asked.method, endpoint.method) != ("HEAD", "GET"):
                raise Refusal(405, "method", f"{asked.path} takes {endpoint.method}, not {asked.method}")
        except Refusal as refusal:
            return self._told(endpoint, asked, _refused(endpoint, refusal))
        return None

    def broken(self, asked: Asked, status: int, field: str, message: str) -> Reply:
        """See Application."""
        endpoint, *_ = self._endpoints.at(asked.path)
        return self._told(endpoint, asked, _refused(endpoint, Refusal(status, field, message)))

    def answer(self, asked: Asked, give: Give) -> None:
        """See Application; ``refusal`` was asked before."""
        endpoint, model, version = self._endpoints.at(asked.path)
        assert endpoint is not None
        try:
            outcome = endpoint.handle(asked._replace(model=model, version=version) if model else asked)
            if isinstance(outcome, Pending):
                done = functools.partial(self._scored, endpoint, asked, outcome, give)
                outcome.submit(outcome.request, done)
                return
            if isinstance(outcome, Later):
                outcome.ask(functools.partial(self._heard, endpoint, asked, give))
                return
            if isinstance(outcome, Waits):
                outcome.wait(functools.partial(self._go_on, endpoint, asked, give))
                return
            reply = outcome
        except Refusal as refusal:
            reply = _refused(endpoint, refusal)
        except Exception:
            reply = _failed(endpoint, asked)
        give(self._told(endpoint, asked, reply))

    def _scored(
        self, endpoint: Endpoint, asked: Asked, pending: Pending, give: Give, outcome: Answer | Refusal
    ) -> None:
        try:
            reply = _refused(endpoint, outcome) if isinstance(outcome, Refusal) else pending.form(outcome)
        except Exception:
            reply = _failed(endpoint, asked)
        give(self._told(endpoint, asked, reply))

    def _go_on(self, endpoint: Endpoint, asked: Asked, give: Give, refusal: Refusal | None) -> None:
        """What a request waited for is there, or ``refusal`` says why not."""
        if refusal is None:
            self.answer(asked, give)
        else:
            give(self._told(endpoint, asked, _refused(endpoint, refusal)))

    def _heard(self, endpoint: Endpoint, asked: Asked, give: Give, outcome: Reply | Refusal) -> None:
        reply = _refused(endpoint, outcome) if isinstance(outcome, Refusal) else outcome
        give(self._told(endpoint, asked, reply))

    def _told(self, endpoint: Endpoint | None, asked: Asked, reply: Reply) -> Reply:
        """The reply with what belongs to its status; counted."""
        path = endpoint.path if endpoint else "other"
        if (labels := self._counted.get((path, reply.status))) is None:
            labels = self._counted[path, reply.status] = (("path", path), ("status", str(reply.status)))
        self._metrics.count_each("mlops_requests_total", (labels,))
        if endpoint is None:
            return reply
        if endpoint.predicts and asked.arrived:
            seconds = time.perf_counter() - asked.arrived
            self._metrics.observe_each("mlops_request_seconds", labels[:1], (seconds,))
        if endpoint.needs is Needs.ADMIN:
            AUDIT.info("%s %s from %s: %d", asked.method, asked.path, asked.peer, reply.status)
        more = _more_headers(endpoint, reply) if reply.status >= 400 else ()
        return reply._replace(headers=[*reply.headers, *more]) if more else reply


def _more_headers(endpoint: Endpoint, reply: Reply) -> Sequence[tuple[bytes, bytes]]:
    if reply.status == 405:
        return [(b"allow", endpoint.method.encode())]
    if reply.status == 401:
        return [(b"www-authenticate", b"Bearer")]
    # An answer that another process gave carries it already.
    return [RETRY_LATER] if reply.status in (429, 503) and RETRY_LATER not in reply.headers else []


def _refused(endpoint: Endpoint | None, refusal: Refusal) -> Reply:
    body = endpoint.refused(refusal) if endpoint else refusal.encoded()
    return Reply(refusal.status, JSON, body)


def _failed(endpoint: Endpoint, asked: Asked) -> Reply:
    LOG.exception("%s %s failed", asked.method, asked.path)
    return _refused(endpoint, Refusal(500, None, "the server failed; its log says why"))
