"""Events fit the OpenLineage schemas, name real datasets, and arrive at a real receiver or in a file."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from mlops_assets.adapters.lineage_events import (
    Assertion,
    Column,
    DatasetState,
    LineageRun,
    LineageUndelivered,
    NoLineageEvents,
)
from mlops_assets.adapters.openlineage import OpenLineageEvents, lineage_events
from mlops_assets.adapters.settings import Settings
from mlops_assets.automation.lineage import finished_runs
from mlops_assets.automation.run_lineage import lineage_of_run
from mlops_assets.ml.column_lineage import COLUMN_LINEAGE

SPEC = Path(__file__).parents[1] / "openlineage_spec"
SCHEMAS = [json.loads(file.read_text()) for file in SPEC.glob("*.json")]
KNOWN = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS])
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
RUN = LineageRun(
    id="7c2f8e06-6d0f-4a83-9a35-5f0f3a0f8a11",
    job="flights/features/origin_weather",
    state="COMPLETE",
    started_at="2026-01-01T00:00:00.000000Z",
    ended_at="2026-01-01T00:00:01.000000Z",
    parent=("flights__day", "0b9c6a5e-55f2-4be4-8f37-8d1c1b3e1f10"),
    days=("2013-04-01", "2013-04-02"),
    inputs=(
        DatasetState(
            name="flights/datasets/weather",
            kind="table",
            version="4",
            columns=(Column(name="temp", type="float", description="Temperature"),),
            assertions=(Assertion(name="rows_are_unique", passed=False, severity="warn"),),
        ),
    ),
    outputs=(
        DatasetState(
            name="flights/features/origin_weather",
            kind="table",
            version="7",
            rows=48,
            column_lineage=COLUMN_LINEAGE["origin_weather"],
        ),
    ),
)


def check(event: dict) -> None:
    """Against the event's schema, and every facet against the schema that it names."""
    validate(event, EVENT)
    parts = [event["run"], event["job"], *event.get("inputs", []), *event.get("outputs", [])]
    facets = [
        facet for part in parts for kind in ("facets", "inputFacets", "outputFacets") for facet in named(part, kind)
    ]
    assert facets
    for name, facet in facets:
        url = facet["_schemaURL"]
        # A facet's file says under which name it is used, and what it must look like.
        document = KNOWN[url.partition("#")[0]].contents
        assert name in document["properties"], f"{name} is not what {url} describes"
        validate(facet, url)


def named(part: dict, kind: str) -> list[tuple[str, dict]]:
    return list(part.get(kind, {}).items())


def validate(instance: dict, url: str) -> None:
    jsonschema.Draft202012Validator({"$ref": url}, registry=KNOWN, format_checker=jsonschema.FormatChecker()).validate(
        instance
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path, openlineage=f"file://{tmp_path}/lineage/events.jsonl")


def written(settings: Settings) -> list[dict]:
    return [json.loads(line) for line in (settings.state / "lineage" / "events.jsonl").read_text().splitlines()]


def test_a_run_becomes_two_events_that_fit_the_schemas(settings: Settings) -> None:
    lineage_events(settings).tell([RUN])
    start, complete = written(settings)
    for event in (start, complete):
        check(event)
    assert [e["eventType"] for e in (start, complete)] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"] == RUN.id
    assert complete["run"]["facets"]["parent"]["job"]["name"] == "flights__day"


def test_datasets_are_delta_tables_with_path_version_schema_columns_and_checks(settings: Settings) -> None:
    lineage_events(settings).tell([RUN])
    complete = written(settings)[-1]
    read, made = complete["inputs"][0], complete["outputs"][0]
    assert (read["namespace"], read["name"]) == ("file", f"{settings.tables}/flights/datasets/weather")
    assert read["facets"]["symlinks"]["identifiers"][0]["name"] == "flights/datasets/weather"
    assert read["facets"]["version"]["datasetVersion"] == "4"
    assert read["facets"]["storage"]["storageLayer"] == "delta"
    assert read["facets"]["schema"]["fields"][0]["name"] == "temp"
    assert read["inputFacets"]["dataQualityAssertions"]["assertions"][0]["success"] is False
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == 48
    rain = made["facets"]["columnLineage"]["fields"]["precip_6h"]["inputFields"]
    assert ("precip", "DIRECT") in [(f["field"], f["transformations"][0]["type"]) for f in rain]
    assert {f["name"] for f in rain} == {read["name"]}


def test_a_failed_run_carries_its_error(settings: Settings) -> None:
    from dataclasses import replace

    lineage_events(settings).tell([replace(RUN, state="FAIL", error="no rows", outputs=())])
    event = written(settings)[-1]
    check(event)
    assert event["run"]["facets"]["errorMessage"]["message"] == "no rows"


def test_the_whole_life_fits_the_schemas(life, settings: Settings) -> None:
    graph = life.twins.definitions.resolve_asset_graph()
    tables = life.twins.memory.tables
    for record in finished_runs(life.twins.instance, {}):
        lineage_events(settings).tell(lineage_of_run(life.twins.instance, graph, tables, record))
    events = written(settings)
    assert {"arrival_delay/training/training_set", "arrival_delay/releases/champion"} <= {
        e["job"]["name"] for e in events
    }
    for event in events:
        check(event)


def test_a_schema_violation_would_be_seen(settings: Settings) -> None:
    lineage_events(settings).tell([RUN])
    event = written(settings)[-1]
    del event["outputs"][0]["facets"]["version"]["datasetVersion"]
    with pytest.raises(jsonschema.ValidationError):
        check(event)


class Receiver:
    """A collector on a loopback port that keeps what it is sent, and may refuse."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.status = 201
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                if receiver.status == 201 and self.path == "/api/v1/lineage":
                    receiver.events.append(json.loads(content))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_a_real_receiver_gets_the_events(receiver: Receiver, tmp_path: Path) -> None:
    OpenLineageEvents(Settings(state=tmp_path, openlineage=receiver.url)).tell([RUN])
    assert [event["eventType"] for event in receiver.events] == ["START", "COMPLETE"]
    for event in receiver.events:
        check(event)


@pytest.mark.parametrize("status", [400, 500])
def test_a_receiver_that_refuses_is_told_of_as_undelivered(receiver: Receiver, tmp_path: Path, status: int) -> None:
    receiver.status = status
    with pytest.raises(LineageUndelivered, match=receiver.url):
        OpenLineageEvents(Settings(state=tmp_path, openlineage=receiver.url)).tell([RUN])
    assert receiver.events == []


def test_a_receiver_that_is_not_there_is_undelivered_too(tmp_path: Path) -> None:
    with pytest.raises(LineageUndelivered):
        OpenLineageEvents(Settings(state=tmp_path, openlineage="http://127.0.0.1:1")).tell([RUN])


def test_an_address_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="MLOPS_OPENLINEAGE must be http"):
        lineage_events(Settings(state=tmp_path, openlineage="kafka:9092"))


def test_empty_means_off(tmp_path: Path) -> None:
    assert isinstance(lineage_events(Settings(state=tmp_path)), NoLineageEvents)
