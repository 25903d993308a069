"""Every path of the server: its method, who may ask, and how it says no.

Here: ``Endpoint``, and ``Routes``, the table of them. Belongs here: what is true of a path whichever process answers on
it. Does not: answering (``serving.endpoints``, ``serving.front``), who may ask (``serving.app``).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from mlops_assets.serving import invocations
from mlops_assets.serving.guard import Needs
from mlops_assets.serving.messages import Asked, Reply
from mlops_assets.serving.refusal import Refusal

JSON, TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
# MLflow's own server calls these application/json, which they are not; its clients do not look.
PLAIN = b"text/plain; charset=utf-8"
Handler = Callable[[Asked], Any]


def _in_a_line(refusal: Refusal) -> bytes:
    """As the Open Inference Protocol wants it."""
    return msgspec.json.encode({"error": f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message})


class Endpoint(NamedTuple):
    """What answers on a path."""

    method: str
    handle: Handler
    """Gives a Reply, or what becomes one later: see ``serving.app``."""
    path: str
    """As it is counted: without names of models."""
    predicts: bool = False
    needs: Needs = Needs.PREDICT
    refused: Callable[[Refusal], bytes] = Refusal.encoded
    """The body of a refusal."""


class Routes:
    """Every path, with what answers on it."""

    def __init__(self, by: Mapping[str, Handler]) -> None:
        """``by``: what answers, by the names below."""
        v2, mlflow, anybody = _in_a_line, invocations.refused, Needs.NOTHING
        found = [
            Endpoint("POST", by["predict"], "/predict", predicts=True),
            Endpoint("GET", by["live"], "/live", needs=anybody),
            Endpoint("GET", by["ready"], "/ready", needs=anybody),
            Endpoint("GET", by["metadata"], "/metadata"),
            Endpoint("GET", by["metrics"], "/metrics"),
            Endpoint("GET", by["openapi"], "/openapi.json"),
            Endpoint("POST", by["nudge"], "/admin/nudge", needs=Needs.ADMIN),
            Endpoint("POST", by["invocations"], "/invocations", predicts=True, refused=mlflow),
            Endpoint("GET", by["ping"], "/ping", needs=anybody, refused=mlflow),
            Endpoint("GET", by["ping"], "/health", needs=anybody, refused=mlflow),
            Endpoint("GET", by["version"], "/version", refused=mlflow),
            Endpoint("GET", by["v2_server"], "/v2", refused=v2),
            Endpoint("GET", by["live"], "/v2/health/live", needs=anybody, refused=v2),
            Endpoint("GET", by["ready"], "/v2/health/ready", needs=anybody, refused=v2),
        ]
        self._fixed = {endpoint.path: endpoint for endpoint in found}
        self._of_models = {
            "": Endpoint("GET", by["v2_model"], "/v2/models/{model}", refused=v2),
            "ready": Endpoint("GET", by["v2_ready"], "/v2/models/{model}/ready", refused=v2),
            "infer": Endpoint("POST", by["v2_infer"], "/v2/models/{model}/infer", predicts=True, refused=v2),
        }
        self.paths = [endpoint.path for endpoint in (*self._fixed.values(), *self._of_models.values())]
        """Every path."""

    def at(self, path: str) -> tuple[Endpoint | None, str, str]:
        """What answers on a path, with the model and the version that it names."""
        if (endpoint := self._fixed.get(path)) is not None:
            return endpoint, "", ""
        parts = path.split("/")[1:]
        if parts[:2] != ["v2", "models"] or len(parts) < 3 or not parts[2]:
            return None, "", ""
        model, rest = parts[2], parts[3:]
        version, rest = (rest[1], rest[2:]) if rest[:1] == ["versions"] and len(rest) > 1 else ("", rest)
        return self._of_models.get("/".join(rest)), model, version


def live(asked: Asked) -> Reply:
    """This process answers."""
    return Reply(200, JSON, b'{"live":true}')
