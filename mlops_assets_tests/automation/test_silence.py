"""The dead-man's sensor on real records of Dagster: told once, over when it is over."""

import functools
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.adapters.alerts import Severity, open_alerts
from mlops_assets.adapters.endpoint import EndpointDown, MemoryEndpoint
from mlops_assets.adapters.releases import Cause
from mlops_assets.adapters.settings import Settings
from mlops_assets.assets.address import DATASETS, RELEASES, automation, key
from mlops_assets.automation.jobs import DAY
from mlops_assets.automation.signs import heartbeat
from mlops_assets.automation.silence import Remembered, silence_sensor
from mlops_assets.contracts import to_json
from mlops_assets.definitions import build_defs
from mlops_assets.ml.silence import FAILED_TICKS, SENSOR_S, SERVER_S
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.automation.conftest import Parts

USE_CASE = USE_CASES[0]
DOMAIN = USE_CASE.domain
REMEDIATION = automation(USE_CASE, "remediation")
LIVE = "2013-04-01"
BOOK = "docs/runbooks/silence.md"


SETTINGS = Settings(live_from=LIVE, feed_until="2013-04-30")


@functools.cache
def definitions() -> dg.Definitions:
    """Read by every test, changed by none."""
    return build_defs(settings=SETTINGS)


class Server(MemoryEndpoint):
    """A server that is down when a test says so."""

    down = False

    def status(self, model):
        if self.down:
            raise EndpointDown("the model server does not answer")
        return super().status(model)


class Watched:
    """An instance with a champion and landed days, the sensor's ticks on it, and a clock that a test moves."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.parts, self.now = instance, Parts(), time.time()
        self.parts.endpoint = Server(self.parts.registry)
        self.parts.enthrone(USE_CASE, 1)
        self._definitions = definitions()
        self._sensor = silence_sensor(SETTINGS, USE_CASES, lambda: self.now)
        self._cursor: str | None = None
        self.made(key(USE_CASE, RELEASES, "champion"), "2013-03-31")

    def made(self, asset: dg.AssetKey, *days: str) -> None:
        for day in days:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=day))

    def landed(self, *days: str, but: str = "") -> None:
        """Days with all that comes with them, apart from one asset."""
        job = self._definitions.resolve_job_def(automation(DOMAIN, DAY))
        for asset in job.asset_layer.selected_asset_keys:
            self.made(asset, *(() if asset.to_user_string() == but else days))

    def tick(self, after_s: float = 0.0) -> str:
        self.now += after_s
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self._cursor, definitions=self._definitions, resources=vars(self.parts)
        )
        found = self._sensor.evaluate_tick(context)
        self._cursor = found.cursor
        return found.skip_message or ""

    def has_looked_until_now(self) -> None:
        """As if it had ticked all the time."""
        self._cursor = to_json(Remembered(awake_since=0.0, looked_at=self.now))

    def sensor(self, ago_s: float, status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE) -> InstigatorState:
        """The record of the remediation sensor, as the daemon writes it."""
        location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="mlops_assets.definitions"))
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), REMEDIATION)
        data = SensorInstigatorData(last_tick_timestamp=self.now - ago_s)
        state = InstigatorState(origin, InstigatorType.SENSOR, status, data)
        known = self.instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
        (self.instance.update_instigator_state if known else self.instance.add_instigator_state)(state)
        return state

    def ticked(self, state: InstigatorState, status: TickStatus, error: str = "") -> None:
        """One tick of the sensor in Dagster's records."""
        self.instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=state.name,
                instigator_type=InstigatorType.SENSOR,
                status=status,
                timestamp=time.time(),
                selector_id=state.selector_id,
                error=SerializableErrorInfo(error, [], None) if error else None,
            )
        )

    @property
    def open(self) -> dict[str, str]:
        """Key -> text of what people were told and is not over."""
        return {key: alert.text for key, alert in open_alerts(self.parts.alerts.sent()).items()}


@pytest.fixture
def watched() -> Iterator[Watched]:
    with dg.instance_for_test() as instance:
        yield Watched(instance)


def test_a_system_in_which_all_speak_says_so_and_tells_nobody(watched: Watched) -> None:
    watched.landed("2013-04-01", "2013-04-02")
    watched.sensor(ago_s=3.0)
    assert watched.tick() == "everything speaks that should"
    assert watched.parts.alerts.sent() == []


def test_before_the_first_champion_nobody_needs_to_answer(watched: Watched) -> None:
    watched.instance.wipe_assets([key(USE_CASE, RELEASES, "champion")])
    watched.parts.endpoint.down = watched.parts.registry.down = True
    watched.tick()
    assert watched.tick(after_s=SERVER_S) == "everything speaks that should"


def test_a_server_that_stays_silent_is_told_once_with_its_runbook_and_when_it_is_back(watched: Watched) -> None:
    watched.parts.endpoint.down = True
    assert watched.tick() == "everything speaks that should"
    for _ in range(3):
        reason = watched.tick(after_s=SERVER_S / 2)
    assert "the model server is silent: for 90 s: the model server does not answer" in reason
    assert reason.endswith(f"runbook: {BOOK}")
    (told,) = watched.parts.alerts.sent()
    assert (told.key, told.severity) == ("silence/server/model server", Severity.CRITICAL)
    assert told.links["runbook"] == BOOK
    watched.parts.endpoint.down = False
    watched.tick(after_s=30)
    assert watched.open == {}
    assert watched.parts.alerts.sent()[-1].title == "Over: the model server is silent"


def test_a_server_that_was_down_for_a_moment_is_not_told(watched: Watched) -> None:
    watched.parts.endpoint.down = True
    watched.tick()
    watched.parts.endpoint.down = False
    watched.tick(after_s=SERVER_S)
    watched.parts.endpoint.down = True
    watched.tick(after_s=30)
    watched.tick(after_s=30)
    assert watched.open == {}


def test_a_server_that_answers_and_serves_nothing_is_silent_too(watched: Watched) -> None:
    watched.parts.endpoint = Server(watched.parts.registry)
    watched.parts.endpoint.refuse(watched.parts.registry.version(USE_CASE.name, 1).digest)
    watched.tick()
    watched.tick(after_s=SERVER_S)
    assert "not ready to answer for arrival_delay" in watched.open["silence/server/model server"]


def test_a_server_that_answers_and_refuses_a_version_is_told_with_the_runbook_of_its_problems(watched: Watched) -> None:
    watched.tick()
    refused = watched.parts.enthrone(USE_CASE, 2)
    watched.parts.endpoint.refuse(refused)
    watched.tick()
    reason = watched.tick(after_s=SERVER_S)
    assert watched.parts.champion(USE_CASE) == 1
    assert list(watched.open) == ["silence/trouble"]
    assert "champion version 2 is not served" in watched.open["silence/trouble"]
    assert reason.endswith("runbook: docs/runbooks/server_problem.md")
    assert watched.parts.alerts.sent()[-1].links["runbook"] == "docs/runbooks/server_problem.md"
    watched.parts.releases.roll_back(USE_CASE.name, cause=Cause(id="back", day=LIVE, by="operator:test", reason="test"))
    watched.tick(after_s=30)
    assert watched.open == {}


def test_a_silent_registry_is_told(watched: Watched) -> None:
    watched.parts.registry.down = True
    watched.parts.endpoint = Server(Parts().registry)
    watched.tick()
    watched.tick(after_s=SERVER_S)
    assert "the model registry at http://127.0.0.1:1 does not answer" in watched.open["silence/server/registry"]


def test_a_day_that_landed_and_was_never_decided_is_told_until_it_is(watched: Watched) -> None:
    decision = f"{USE_CASE.name}/monitoring/decision"
    watched.landed("2013-04-01", "2013-04-02")
    watched.landed("2013-04-03", but=decision)
    watched.tick()
    assert f"{decision} lacks 2013-04-03" in watched.open["silence/partitions/flights"]
    watched.landed("2013-04-04")
    watched.tick(after_s=30)
    assert "silence/partitions/flights" in watched.open
    watched.landed("2013-04-03")
    watched.tick(after_s=30)
    assert watched.open == {}


def test_partitions_that_a_run_may_be_making_are_not_judged(watched: Watched) -> None:
    watched.landed("2013-04-01", but=f"{USE_CASE.name}/monitoring/decision")
    create_run_for_test(watched.instance, automation(DOMAIN, DAY), status=dg.DagsterRunStatus.STARTED)
    assert watched.tick() == "everything speaks that should"


def test_history_that_landed_as_a_range_is_not_asked_for_monitors(watched: Watched) -> None:
    watched.made(key(DOMAIN, DATASETS, "landing"), "2013-03-30", "2013-03-31")
    assert watched.tick() == "everything speaks that should"


def test_a_calendar_in_which_nothing_lands_any_more_is_told(watched: Watched) -> None:
    watched.landed("2013-04-01")
    watched.now += 27 * 3600
    watched.has_looked_until_now()
    watched.tick()
    assert "nothing has landed for 27 h; the last day is 2013-04-01" in watched.open["silence/landing/flights"]


def test_a_sensor_that_stopped_ticking_is_told(watched: Watched) -> None:
    watched.sensor(ago_s=3.0)
    watched.tick()
    for _ in range(5):
        watched.tick(after_s=SENSOR_S / 4)
    assert "it should every 3 s" in watched.open[f"silence/sensor/{REMEDIATION}"]
    watched.sensor(ago_s=1.0)
    watched.tick(after_s=5)
    assert watched.open == {}


def test_after_a_night_in_which_nothing_was_on_nobody_is_told(watched: Watched) -> None:
    watched.sensor(ago_s=3.0)
    watched.parts.endpoint.down = True
    watched.tick()
    assert watched.tick(after_s=9 * 3600) == "everything speaks that should"


def test_ticks_that_fail_one_after_the_other_are_told_with_their_error(watched: Watched) -> None:
    state = watched.sensor(ago_s=3.0)
    for _ in range(FAILED_TICKS - 1):
        watched.ticked(state, TickStatus.FAILURE, "the disk is full")
    assert watched.tick() == "everything speaks that should"
    watched.ticked(state, TickStatus.FAILURE, "the disk is full")
    watched.tick()
    assert "3 ticks failed one after the other" in watched.open[f"silence/sensor/{REMEDIATION}"]
    assert "the disk is full" in watched.open[f"silence/sensor/{REMEDIATION}"]
    watched.ticked(state, TickStatus.SKIPPED)
    watched.tick()
    assert watched.open == {}


def test_a_remediation_that_a_person_switched_off_is_a_warning_and_no_silence(watched: Watched) -> None:
    watched.sensor(ago_s=9 * 3600.0, status=InstigatorStatus.STOPPED)
    watched.tick()
    (told,) = watched.parts.alerts.sent()
    assert (told.key, told.severity) == (f"silence/sensor/{REMEDIATION}/off", Severity.WARNING)


def test_a_daemon_is_as_alive_as_the_part_that_was_heard_last(watched: Watched) -> None:
    assert heartbeat(watched.instance) is None
    for part, at in (("SENSOR", 100.0), ("QUEUED_RUN_COORDINATOR", 90.0), ("BACKFILL", 1.0)):
        watched.instance.add_daemon_heartbeat(DaemonHeartbeat(at, part, "one"))
    assert heartbeat(watched.instance) == 90.0
