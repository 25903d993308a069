"""Every malformed request is refused before anything is predicted, by the name of the field, with a remedy."""

import datetime as dt
import json
import zoneinfo

import pytest

from mlops_assets.ml.bundles import RequestField
from mlops_assets.serving.refusal import Refusal
from mlops_assets.serving.validation import RequestForm, parse_envelope, parse_rows

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
FIELDS = (
    RequestField("flight_id", "string", "Identifies the flight."),
    RequestField("distance", "number", "Miles.", 0, 6000),
    RequestField("sched_dep_minute", "integer", "Local minutes after midnight.", 0, 1439),
)
ROW = {"flight_id": "f1", "distance": 1400.5, "sched_dep_minute": 600, "event_time": "2013-04-01T12:00:00Z"}


def parse(body: str | bytes, max_rows: int = 3):
    form = RequestForm("flight_id", FIELDS)
    envelope = parse_envelope(body if isinstance(body, bytes) else body.encode())
    return parse_rows(envelope, form, NEW_YORK, max_rows)


def body(*rows: dict, **outside: object) -> str:
    return json.dumps({"model": "m", "rows": list(rows)} | outside)


def without(name: str) -> dict:
    return {key: value for key, value in ROW.items() if key != name}


BAD = {
    "empty body": ("", 400, "body", "truncated"),
    "not json": ("{rows: 1}", 400, "body", "malformed"),
    "cut off": (body(ROW)[:-3], 400, "body", "truncated"),
    "not utf-8": (b'{"model": "\xff", "rows": []}', 400, "body", "valid JSON"),
    "an array": ("[]", 422, "body", "Expected `object`"),
    "null": ("null", 422, "body", "Expected `object`"),
    "no model": (json.dumps({"rows": [ROW]}), 422, "model", "missing"),
    "model is a number": (json.dumps({"model": 1, "rows": [ROW]}), 422, "model", "Expected `str`"),
    "no rows": (json.dumps({"model": "m"}), 422, "rows", "missing"),
    "rows is an object": (json.dumps({"model": "m", "rows": {}}), 422, "rows", "Expected `array`"),
    "unknown field outside": (body(ROW, instances=[]), 422, "instances", "not a field"),
    "empty rows": (body(), 422, "rows", "at least 1"),
    "too many rows": (body(ROW, ROW, ROW, ROW), 422, "rows", "at most 3"),
    "row is null": (json.dumps({"model": "m", "rows": [None]}), 422, "rows[0]", "Expected `object`"),
    "missing field": (body(ROW, without("distance")), 422, "rows[1].distance", "a number from 0 up to 6000"),
    "missing entity": (body(without("flight_id")), 422, "rows[0].flight_id", "missing"),
    "unknown field": (body(ROW | {"tailnum": "N1"}), 422, "rows[0].tailnum", "the fields of a row are"),
    "number in quotes": (body(ROW | {"distance": "12"}), 422, "rows[0].distance", "got `str`"),
    "integer in quotes": (body(ROW | {"sched_dep_minute": "12"}), 422, "rows[0].sched_dep_minute", "an integer"),
    "fraction for integer": (body(ROW | {"sched_dep_minute": 1.5}), 422, "rows[0].sched_dep_minute", "Expected `int`"),
    "huge integer": (body(ROW | {"sched_dep_minute": 10**40}), 422, "rows[0].sched_dep_minute", "1439"),
    "boolean for number": (body(ROW | {"distance": True}), 422, "rows[0].distance", "got `bool`"),
    "null for number": (body(ROW | {"distance": None}), 422, "rows[0].distance", "got `null`"),
    "list for number": (body(ROW | {"distance": [1]}), 422, "rows[0].distance", "got `array`"),
    "number for text": (body(ROW | {"flight_id": 7}), 422, "rows[0].flight_id", "got `int`"),
    "empty text": (body(ROW | {"flight_id": ""}), 422, "rows[0].flight_id", "length >= 1"),
    "endless text": (body(ROW | {"flight_id": "x" * 300}), 422, "rows[0].flight_id", "length <= 256"),
    "NaN": (body(ROW | {"distance": float("nan")}), 422, "rows[0].distance", "NaN"),
    "Infinity": (body(ROW, ROW | {"distance": float("inf")}), 422, "rows[1].distance", "Infinity"),
    "minus Infinity": (body(ROW | {"distance": float("-inf")}), 422, "rows[0].distance", "-Infinity"),
    "number beyond float64": (body(ROW).replace("1400.5", "1e999"), 422, "rows[0].distance", "Infinity"),
    "below the minimum": (body(ROW | {"distance": -1}), 422, "rows[0].distance", ">= 0"),
    "above the maximum": (body(ROW | {"distance": 6001}), 422, "rows[0].distance", "<= 6000"),
    "no event time": (body(without("event_time")), 422, "rows[0].event_time", "ISO 8601"),
    "event time without zone": (
        body(ROW | {"event_time": "2013-04-01T12:00:00"}), 422, "rows[0].event_time", "timezone",
    ),
    "31 February": (body(ROW | {"event_time": "2013-02-31T12:00:00Z"}), 422, "rows[0].event_time", "RFC3339"),
    "event time as number": (body(ROW | {"event_time": 0}), 422, "rows[0].event_time", "Expected `datetime`"),
    "event time is null": (body(ROW | {"event_time": None}), 422, "rows[0].event_time", "Expected `datetime`"),
    "year 1": (body(ROW | {"event_time": "0001-01-01T00:00:00+14:00"}), 422, "rows[0].event_time", "1970 to 2199"),
    "event time outside is no time": (body(ROW, event_time="soon"), 422, "event_time", "RFC3339"),
    "empty request id": (body(ROW | {"request_id": ""}), 422, "rows[0].request_id", "length >= 1"),
    "long request id": (body(ROW | {"request_id": "x" * 129}), 422, "rows[0].request_id", "length <= 128"),
    "repeated request id": (
        body(ROW | {"request_id": "a"}, ROW | {"request_id": "a"}), 422, "rows[1].request_id", "twice",
    ),
    "model nested deeply": ('{"model":' + "[" * 100_000, 422, "model", "Expected `str`"),
    "rows nested too deeply": (
        '{"model": "m", "rows": ' + "[" * 5000 + "]" * 5000 + "}", 400, "body", "too deeply",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "status", "field", "told"), BAD.values(), ids=BAD.keys())
def test_a_bad_request_is_refused_by_name(text, status, field, told):
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert (refused.value.status, refused.value.field) == (status, field)
    assert told in refused.value.message


def test_a_well_formed_row_comes_through():
    (row,) = parse(body(ROW | {"request_id": "r1"}))
    assert (row.request_id, row.given_id, row.entity_id) == ("r1", True, "f1")
    assert (row.at, row.event_time, row.day) == (1364817600.0, "2013-04-01T12:00:00Z", "2013-04-01")
    assert row.fields == {"flight_id": "f1", "distance": 1400.5, "sched_dep_minute": 600}


def test_the_day_is_the_local_calendars():
    before, after = (ROW | {"event_time": f"2013-04-02T{time}Z"} for time in ("03:59:59", "04:00:00"))
    first, second = parse(body(before, after))
    assert (first.day, second.day) == ("2013-04-01", "2013-04-02")


def test_an_instant_in_another_zone_is_the_same_instant():
    (row,) = parse(body(ROW | {"event_time": "2013-04-01T08:00:00-04:00"}))
    assert row.event_time == "2013-04-01T12:00:00Z"


def test_one_event_time_may_serve_all_rows():
    first, second = parse(body(without("event_time"), ROW, event_time="2013-05-01T00:00:00Z"))
    assert first.event_time == "2013-05-01T00:00:00Z"
    assert second.event_time == ROW["event_time"]


def test_a_row_without_a_request_id_gets_one_of_its_own():
    ids = {row.request_id for _ in range(50) for row in parse(body(ROW, ROW))}
    assert len(ids) == 100


def test_a_signature_that_names_the_event_time_changes_nothing():
    form = RequestForm("flight_id", (*FIELDS, RequestField("event_time", "string", "When.")))
    (row,) = parse_rows(parse_envelope(body(ROW).encode()), form, dt.UTC, 3)
    assert row.event_time == ROW["event_time"]


def test_a_form_without_a_signature_lets_unknown_fields_pass():
    form = RequestForm("flight_id", (), lenient=True)
    (row,) = parse_rows(parse_envelope(body(ROW).encode()), form, dt.UTC, 3)
    assert row.fields == {"flight_id": "f1"}
