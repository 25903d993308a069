"""What a sensor has heard of is read from its stored cursor; the feed waits for those that are behind."""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType, SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import DATASETS, MONITORING, RELEASES, key
from mlops_assets.automation.walk import Cursors, has_heard
from mlops_assets.definitions import build_defs
from mlops_assets.use_cases import USE_CASES

USE_CASE = USE_CASES[0]
DECISION = key(USE_CASE, MONITORING, "decision")
REMEDIATION = f"{USE_CASE.name}__remediation"


@dataclass
class Daemon:
    """An instance that keeps cursors, and the sensor's record in it as the daemon writes it."""

    instance: dg.DagsterInstance

    def __post_init__(self) -> None:
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="mlops_assets.definitions"))
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), REMEDIATION)
        self._state = InstigatorState(
            origin, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData()
        )

    def starts(self) -> None:
        self.instance.add_instigator_state(self._state)

    def ticks(self) -> None:
        cursors = Cursors(None)
        cursors.walk(self.instance, DECISION)
        self._state = self._state.with_data(SensorInstigatorData(cursor=cursors.text()))
        self.instance.update_instigator_state(self._state)

    def is_switched_off(self) -> None:
        self._state = self._state.with_status(InstigatorStatus.STOPPED)
        self.instance.update_instigator_state(self._state)

    def decided(self, day: str) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(DECISION, partition=day))

    @property
    def heard(self) -> bool:
        return has_heard(self.instance, REMEDIATION, [DECISION])


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with dg.instance_for_test() as instance:
        yield Daemon(instance)


def test_a_sensor_is_behind_until_it_ticks_after_the_newest_event(daemon: Daemon) -> None:
    daemon.starts()
    assert daemon.heard
    daemon.decided("2013-04-01")
    assert not daemon.heard
    daemon.ticks()
    assert daemon.heard
    daemon.decided("2013-04-02")
    assert not daemon.heard


def test_a_sensor_that_never_ran_or_was_switched_off_is_not_waited_for(daemon: Daemon) -> None:
    daemon.decided("2013-04-01")
    assert daemon.heard
    daemon.starts()
    assert not daemon.heard
    daemon.is_switched_off()
    assert daemon.heard


def test_the_next_day_waits_until_the_last_one_was_answered(daemon: Daemon) -> None:
    definitions = build_defs(settings=Settings(live_from="2013-04-01", feed_until="2013-04-03"))
    feed = definitions.get_sensor_def("flights__feed")
    for asset, day in (("airports", None), ("landing", "2013-04-01")):
        event = dg.AssetMaterialization(key(USE_CASE.domain, DATASETS, asset), partition=day)
        daemon.instance.report_runless_asset_event(event)
    champion = dg.AssetMaterialization(key(USE_CASE, RELEASES, "champion"), partition="2013-03-31")
    daemon.instance.report_runless_asset_event(champion)
    daemon.starts()
    daemon.decided("2013-04-01")
    tick = feed.evaluate_tick(dg.build_sensor_context(instance=daemon.instance, definitions=definitions))
    assert tick.run_requests == []
    assert tick.skip_message == f"{REMEDIATION} has not looked at the last day yet: the next one waits for it"
    daemon.ticks()
    tick = feed.evaluate_tick(dg.build_sensor_context(instance=daemon.instance, definitions=definitions))
    assert [request.partition_key for request in tick.run_requests or []] == ["2013-04-02"]
