"""Looking at the model server while a drill goes on: what it says of itself, and what a caller gets.

Here: ``Watch``. Belongs here: questions over HTTP and when their answers changed. Does not: what an answer means for a
drill (``drills.drill``).

Every question has an id of its own and is about the calendar's first day, so that it stays out of every day that
monitors judge.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mlops_assets.adapters.settings import Settings
from mlops_assets.contracts import UseCase
from mlops_assets.drills.drill import Moment, Source

EVERY_S = 0.1
TIMEOUT_S = 10.0
LONGEST_PROBLEM = 300
Look = Callable[[], tuple[str, Mapping[str, str]]]


class Watch:
    """A context manager; ``moments`` are the changes, ``acknowledged`` the ids that were answered with 200."""

    def __init__(self, settings: Settings, use_case: UseCase, question: Mapping[str, Any]) -> None:
        """``question`` holds the request fields of a decision."""
        self._url, self._use_case = settings.endpoint_url, use_case
        self._question = {**question, "event_time": f"{use_case.domain.first_day}T12:00:00Z"}
        self.moments: list[Moment] = []
        self.acknowledged: list[str] = []
        self.slowest_s = 0.0
        self._over = threading.Event()
        looks = {Source.SERVER: self._metadata, Source.ANSWERS: self._answer}
        self._threads = [threading.Thread(target=self._watch, args=look, daemon=True) for look in looks.items()]

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_S)

    def _watch(self, source: Source, look: Look) -> None:
        last: Mapping[str, str] | None = None
        while not self._over.wait(EVERY_S):
            what, facts = look()
            if facts != last:
                self.moments.append(Moment(at=time.time(), source=source, what=what, facts=facts))
                last = facts

    def _metadata(self) -> tuple[str, Mapping[str, str]]:
        told = self._asked("GET", "/metadata")
        if not isinstance(told, dict):
            return f"the server is silent: {told}", {"answers": "no"}
        mine = next((model for model in told["models"] if model["model"] == self._use_case.name), None)
        if mine is None:
            return "the server does not know the model yet", {"answers": "yes", "ready": "no", "problems": ""}
        arms = {arm["arm"]: arm["digest"] for arm in mine["arms"]}
        problems = "; ".join(mine["problems"])[:LONGEST_PROBLEM]
        facts = {"answers": "yes", "ready": "yes" if mine["ready"] else "no", "problems": problems, **arms}
        held = ", ".join(f"{arm['arm']} version {arm['version']} ({arm['digest'][:12]})" for arm in mine["arms"])
        return f"{held or 'no arm is held'}; {problems or 'no problem'}", facts

    def _answer(self) -> tuple[str, Mapping[str, str]]:
        request = f"drill-{time.time_ns()}"
        began = time.monotonic()
        told = self._asked(
            "POST", "/predict", {"model": self._use_case.name, "rows": [{**self._question, "request_id": request}]}
        )
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if not isinstance(told, dict):
            return f"no answer: {told}", {"answered": "no", "status": told.split(" ")[0]}
        self.acknowledged.append(request)
        (answer,) = told["predictions"]
        what = f"answered by {answer['arm']} version {answer['version']} ({str(answer['digest'])[:12]})"
        return what, {"answered": "yes", "status": "200", "arm": answer["arm"], "digest": str(answer["digest"])}

    def _asked(self, method: str, path: str, body: Any = None) -> dict[str, Any] | str:
        """What the server answers, or why not."""
        import httpx

        try:
            told = httpx.request(method, self._url + path, json=body, timeout=TIMEOUT_S, trust_env=False)
        except httpx.TransportError as error:
            return type(error).__name__
        return told.json() if told.is_success else f"{told.status_code} {told.text[:LONGEST_PROBLEM]}"
