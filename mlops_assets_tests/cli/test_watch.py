"""``mlops watch`` from outside: fails when the daemon is dead, tells people itself, and says when it is over."""

import json
import time

import pytest
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.adapters.alerts import open_alerts
from mlops_assets.adapters.notifications import Notifier
from mlops_assets.automation.signs import BEATING
from mlops_assets.cli.watch import instance_of
from mlops_assets.ml.silence import DAEMON_S
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into


@pytest.fixture
def here(twins, tmp_path, monkeypatch):
    """A deployment on which nothing has happened, with an instance of its own and somebody who is told."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    here = deployment_of(twins, settings_of(tmp_path))
    brought = []
    vars(here)["notifier"] = Notifier(
        here.alerts, tmp_path / "reached.json", ["made://up"], send=lambda _, alert: not brought.append(alert)
    )
    here.settings.state.mkdir(parents=True)
    vars(here)["brought"] = brought
    return here


def beat(here, ago_s):
    with instance_of(here) as instance:
        for part in BEATING:
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago_s, part, "one"))


def test_a_dead_daemon_fails_the_command_and_people_are_told_without_any_sensor(here):
    mlops = typed_into(here)
    beat(here, ago_s=DAEMON_S + 60)
    done = mlops("watch", "--patience", 0)
    assert done.exit_code == 1
    assert "critical  Dagster's daemon is silent: its last heartbeat is 3 min old" in done.stdout
    assert [alert.key for alert in vars(here)["brought"]] == ["silence/daemon"]
    assert vars(here)["brought"][0].links["runbook"] == "docs/runbooks/silence.md"
    assert mlops("watch", "--patience", 0).exit_code == 1
    assert len(vars(here)["brought"]) == 1
    beat(here, ago_s=5)
    done = mlops("watch", "--patience", 0)
    assert (done.exit_code, done.stdout.strip()) == (0, "everything speaks that should")
    assert open_alerts(here.alerts.sent()) == {}
    assert vars(here)["brought"][-1].title == "Over: Dagster's daemon is silent"


def test_a_state_on_which_dagster_never_ran_is_not_taken_for_a_healthy_one(here):
    done = typed_into(here)("watch", "--patience", 0)
    assert done.exit_code == 1
    assert "it has left no heartbeat" in done.stdout
    assert json.loads(typed_into(here)("alerts", "--json").stdout)[0]["key"] == "silence/daemon"
