"""Dagster's web server as a test asks it: the GraphQL questions behind the pages of its user interface.

Belongs here: queries and what they return, as plain data. Does not: waiting, assertions.
"""

from dataclasses import dataclass
from typing import Any

import httpx

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "mlops_assets"}
PARTITION = "dagster/partition"

RUNS = """query { runsOrError(limit: 200) { ... on Runs { results {
  runId jobName status creationTime startTime endTime tags { key value } } } } }"""
STATS = """query Stats($id: ID!) { runOrError(runId: $id) { ... on Run {
  stats { ... on RunStatsSnapshot { enqueuedTime launchTime startTime endTime } }
  stepStats { stepKey startTime endTime } } } }"""
FAILURES = """query Failures($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  __typename ... on ExecutionStepFailureEvent { stepKey error { message stack causes { message } } }
  ... on RunFailureEvent { message error { message } } } } } }"""
SENSORS = """query Sensors($selector: RepositorySelector!) { sensorsOrError(repositorySelector: $selector) {
  ... on Sensors { results { name sensorState { status
    typeSpecificData { ... on SensorData { lastCursor lastRunKey } }
    ticks(limit: 500, afterTimestamp: 1) {
      timestamp endTimestamp status skipReason runIds runKeys error { message } } } } } } }"""
"""``afterTimestamp`` makes it the question of a sensor's own page. The one of the list of sensors finds no ticks once
``dagster dev`` was started again: it looks for the location's former socket."""
OBSERVATIONS = """query Seen($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetObservations(limit: 100) { timestamp runId partition metadataEntries { label
    ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } } } } } }"""
MATERIALIZATIONS = """query Made($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 100) { timestamp runId partition metadataEntries { label
    ... on TextMetadataEntry { text } ... on IntMetadataEntry { intValue } } } } } }"""
LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
TERMINATE = """mutation Stop($id: String!) { terminateRun(runId: $id) {
  __typename ... on PythonError { message } ... on TerminateRunFailure { message } } }"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One Dagster run."""

    run_id: str
    job: str
    status: str
    created: float
    started: float | None
    ended: float | None
    tags: dict[str, str]

    @property
    def partition(self) -> str:
        return self.tags.get(PARTITION, "")

    @property
    def sensor(self) -> str:
        """Name of the sensor that asked for it; empty when somebody else did."""
        return self.tags.get("dagster/sensor_name", "")

    @property
    def over(self) -> bool:
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True, kw_only=True)
class Made:
    """One materialization; ``at`` in epoch seconds."""

    at: float
    run_id: str
    partition: str
    facts: dict[str, Any]


class WebUi:
    """The GraphQL endpoint of one web server."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def answers(self) -> bool:
        try:
            return self._http.get("/server_info").is_success
        except httpx.TransportError:
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        told = self._http.post("/graphql", json={"query": query, "variables": variables}).json()
        assert not told.get("errors"), told["errors"]
        (answer,) = told["data"].values()
        return answer

    def runs(self) -> list[Run]:
        """Every run, oldest first."""
        return [_run(told) for told in reversed(self.ask(RUNS)["results"])]

    def stats(self, run_id: str) -> dict[str, Any]:
        return self.ask(STATS, id=run_id)

    def failures(self, run_id: str) -> list[str]:
        """What the failed steps of a run said."""
        events = self.ask(FAILURES, id=run_id)["events"]
        return [_failure(event) for event in events if event.get("error")]

    def sensors(self) -> dict[str, dict[str, Any]]:
        """Sensor -> status, cursor, and its ticks, oldest first."""
        told = self.ask(SENSORS, selector=REPOSITORY)["results"]
        states = {sensor["name"]: sensor["sensorState"] for sensor in told}
        return {
            name: {
                "status": state["status"],
                "cursor": (state["typeSpecificData"] or {}).get("lastCursor"),
                "ticks": sorted(state["ticks"], key=lambda tick: tick["timestamp"]),
            }
            for name, state in states.items()
        }

    def made(self, asset: str) -> list[Made]:
        """The materializations of an asset, oldest first; none when it never was."""
        told = self.ask(MATERIALIZATIONS, key={"path": asset.split("/")}).get("assetMaterializations") or []
        return [_made(event) for event in reversed(told)]

    def observed(self, asset: str) -> list[Made]:
        """The observations of an asset, oldest first; those of a sensor belong to no run."""
        told = self.ask(OBSERVATIONS, key={"path": asset.split("/")}).get("assetObservations") or []
        return [_made(event) for event in reversed(told)]

    def launch(self, job: str, partition: str, run_config: dict[str, Any]) -> str:
        """Launch a job as the launchpad does; the run's id."""
        return self._launch({"jobName": job, **REPOSITORY}, partition, run_config)

    def _launch(self, selector: dict[str, Any], partition: str, run_config: dict[str, Any]) -> str:
        tags = [{"key": PARTITION, "value": partition}]
        params = {"selector": selector, "runConfigData": run_config, "executionMetadata": {"tags": tags}}
        told = self.ask(LAUNCH, params=params)
        assert told["__typename"] == "LaunchRunSuccess", told
        return told["run"]["runId"]

    def materialize(self, asset: str, partition: str) -> str:
        """Launch a run of one asset, as its button does; the run's id."""
        selector = {"jobName": "__ASSET_JOB", "assetSelection": [{"path": asset.split("/")}], **REPOSITORY}
        return self._launch(selector, partition, {})

    def terminate(self, run_id: str) -> None:
        told = self.ask(TERMINATE, id=run_id)
        assert told["__typename"] == "TerminateRunSuccess", told


def _run(told: dict[str, Any]) -> Run:
    return Run(
        run_id=told["runId"],
        job=told["jobName"],
        status=told["status"],
        created=told["creationTime"],
        started=told["startTime"],
        ended=told["endTime"],
        tags={tag["key"]: tag["value"] for tag in told["tags"]},
    )


def _made(event: dict[str, Any]) -> Made:
    facts = {e["label"]: e.get("text", e.get("intValue")) for e in event["metadataEntries"]}
    at = float(event["timestamp"]) / 1000
    return Made(at=at, run_id=event["runId"], partition=event["partition"] or "", facts=facts)


def _failure(event: dict[str, Any]) -> str:
    error = event["error"]
    causes = "; ".join(cause["message"].strip() for cause in error.get("causes", []))
    where = "".join(error.get("stack", [])[-3:])
    return f"{event.get('stepKey', event['__typename'])}: {error['message'].strip()} {causes}\n{where}"
