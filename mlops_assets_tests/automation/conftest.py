"""Ticks of sensors on an ephemeral instance."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.settings import Settings
from mlops_assets.definitions import build_defs
from mlops_assets.use_cases import USE_CASES


class Stage:
    """An instance on which a test reports what happened, and ticks a sensor as the daemon would."""

    def __init__(self, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
        self.instance = instance
        self._definitions = definitions
        self.cursor: str | None = None

    def happened(self, key: dg.AssetKey, day: str | None = None, **metadata: Any) -> None:
        event = dg.AssetMaterialization(key, partition=day, metadata=metadata)
        self.instance.report_runless_asset_event(event)

    def tick(self, name: str) -> tuple[list[dg.RunRequest], str]:
        """The requests of one tick and the reason it gave for none."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self._definitions)
        found = self._definitions.get_sensor_def(name).evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.run_requests or []), found.skip_message or ""


@pytest.fixture
def stage() -> Iterator[Stage]:
    settings = Settings(live_from="2013-04-01", feed_until="2013-04-03")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Stage(instance, build_defs(settings=settings))


@pytest.fixture
def use_case():
    return USE_CASES[0]
