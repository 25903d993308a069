"""``mlops alerts``: what people were told, and whether they can be told."""

import json

import pytest

from mlops_assets.adapters.alerts import Alerts, LogAlerts, Severity
from mlops_assets_tests.cli.conftest import deployment_of, settings_of, typed_into


@pytest.fixture
def told(tmp_path) -> Alerts:
    alerts = LogAlerts(tmp_path / "alerts.jsonl")
    alerts.alert("a", Severity.CRITICAL, "A broke", "two\nlines", {"run": "http://127.0.0.1:3000/runs/1"})
    alerts.alert("b", Severity.WARNING, "B broke")
    alerts.resolve("b", "it works")
    return alerts


@pytest.fixture
def mlops(lived, told, tmp_path):
    here = deployment_of(lived, settings_of(tmp_path))
    vars(here)["alerts"] = told
    return typed_into(here)


def test_what_is_open_is_listed_with_its_links(mlops):
    text = mlops("alerts").stdout
    assert "critical  A broke\n    two lines\n    run: http://127.0.0.1:3000/runs/1" in text
    assert "B broke" not in text


def test_all_of_it_is_listed_when_asked_for(mlops):
    told = json.loads(mlops("alerts", "--all", "--json").stdout)
    assert [(alert["title"], alert["resolves"]) for alert in told] == [
        ("A broke", ""),
        ("B broke", ""),
        ("Over: B broke", "b"),
    ]


def test_a_quiet_system_says_so(mlops, told):
    told.resolve("a")
    assert mlops("alerts").stdout == "nothing is open\n"


def test_addresses_can_be_tried(lived, tmp_path):
    nobody = typed_into(deployment_of(lived, settings_of(tmp_path)))("alerts", "--try")
    assert nobody.exit_code != 0
    assert "MLOPS_ALERT_ADDRESSES" in nobody.output
    silent = settings_of(tmp_path, alert_addresses=("json://127.0.0.1:9/secret",))
    tried = typed_into(deployment_of(lived, silent))("alerts", "--try")
    assert tried.exit_code == 1
    assert tried.stdout == "address 1 (json): did not take it\n"
