"""Alerts are told once."""

from pathlib import Path

import pytest

from mlops_assets.adapters.alerts import Alerts, LogAlerts, MemoryAlerts, Severity


@pytest.fixture(params=["memory", "log"])
def alerts(request: pytest.FixtureRequest, tmp_path: Path) -> Alerts:
    return MemoryAlerts() if request.param == "memory" else LogAlerts(tmp_path / "deep" / "alerts.jsonl")


def test_nothing_was_told_at_first(alerts: Alerts) -> None:
    assert alerts.sent() == []


def test_the_same_key_is_told_once(alerts: Alerts) -> None:
    assert alerts.alert("rollback/1", Severity.CRITICAL, "Rolled back", "to version 1", {"run": "http://127.0.0.1/1"})
    assert not alerts.alert("rollback/1", Severity.CRITICAL, "Rolled back")
    assert alerts.alert("rollback/2", Severity.WARNING, "Rolled back again")
    first, second = alerts.sent()
    assert (first.key, first.severity, first.text) == ("rollback/1", Severity.CRITICAL, "to version 1")
    assert first.links == {"run": "http://127.0.0.1/1"}
    assert second.title == "Rolled back again"


def test_an_unknown_severity_is_refused(alerts: Alerts) -> None:
    with pytest.raises(ValueError, match="loud"):
        alerts.alert("key", "loud", "title")  # pyright: ignore[reportArgumentType]


def test_another_process_knows_what_was_told(tmp_path: Path) -> None:
    LogAlerts(tmp_path / "alerts.jsonl").alert("key", Severity.INFO, "title\nof two lines")
    assert not LogAlerts(tmp_path / "alerts.jsonl").alert("key", Severity.INFO, "title")


def test_half_a_line_left_by_a_killed_writer_does_not_silence_the_next(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_text('{"key": "ha')
    assert LogAlerts(path).alert("key", Severity.INFO, "title")
    assert [alert.key for alert in LogAlerts(path).sent()] == ["key"]


def test_what_is_over_is_told_once_and_may_come_back(alerts: Alerts) -> None:
    assert not alerts.resolve("check", "never was")
    assert alerts.alert("check", Severity.WARNING, "It failed", "", {"asset": "http://127.0.0.1/a"})
    assert alerts.resolve("check", "it passes")
    assert not alerts.resolve("check", "it passes")
    assert alerts.alert("check", Severity.WARNING, "It failed")
    assert not alerts.alert("check", Severity.WARNING, "It failed")
    failed, over, again = alerts.sent()
    assert (over.title, over.severity, over.resolves) == ("Over: It failed", Severity.INFO, "check")
    assert over.links == failed.links
    assert (again.key, again.resolves) == ("check", "")
