"""The sensor that tells people: failed runs, failed checks, and when they are over; each once."""

import time
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from mlops_assets.adapters.alerts import MemoryAlerts, Severity, open_alerts
from mlops_assets.adapters.notifications import Notifier
from mlops_assets.adapters.settings import Settings
from mlops_assets.automation.alerts import alerts_sensor

DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2013-02-01")


@pytest.fixture(params=["ephemeral", "local"])
def stage(request, tmp_path: Path):
    """An instance (a local one shards its log by run), a job that fails when it is told to, and the sensor's ticks."""
    broken: dict[str, bool] = {"run": False, "check": False, "quiet": False}

    @dg.asset(
        partitions_def=DAYS,
        check_specs=[dg.AssetCheckSpec(name, asset="weather") for name in ("complete", "is_quiet")],
    )
    def weather():
        if broken["run"]:
            raise ValueError("the feed is cut off")
        checks = [
            dg.AssetCheckResult(
                passed=not broken["check"], check_name="complete", metadata={"reason": "two hours are missing"}
            ),
            dg.AssetCheckResult(passed=not broken["quiet"], check_name="is_quiet"),
        ]
        return dg.MaterializeResult(check_results=checks)

    job = dg.define_asset_job("land", selection=["weather"], partitions_def=DAYS)
    definitions = dg.Definitions(assets=[weather], jobs=[job])
    alerts, brought = MemoryAlerts(), []
    notifier = Notifier(
        alerts, tmp_path / "reached.json", ["made://up"], send=lambda _, alert: not brought.append(alert)
    )
    sensor = alerts_sensor(Settings(ui_url="http://127.0.0.1:3000"))
    local = request.param == "local"
    made = dg.DagsterInstance.local_temp(str(tmp_path)) if local else dg.DagsterInstance.ephemeral()
    with made as instance:
        state = SimpleNamespace(alerts=alerts, brought=brought, broken=broken, cursor=None, instance=instance)

        def land(day: str = "2013-01-05") -> None:
            definitions.resolve_job_def("land").execute_in_process(
                instance=instance, partition_key=day, raise_on_error=False
            )

        def tick() -> str:
            resources = {"alerts": alerts, "notifier": notifier}
            context = dg.build_sensor_context(instance=instance, cursor=state.cursor, resources=resources)
            found = sensor.evaluate_tick(context)
            state.cursor = found.cursor
            return found.skip_message or ""

        state.land, state.tick = land, tick
        yield state


def test_a_quiet_system_tells_nobody(stage):
    stage.land()
    assert stage.tick() == "0 new alerts, 0 delivered"


def test_a_failed_run_is_told_with_its_partition_and_link_until_it_succeeds(stage):
    stage.broken["run"] = True
    stage.land()
    stage.land("2013-01-06")
    assert stage.tick() == "2 new alerts, 2 delivered"
    first, second = stage.brought
    assert (first.key, first.severity) == ("run/land/2013-01-05", Severity.CRITICAL)
    assert first.title == "land 2013-01-05: the run failed"
    assert first.links["run"].startswith("http://127.0.0.1:3000/runs/")
    assert second.key == "run/land/2013-01-06"
    stage.land()
    assert stage.tick() == "0 new alerts, 0 delivered"
    stage.broken["run"] = False
    stage.land()
    stage.tick()
    assert [alert.title for alert in stage.brought[2:]] == ["Over: land 2013-01-05: the run failed"]
    assert list(open_alerts(stage.alerts.sent())) == ["run/land/2013-01-06"]


def test_a_failed_check_is_told_until_it_passes(stage):
    stage.broken["check"] = True
    stage.land()
    stage.tick()
    (told,) = stage.brought
    assert told.key == "check/weather/complete/2013-01-05"
    assert (told.severity, told.text) == (Severity.CRITICAL, "two hours are missing")
    assert told.links["asset"] == "http://127.0.0.1:3000/assets/weather?view=checks"
    stage.broken["check"] = False
    stage.land()
    stage.tick()
    assert stage.brought[1].resolves == told.key


def test_the_alarm_of_one_monitor_on_one_day_is_no_alert(stage):
    stage.broken["quiet"] = True
    stage.land()
    assert stage.tick() == "0 new alerts, 0 delivered"


def test_a_hundred_failures_between_two_ticks_are_all_told(stage, monkeypatch):
    monkeypatch.setattr("mlops_assets.automation.alerts.EVENTS_PER_TICK", 7)
    stage.broken["run"] = True
    days = [f"2013-01-{day:02d}" for day in range(1, 31)]
    for day in days:
        stage.land(day)
    for _ in range(10):
        stage.tick()
    assert sorted(alert.key for alert in stage.alerts.sent()) == [f"run/land/{day}" for day in days]


def test_what_failed_and_succeeded_between_two_ticks_is_over(stage):
    stage.broken["run"] = True
    stage.land()
    stage.broken["run"] = False
    stage.land()
    stage.tick()
    assert open_alerts(stage.alerts.sent()) == {}


def test_a_sensor_that_is_new_on_an_old_instance_tells_no_old_stories(stage, monkeypatch):
    stage.broken["run"] = stage.broken["check"] = True
    stage.land()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 24 * 3600)
    assert stage.tick() == "0 new alerts, 0 delivered"
