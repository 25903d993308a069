"""The model server, seen from outside.

Here: the interface ``Endpoint``, the client of the real server, and a twin that follows a registry without a server.
Belongs here: what others ask of the server. Does not: the server (``serving``); the twin that runs the server's own
data plane is ``serving.in_process``, for it stands on the server.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.health import authorities
from mlops_assets.adapters.registry import Registry
from mlops_assets.contracts import Arm, ArmStatus, ModelVersion, ServerStatus, from_json

if TYPE_CHECKING:
    import httpx

POLL_S = 0.05
CANARY_SHARE_TAG = "canary_basis_points"
"""Tag of a registered model: how much of the traffic its canary answers, in 1/10,000."""


class EndpointDown(ConnectionError):
    """The model server does not answer."""


class EndpointRefused(ValueError):
    """The model server refused a request; says which field and what to do."""

    def __init__(self, status: int, field: str | None, message: str) -> None:
        super().__init__(f"{status}: {field}: {message}" if field else f"{status}: {message}")
        self.status = status
        self.field = field


class EndpointTimeout(TimeoutError):
    """The server did not come to serve what was waited for; says what it served instead, and why."""


class Endpoint(ABC):
    """A model server. Every method raises EndpointDown when it does not answer."""

    @abstractmethod
    def status(self, model: str) -> ServerStatus:
        """What one model is answered by now."""

    @abstractmethod
    def predict(self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False) -> list[dict[str, Any]]:
        """One answer per row: request_id, entity_id, score, arm, version, digest, missing. Raises EndpointRefused.

        ``missing`` counts the values that the server was to fetch and that were not there, or too old.

        ``explain`` adds ``reasons``: margin, expected_value, top (feature, value, contribution) and rest, which add
        up to the margin; None where the answer cannot be explained.
        A row holds the model's request fields, ``event_time`` (ISO 8601 UTC) and optionally ``request_id``: the same
        id again gets the same answer.
        """

    @abstractmethod
    def nudge(self) -> None:
        """Let the server look at the registry now instead of at its next poll."""

    def wait_for_shadow(self, model: str, timeout: float = 30.0) -> int:
        """Wait until the shadow has scored what was answered; how many rows it had still to score at the end.

        ``timeout`` is in seconds. A shadow answers nobody, so it may be behind: under load, its rows wait.
        """
        deadline = time.monotonic() + timeout
        while (behind := self.status(model).shadow_rows_waiting) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return behind

    def wait_for(self, model: str, arm: str, digest: str | None, timeout: float = 30.0) -> ServerStatus:
        """Wait until ``arm`` is held by the version with ``digest`` (None: by nobody) and tell the status then.

        ``timeout`` is in seconds. A server that does not answer meanwhile is waited for. Raises EndpointTimeout.
        """
        deadline = time.monotonic() + timeout
        seen = f"{model}: nothing was seen"
        nudged = False
        while True:
            try:
                if not nudged:
                    self.nudge()
                    nudged = True
                status = self.status(model)
                held = status.arm(arm)
                if (held.digest if held else None) == digest:
                    return status
                seen = _in_words(status)
            except EndpointDown as error:
                seen = str(error)
            if time.monotonic() >= deadline:
                raise EndpointTimeout(f"after {timeout:g} s {arm} is not {digest or 'empty'}; {seen}")
            time.sleep(POLL_S)


def _in_words(status: ServerStatus) -> str:
    arms = ", ".join(f"{a.arm} version {a.version} ({a.digest})" for a in status.arms) or "no arm is loaded"
    return "; ".join([f"{status.model}: {arms}", *status.problems])


class HttpEndpoint(Endpoint):
    """The real server over HTTP. One client may be used from several threads."""

    def __init__(
        self, url: str, timeout_s: float = 10.0, token: str | None = None, certificate: Path | None = None
    ) -> None:
        """``url`` such as http://127.0.0.1:8757; nothing is sent yet.

        ``token`` goes with every request; ``certificate`` is trusted besides those of the machine's authorities.
        """
        self._token, self._certificate = token, certificate
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._client: httpx.Client | None = None

    def status(self, model: str) -> ServerStatus:
        """See Endpoint."""
        metadata = self._ask("GET", "/metadata").json()
        told = next((entry for entry in metadata["models"] if entry["model"] == model), None)
        if told is None:
            problems = (*metadata["problems"], "the server does not know this model")
            return ServerStatus(model=model, ready=False, arms=(), problems=problems)
        import msgspec

        return from_json(ServerStatus, msgspec.json.encode(told))

    def predict(self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False) -> list[dict[str, Any]]:
        """See Endpoint."""
        body = {"model": model, "rows": [dict(row) for row in rows]}
        return self._ask("POST", "/predict?explain=true" if explain else "/predict", body).json()["predictions"]

    def nudge(self) -> None:
        """See Endpoint."""
        self._ask("POST", "/admin/nudge")

    def ready(self) -> bool:
        """True when the server answers and every model of it gets an answer."""
        try:
            self._ask("GET", "/ready")
        except (EndpointDown, EndpointRefused):
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None) -> "httpx.Response":
        import httpx

        if self._client is None:
            # The server is addressed directly: a proxy from the environment would only be in the way.
            headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
            trusted = authorities(self._certificate)
            self._client = httpx.Client(
                base_url=self.url, timeout=self._timeout_s, trust_env=False, headers=headers, verify=trusted
            )
        try:
            response = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise EndpointDown(
                f"the model server at {self.url} does not answer ({error!r}). Start it with `mlops serve`, or set "
                "MLOPS_ENDPOINT_URL."
            ) from error
        if response.status_code >= 400:
            raise _refused(response)
        return response


def _refused(response: "httpx.Response") -> EndpointRefused:
    try:
        told = response.json()
    except ValueError:
        return EndpointRefused(response.status_code, None, response.text[:200])
    error = told.get("error") or {"message": "; ".join(told.get("problems", ()))}
    return EndpointRefused(response.status_code, error.get("field"), error.get("message", ""))


Score = Callable[[ModelVersion, Mapping[str, Any]], float]


class MemoryEndpoint(Endpoint):
    """A twin without a server: it follows a registry's aliases at once and scores with a function.

    ``refuse`` plays a version that cannot be loaded: the champion of before keeps its arm and the problem is told.
    """

    def __init__(
        self,
        registry: Registry,
        score: Score = lambda version, row: 0.5,
        entity_id: str = "flight_id",
        fallback_score: float = 0.24,
    ) -> None:
        """Follow ``registry``; rows carry their entity's id in ``entity_id``."""
        self._registry = registry
        self._score = score
        self._entity_id = entity_id
        self._fallback_score = fallback_score
        self._held: dict[tuple[str, str], ModelVersion] = {}
        self._refused: set[str] = set()
        self._answers: dict[str, dict[str, Any]] = {}

    def refuse(self, digest: str) -> None:
        """From now on the version with this digest cannot be loaded."""
        self._refused.add(digest)

    def nudge(self) -> None:
        """See Endpoint: this twin looks whenever it is asked."""

    def status(self, model: str) -> ServerStatus:
        """See Endpoint."""
        told = self._registry.model(model)
        problems = []
        for arm in Arm:
            wanted = self._registry.version(model, told.aliases[arm]) if arm in told.aliases else None
            if wanted and wanted.digest in self._refused:
                problems.append(f"{arm} version {wanted.version} is not served: it cannot be loaded")
                wanted = self._held.get((model, arm)) if arm is Arm.CHAMPION else None
            self._held.pop((model, arm), None)
            if wanted:
                self._held[model, arm] = wanted
        ready = Arm.CHAMPION not in told.aliases or (model, Arm.CHAMPION) in self._held
        return self._told(model, int(told.tags.get(CANARY_SHARE_TAG) or 0), ready, tuple(problems))

    def _told(self, model: str, share: int, ready: bool, problems: tuple[str, ...]) -> ServerStatus:
        held = {arm: self._held[model, arm] for arm in Arm if (model, arm) in self._held}
        canary = share if {Arm.CHAMPION, Arm.CANARY} <= held.keys() else 0
        points = {Arm.CHAMPION: 10_000 - canary, Arm.CANARY: canary, Arm.SHADOW: 0}
        arms = tuple(
            ArmStatus(arm=str(a), version=v.version, digest=v.digest, basis_points=points[a], loaded_at=v.created_at)
            for a, v in held.items()
        )
        return ServerStatus(model=model, ready=ready, arms=arms, problems=problems)

    def predict(self, model: str, rows: Sequence[Mapping[str, Any]], *, explain: bool = False) -> list[dict[str, Any]]:
        """See Endpoint. The champion answers everything: this twin splits no traffic, and gives no reasons."""
        self.status(model)
        answers = []
        for position, row in enumerate(rows):
            if self._entity_id not in row:
                raise EndpointRefused(422, f"rows[{position}].{self._entity_id}", f"{self._entity_id} is missing")
            key = str(row.get("request_id") or f"memory-{len(self._answers)}")
            if key not in self._answers:
                self._answers[key] = {"request_id": key} | self._answer(model, row)
            answers.append({**self._answers[key], "reasons": None} if explain else self._answers[key])
        return answers

    def _answer(self, model: str, row: Mapping[str, Any]) -> dict[str, Any]:
        champion = self._held.get((model, Arm.CHAMPION))
        return {
            "entity_id": row[self._entity_id],
            "score": self._score(champion, row) if champion else self._fallback_score,
            "arm": "champion" if champion else "fallback",
            "version": champion.version if champion else None,
            "digest": champion.digest if champion else None,
            "missing": 0,
        }
