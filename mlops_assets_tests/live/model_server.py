"""The model server and MLflow's server as a caller sees them: plain HTTP, no client of the project in between.

Belongs here: questions and their answers as plain data. Does not: waiting, assertions.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

MODEL = "arrival_delay"
QUESTION = {
    "flight_id": "2013-03-31_UA1_EWR_IAH",
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "sched_dep_minute": 600,
    "sched_elapsed_minutes": 240,
    "day_of_week": 7,
    "event_time": "2013-03-31T12:00:00Z",
}
"""Of a day before the first live one: the answers stay out of the days that are judged."""


def metadata_of(url: str) -> dict[str, Any]:
    """GET /metadata of the model server."""
    return httpx.get(f"{url}/metadata", timeout=5, trust_env=False).json()


def champion_of(metadata: dict[str, Any]) -> str | None:
    """Digest of the champion in what GET /metadata says."""
    arms = [arm for model in metadata["models"] if model["model"] == MODEL for arm in model["arms"]]
    return next((arm["digest"] for arm in arms if arm["arm"] == "champion"), None)


def champion_at(url: str) -> str | None:
    """Digest of the champion as the server reports it now; None when it does not answer or has none."""
    try:
        return champion_of(metadata_of(url))
    except httpx.TransportError:
        return None


def answer_of(url: str) -> dict[str, Any]:
    """What POST /predict answers; a request id of its own each time, so that it is no repetition."""
    body = {"model": MODEL, "rows": [{**QUESTION, "request_id": f"live-{time.monotonic_ns()}"}]}
    told = httpx.post(f"{url}/predict", json=body, timeout=5, trust_env=False)
    assert told.status_code == 200, told.text
    return told.json()["predictions"][0]


def mlflow_statuses(url: str) -> dict[str, str]:
    """Dagster run -> status of its MLflow run, of every run that MLflow's server has."""
    with httpx.Client(base_url=f"{url}/api/2.0/mlflow", timeout=10, trust_env=False) as client:
        found = client.get("/experiments/get-by-name", params={"experiment_name": "mlops_assets"}).json()
        wanted = {"experiment_ids": [found["experiment"]["experiment_id"]], "max_results": 100}
        told = client.post("/runs/search", json=wanted).json()["runs"]
    tags = [{tag["key"]: tag["value"] for tag in run["data"]["tags"]} for run in told]
    return {tag["dagster_run_id"]: run["info"]["status"] for tag, run in zip(tags, told, strict=True)}


class Watch:
    """Looks ten times a second and remembers when what it saw changed: (epoch seconds, what)."""

    def __init__(self, look: Callable[[], str | None]) -> None:
        self.seen: list[tuple[float, str]] = []
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            found = self._look()
            if found and (not self.seen or self.seen[-1][1] != found):
                self.seen.append((time.time(), found))
