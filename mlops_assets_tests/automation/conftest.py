"""Ticks of sensors on an ephemeral instance, with parts in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from mlops_assets.adapters.alerts import MemoryAlerts
from mlops_assets.adapters.artifacts import MemoryArtifacts
from mlops_assets.adapters.endpoint import MemoryEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.registry import RegisteredModel, RegistryUnavailable
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import MONITORING, key
from mlops_assets.assets.files import put_decision
from mlops_assets.automation.walk import RUN_KEY
from mlops_assets.contracts import Action, Arm, Decision, ModelVersion, UseCase
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.use_cases import USE_CASES

REGISTERED_ON = "2013-03-31"


class FailingRegistry(MemoryRegistry):
    """A registry that is silent while ``down``, and while ``mute`` answers questions and moves nothing."""

    down = mute = False

    def model(self, name: str) -> RegisteredModel:
        self._answer(self.down)
        return super().model(name)

    def versions(self, name: str) -> list[ModelVersion]:
        self._answer(self.down)
        return super().versions(name)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        self._answer(self.down or self.mute)
        super().set_alias(name, alias, version)

    def _answer(self, silent: bool) -> None:
        if silent:
            raise RegistryUnavailable("http://127.0.0.1:1", "connection refused")


@dataclass
class Parts:
    """What sensors reach, in memory: a registry with nothing in it, a server that follows it."""

    registry: FailingRegistry = field(default_factory=FailingRegistry)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    alerts: MemoryAlerts = field(default_factory=MemoryAlerts)

    def __post_init__(self) -> None:
        self.promotions = Promotions(MemoryTables())
        self.releases = Releases(self.registry, self.promotions)
        self.endpoint = MemoryEndpoint(self.registry)

    def enthrone(self, use_case: UseCase, version: int) -> str:
        """Register the next version, which must get this number, and make it champion; its digest."""
        bundle = {"model.txt": b"bytes %d" % version}
        digest = bundle_digest(bundle)
        self.registry.register(use_case.name, f"run-{version}", bundle, {}, digest, {"cutoff_day": REGISTERED_ON})
        cause = Cause(id=f"enthrone/{version}", day=REGISTERED_ON, by="operator:test", reason="to set the stage")
        self.releases.enter(use_case.name, version, digest, Arm.CHAMPION, cause=cause, kind="override")
        return digest

    def champion(self, use_case: UseCase) -> int | None:
        """The version that the server answers with."""
        held = self.endpoint.status(use_case.name).arm(Arm.CHAMPION)
        return held.version if held else None


class Stage:
    """An instance on which a test reports what happened, and ticks a sensor as the daemon would."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions, parts: Parts) -> None:
        self.instance = instance
        self._definitions = definitions
        self.parts = parts
        self.cursor: str | None = None
        self.observed: list[dg.AssetObservation] = []

    def happened(self, key: dg.AssetKey, day: str | None = None, **metadata: Any) -> None:
        event = dg.AssetMaterialization(key, partition=day, metadata=metadata)
        self.instance.report_runless_asset_event(event)

    def decided(
        self, use_case: UseCase, day: str, action: str, version: int = 1, target: int | None = None, reason: str = ""
    ) -> None:
        """As the asset does it: the decision on record, then the event."""
        reason = reason or f"because of {day}"
        made = Decision(day=day, action=Action(action), reason=reason, version=version, target_version=target)
        put_decision(self.parts.artifacts, use_case, made)
        self.happened(key(use_case, MONITORING, "decision"), day, action=action, reason=reason, version=version)

    def tick(self, name: str) -> tuple[Sequence[dg.RunRequest], str]:
        """The requests of one tick and the reason it gave for none; what it requests is done at once."""
        found = self.killed_tick(name)
        self.cursor = found.cursor
        self.observed += [event for event in found.asset_events if isinstance(event, dg.AssetObservation)]
        for request in found.run_requests or []:
            tags = {**request.tags, RUN_KEY: request.run_key or ""}
            create_run_for_test(self.instance, request.job_name or "", tags=tags, status=dg.DagsterRunStatus.SUCCESS)
        return list(found.run_requests or []), found.skip_message or ""

    def killed_tick(self, name: str) -> Any:
        """A tick whose daemon dies before it has kept or requested anything."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self._definitions, resources=vars(self.parts)
        )
        return self._definitions.get_sensor_def(name).evaluate_tick(context)


@pytest.fixture
def stage() -> Iterator[Stage]:
    settings = Settings(live_from="2013-04-01", feed_until="2013-04-03", runbooks="https://wiki.example/books")
    parts = Parts()
    with dg.DagsterInstance.ephemeral() as instance:
        yield Stage(instance, build_defs(settings=settings), parts)


@pytest.fixture
def use_case():
    return USE_CASES[0]
