"""Silence is told, each cause once; what is switched off, at its end, or only just awake is none."""

from dataclasses import replace

import pytest

from mlops_assets.ml.silence import (
    DAEMON_S,
    FAILED_TICKS,
    SENSOR_S,
    SERVER_S,
    TROUBLE,
    CalendarSigns,
    SensorSigns,
    ServerSigns,
    Signs,
    over,
    silences,
)

NOW = 1_800_000_000.0
HOUR = 3600.0
SENSOR = SensorSigns(name="arrival_delay__remediation", on=True, interval_s=3.0, ticked_at=NOW - 4, guards=True)
CALENDAR = CalendarSigns(owner="flights", landed="2013-04-05", landed_at=NOW - HOUR, ends="2013-12-31")
WELL = Signs(
    now=NOW,
    from_outside=True,
    beat_at=NOW - 20,
    sensors=(SENSOR,),
    calendars=(CALENDAR,),
    servers=(ServerSigns(name="registry"), ServerSigns(name="model server")),
)


def keys(signs):
    return [silence.key for silence in silences(signs)]


def with_sensor(**changed):
    return replace(WELL, sensors=(replace(SENSOR, **changed),))


def with_calendar(**changed):
    return replace(WELL, calendars=(replace(CALENDAR, **changed),))


def test_a_system_in_which_all_speak_is_told_nothing_of():
    assert silences(WELL) == []


def test_a_daemon_without_a_heartbeat_is_silent_and_its_sensors_are_not_told_one_by_one():
    dead = replace(with_sensor(ticked_at=NOW - HOUR), beat_at=NOW - DAEMON_S - 1)
    (silence,) = silences(dead)
    assert (silence.key, silence.critical) == ("silence/daemon", True)
    assert "its last heartbeat is 2 min old" in silence.text
    assert keys(replace(dead, beat_at=None)) == ["silence/daemon"]
    assert "names other places" not in silence.text
    assert "name other places" in silences(replace(dead, beat_at=None))[0].text


def test_a_sensor_that_looks_does_not_ask_whether_the_daemon_lives():
    assert keys(replace(WELL, from_outside=False, beat_at=None)) == []


def test_a_sensor_that_does_not_tick_is_silent_after_two_minutes_and_not_before():
    assert keys(with_sensor(ticked_at=NOW - SENSOR_S)) == []
    (silence,) = silences(with_sensor(ticked_at=NOW - SENSOR_S - 1))
    assert silence.key == "silence/sensor/arrival_delay__remediation"
    assert "it should every 3 s" in silence.text


def test_a_slow_sensor_is_given_ten_of_its_intervals():
    assert keys(with_sensor(interval_s=60.0, ticked_at=NOW - 599)) == []
    assert keys(with_sensor(interval_s=60.0, ticked_at=NOW - 601)) != []


def test_a_night_in_which_nothing_was_on_is_no_silence():
    assert keys(replace(with_sensor(ticked_at=NOW - 9 * HOUR), awake_since=NOW - 5)) == []
    assert keys(replace(with_calendar(landed_at=NOW - 90 * HOUR), awake_since=NOW - 5)) == []


def test_a_sensor_that_never_ticked_is_not_judged():
    assert keys(with_sensor(ticked_at=None)) == []


def test_ticks_that_fail_in_a_row_are_told_with_the_last_error_and_a_single_one_is_not():
    assert keys(with_sensor(failed_ticks=FAILED_TICKS - 1)) == []
    (silence,) = silences(with_sensor(failed_ticks=FAILED_TICKS, error="ValueError: no"))
    assert silence.title == "the sensor arrival_delay__remediation fails"
    assert "ValueError: no" in silence.text


def test_a_sensor_that_a_person_switched_off_is_not_silent_and_a_guard_is_a_warning():
    (silence,) = silences(with_sensor(on=False, ticked_at=NOW - 9 * HOUR))
    assert (silence.key, silence.critical) == ("silence/sensor/arrival_delay__remediation/off", False)
    assert silences(with_sensor(on=False, guards=False, ticked_at=NOW - 9 * HOUR)) == []


def test_a_calendar_without_a_new_day_is_silent_after_its_patience():
    assert keys(with_calendar(landed_at=NOW - 26 * HOUR)) == []
    (silence,) = silences(with_calendar(landed_at=NOW - 26 * HOUR - 1))
    assert silence.key == "silence/landing/flights"
    assert "the last day is 2013-04-05" in silence.text


@pytest.mark.parametrize("meant", [{"ends": "2013-04-05"}, {"ends": "2013-04-04"}, {"fed": False}])
def test_a_calendar_at_its_planned_end_or_switched_off_is_not_silent(meant):
    assert keys(with_calendar(landed_at=NOW - 90 * HOUR, **meant)) == []


def test_an_open_ended_calendar_has_no_end_to_be_quiet_at():
    assert keys(with_calendar(landed_at=NOW - 90 * HOUR, ends=None)) == ["silence/landing/flights"]


def test_days_that_landed_and_went_no_further_are_told_by_asset():
    lacks = {"arrival_delay/monitoring/decision": ("2013-04-04", "2013-04-05")}
    (silence,) = silences(with_calendar(missing=lacks))
    assert silence.key == "silence/partitions/flights"
    assert "arrival_delay/monitoring/decision lacks 2013-04-04, 2013-04-05" in silence.text


def test_a_server_is_given_a_minute():
    silent = ServerSigns(name="model server", problem="connection refused", since=NOW - SERVER_S + 1)
    assert keys(replace(WELL, servers=(silent,))) == []
    (silence,) = silences(replace(WELL, servers=(replace(silent, since=NOW - SERVER_S),)))
    assert (silence.title, silence.text) == ("the model server is silent", "for 60 s: connection refused")


def test_a_server_that_answers_and_has_a_problem_is_told_with_a_runbook_of_its_own():
    troubled = ServerSigns(name=TROUBLE, problem="champion version 2 is not served", since=NOW - SERVER_S + 1)
    assert keys(replace(WELL, servers=(troubled,))) == []
    (told,) = silences(replace(WELL, servers=(replace(troubled, since=NOW - SERVER_S),)))
    assert (told.key, told.title, told.runbook) == (
        "silence/trouble",
        "the model server has a problem",
        "server_problem",
    )
    assert told.text == "for 60 s: champion version 2 is not served"
    assert over(WELL, ["silence/trouble"]) == ["silence/trouble"]


def test_what_speaks_again_is_over_and_alerts_of_others_are_left_alone():
    told = ["silence/daemon", "silence/server/registry", "silence/landing/flights", "arrival_delay/2013-04-05/hold"]
    still = with_calendar(landed_at=NOW - 90 * HOUR)
    assert over(still, told) == ["silence/daemon", "silence/server/registry"]


def test_what_cannot_be_judged_now_is_not_over():
    told = ["silence/partitions/flights", "silence/sensor/arrival_delay__remediation", "silence/server/registry"]
    assert over(replace(with_calendar(missing=None), beat_at=None), told) == ["silence/server/registry"]
    assert over(WELL, told) == told
