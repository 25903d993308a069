"""The life of a model on real flights: what the demo plays, in order.

Here: the script of the demo. Belongs here: which day ends it, when an operator intervenes and with what fault. Does
not: thresholds and policies (the shipped ones run), judging what happened (``demo.report``).

The operator intervenes twice, as a person could from the command line: a candidate trained on 30 % inverted labels
is pushed past the gates that refused it, and later the same version is forced to champion.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.releases import Cause
from mlops_assets.assets.address import DATASETS, MODELS, automation, key
from mlops_assets.assets.releases import SERVER_SECONDS
from mlops_assets.automation.jobs import TRAIN
from mlops_assets.automation.walk import last_day
from mlops_assets.contracts import Arm, ModelVersion, Transition, UseCase
from mlops_assets.demo.daemon import Daemon

OPERATOR = "operator:demo"
INVERTED_SHARE = 0.3
SENSORS = ("remediation", "release")
MOST_ROUNDS = 6
"""Rounds of the use case's sensors after a day; more would mean that they ask each other for ever."""


@dataclass(frozen=True, kw_only=True)
class Dates:
    """What the demo covers."""

    feed_from: str
    live_from: str
    until: str

    def set_environment(self) -> None:
        """The demo's settings for this process and the servers it starts: dates, speed and one model, nothing else."""
        os.environ["MLOPS_FEED_FROM"] = self.feed_from
        os.environ["MLOPS_LIVE_FROM"] = self.live_from
        os.environ["MLOPS_FEED_UNTIL"] = self.until
        os.environ["MLOPS_SENSOR_SECONDS"] = "1"
        # The story is one model's: it would wait for ever for the champions of others.
        os.environ["MLOPS_SEGMENTS"] = ""
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"


class StoryEnded(RuntimeError):
    """The feed came to its last day before the story was told."""


class Story:
    """Plays the demo; ``play`` yields after every step, so that the caller can tell what happened."""

    def __init__(self, use_case: UseCase, dates: Dates, daemon: Daemon, deployment: Deployment) -> None:
        self._use_case, self._dates = use_case, dates
        self._daemon, self._deployment = daemon, deployment

    def play(self) -> Iterator[str | None]:
        """Each item is the last landed day, None before anything landed. Raises StoryEnded."""
        while not self._lines("promoted"):
            yield from self._round()
        while not self._retrained_and_promoted():
            yield from self._round()
        yield from self._bad_candidate()
        yield from self._bad_champion()
        yield from self._round()

    def _bad_candidate(self) -> Iterator[str | None]:
        version = self._train_on_inverted_labels()
        yield from self._settle()
        self._move(version, Arm.CANARY, "push it past the gates, to show that its canary stops it")
        while not [line for line in self._lines("refused", version) if line.from_arm == Arm.CANARY]:
            yield from self._round()

    def _bad_champion(self) -> Iterator[str | None]:
        version = self._deployment.registry.versions(self._use_case.name)[-1]
        self._move(version, Arm.CHAMPION, "force it in, to show that the sensor rolls it back")
        while not self._lines("restored"):
            yield from self._round()

    def _round(self) -> Iterator[str | None]:
        """The feed's next step, then everything that the use case's sensors make of it."""
        feed = automation(self._use_case.domain, "feed")
        if not self._daemon.tick(feed) and self._landed() == self._dates.until:
            raise StoryEnded(f"the last day, {self._dates.until}, came before the story was told")
        yield self._landed()
        yield from self._settle()

    def _settle(self) -> Iterator[str | None]:
        for _ in range(MOST_ROUNDS):
            asked = [self._daemon.tick(automation(self._use_case, name)) for name in SENSORS]
            if not any(asked):
                return
            yield self._landed()

    def _landed(self) -> str | None:
        return last_day(self._daemon.instance, key(self._use_case.domain, DATASETS, "landing"))

    def _lines(self, kind: str, version: ModelVersion | None = None) -> list[Transition]:
        history = self._deployment.promotions.all(self._use_case.name)
        return [line for line in history if line.kind == kind and (version is None or line.version == version.version)]

    def _retrained_and_promoted(self) -> bool:
        return len(self._lines("promoted")) > 1

    def _train_on_inverted_labels(self) -> ModelVersion:
        model = key(self._use_case, MODELS, "model").to_python_identifier()
        because = f"a drill: {INVERTED_SHARE:.0%} of the training labels inverted on purpose"
        config = {"ops": {model: {"config": {"invert_label_share": INVERTED_SHARE, "because": because}}}}
        self._daemon.run(automation(self._use_case, TRAIN), self._landed(), config)
        return self._deployment.registry.versions(self._use_case.name)[-1]

    def _move(self, version: ModelVersion, arm: Arm, reason: str) -> None:
        """What ``mlops override`` and ``mlops promote`` do, with an operator's name and reason on record."""
        cause = Cause(id=f"demo/{version.version}/{arm}", day=self._landed() or "", by=OPERATOR, reason=reason)
        points = self._use_case.release.first_share if arm is Arm.CANARY else 0
        self._deployment.releases.enter(
            version.name, version.version, version.digest, arm, cause=cause, kind="override", basis_points=points
        )
        self._deployment.endpoint.wait_for(version.name, arm, version.digest, timeout=SERVER_SECONDS)
