"""A small life on the real parts (Delta, Feast, MLflow, the model server as processes), and what it left behind."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.adapters.endpoint import Endpoint
from mlops_assets.adapters.services import ensure_services, stop_services
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.signatures import create_keys
from mlops_assets.automation.lineage import finished_runs
from mlops_assets.automation.run_lineage import lineage_of_run
from mlops_assets.cli.main import main
from mlops_assets.contracts import Arm, Evaluation, Manifest, from_json
from mlops_assets.definitions import build_defs
from mlops_assets.ml.bundles import SIGNATURE_FILE, bundle_digest, digest_of
from mlops_assets.resources.mlflow import ExperimentTracking
from mlops_assets.resources.parts import ROLES
from mlops_assets.serving.probe import ProcessProbe
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.adapters.test_openlineage import check
from mlops_assets_tests.conftest import FIRST, LAST, LIVE, Twins, checks_of, small
from mlops_assets_tests.pickle_streams import pickles_below
from mlops_assets_tests.serving.processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
MODEL = "arrival_delay"
DOCUMENTS = {"manifest.json", "training_set.json", "evaluation.json", "explanations.json", "card.md", "annex_iv.md"}
"""What every version must carry beside its bundle; it may carry more."""
TAGS = {"cutoff_day", "training_set_digest", "code_commit", "digest", "documents_digest", "signature"}


class Real(Twins):
    """The definitions on the deployment's own parts, with what the twins can do."""

    def __init__(self, settings: Settings) -> None:
        self.use_case = small(USE_CASES[0])
        self.domain = self.use_case.domain
        self.deployment = Deployment(settings)
        self.instance = dg.DagsterInstance.ephemeral()
        parts = {role: getattr(self.deployment, role) for role in ROLES}
        tracking = ExperimentTracking(tracking_uri=settings.registry_uri)
        own = {"probe": ProcessProbe(settings), "experiment_tracking": tracking}
        self.definitions = build_defs((self.use_case,), {**parts, **own}, settings)


@dataclass(frozen=True)
class RealLife:
    """What was lived, and how to ask about it."""

    real: Real
    settings: Settings
    runs: dict[str, Any]

    def mlops(self, *arguments: str, **settings: str) -> str:
        """The output of a command, which must succeed."""
        done = CliRunner(env={**environment(self.settings), **settings}).invoke(main, list(arguments))
        assert done.exit_code == 0, done.output
        return done.output


def environment(settings: Settings) -> dict[str, str]:
    return {
        "MLOPS_STATE": str(settings.state),
        "MLOPS_REGISTRY_URI": settings.registry_uri,
        "MLOPS_ENDPOINT_URL": settings.endpoint_url,
        "MLOPS_VERIFY_KEY": str(settings.verify_key),
        "MLOPS_REGISTRY_ENVIRONMENT": settings.registry_environment,
        "MLOPS_START_SERVICES": "0",
    }


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealLife]:
    private, public = create_keys(tmp_path_factory.mktemp("keys"))
    settings = Settings(
        state=tmp_path_factory.mktemp("state"),
        registry_uri=f"http://127.0.0.1:{free_port()}",
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        live_from=LIVE[0],
        signing_key=private,
        verify_key=public,
    )
    ensure_services(settings, until_pid=os.getpid())
    try:
        real = Real(settings)
        datasets = [dg.AssetKey(["flights", "datasets", name]) for name in ("aircraft", "airports")]
        real.materialize(datasets, LAST)
        runs = {"history": real.run("flights__history", FIRST, LAST)}
        runs["train"] = real.run(f"{MODEL}__train", LAST)
        runs["conclude"] = real.run(f"{MODEL}__conclude", LAST)
        runs["day"] = real.run("flights__day", LIVE[0])
        yield RealLife(real, settings, runs)
    finally:
        stop_services(settings)


def test_every_run_succeeds_and_a_signed_champion_answers(life: RealLife) -> None:
    assert all(run.success for run in life.runs.values())
    served = life.real.deployment.endpoint.status(MODEL)
    champion = served.arm(Arm.CHAMPION)
    assert champion is not None
    assert champion.digest == life.real.deployment.registry.version(MODEL, 1).digest
    assert served.problems == ()


def test_every_registered_version_carries_everything_it_must(life: RealLife) -> None:
    registry = life.real.deployment.registry
    versions = registry.versions(MODEL)
    assert versions
    for version in versions:
        recorded = registry.documents(MODEL, version.version)
        assert set(recorded) >= DOCUMENTS
        assert set(version.tags) >= TAGS
        contents = {path: registry.document(MODEL, version.version, path) for path in recorded}
        assert recorded == {path: digest_of(content) for path, content in contents.items()}
        assert version.tags["documents_digest"] == bundle_digest(contents)
        manifest = from_json(Manifest, contents["manifest.json"])
        evaluation = from_json(Evaluation, contents["evaluation.json"])
        assert version.digest == manifest.model_digest == evaluation.model_digest
        assert version.tags["training_set_digest"] == manifest.training_set_digest
        assert version.tags["code_commit"] == manifest.code_commit
        assert version.mlflow_run_id == manifest.mlflow_run_id
        assert version.digest in contents["card.md"].decode()
        assert registry.verify(MODEL, version.version) == version.digest


def test_nothing_that_was_written_is_a_pickle(life: RealLife) -> None:
    state = life.settings.state
    written = {path.relative_to(state).parts[0] for path in state.rglob("*") if path.is_file()}
    assert written >= {"artifacts", "features", "landing", "mlflow", "serving", "tables"}
    assert list((state / "serving" / "bundles").rglob(SIGNATURE_FILE))
    assert list((state / "mlflow" / "artifacts").rglob("manifest.json"))
    assert pickles_below(state) == []


def test_lineage_is_printed_and_drawn(life: RealLife) -> None:
    text = life.mlops("lineage", "1")
    for part in (f"{MODEL} version 1  champion", "flights/features/origin_weather  version", "answered ", "promoted"):
        assert part in text
    drawn = Path(text.rpartition("drawn: ")[2].strip())
    assert drawn.read_text().startswith("<svg ")
    facts = json.loads(life.mlops("lineage", "1", "--json"))
    assert facts["answers"]["by_version"][0]["digest"] == facts["artifact_digest"]
    assert life.mlops("lineage", "1", "--mermaid").startswith("flowchart LR")


def test_impact_follows_a_bad_day_to_the_answers(life: RealLife) -> None:
    told = json.loads(life.mlops("impact", "flights/datasets/weather:2013-03-10", "--json"))
    touched = told["use_cases"][MODEL]
    assert touched["training_sets"] == [LAST]
    assert [version["version"] for version in touched["versions"]] == [1]
    assert touched["predictions"]["all"]["answers"] > 0
    assert "version 1 " in life.mlops("impact", "flights/datasets/weather:2013-03-10")
    refused = CliRunner(env=environment(life.settings)).invoke(main, ["impact", "flights/datasets/weather:2013-11-10"])
    assert refused.exit_code == 2
    assert f"holds no rows of 2013-11-10: it has {FIRST} to {LIVE[0]}" in refused.output


def test_verify_reads_every_file_back(life: RealLife) -> None:
    text = life.mlops("verify", "1")
    assert "signature holds" in text
    assert "card.md" in text


def test_lineage_events_name_the_delta_tables_and_the_versions_that_were_read(life: RealLife, tmp_path: Path) -> None:
    from mlops_assets.adapters.openlineage import lineage_events

    settings = replace(life.settings, openlineage=f"file://{tmp_path}/events.jsonl")
    graph = life.real.definitions.resolve_asset_graph()
    for record in finished_runs(life.real.instance, {}):
        runs = lineage_of_run(life.real.instance, graph, life.real.deployment.tables, record)
        lineage_events(settings).tell(runs)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    for event in events:
        check(event)
    ended = {event["job"]["name"]: event for event in events if event["eventType"] == "COMPLETE"}
    view = ended["flights/features/origin_weather"]
    assert Path(view["outputs"][0]["name"], "_delta_log").is_dir()
    assert view["outputs"][0]["facets"]["version"]["datasetVersion"].isdigit()
    weather = next(dataset for dataset in view["inputs"] if dataset["name"].endswith("weather"))
    assert weather["facets"]["version"]["datasetVersion"].isdigit()


def test_the_champion_is_handed_over_and_production_serves_exactly_it(life: RealLife, tmp_path: Path) -> None:
    result = life.real.run(f"{MODEL}__transfer", LAST)
    assert checks_of(result) == {"transferred_version/production_holds_the_evaluated_bytes": True}
    again = life.mlops("transfer", "1", "--by", "ann", "--reason", "the same once more")
    assert "is version 1 of arrival_delay" in again
    production = replace(
        life.settings,
        state=tmp_path,
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        registry_environment="production",
        signing_key=None,
    )
    # The registry is shared; the server of production is its own.
    server = subprocess.Popen(
        [sys.executable, "-m", "mlops_assets.serving"], env={**os.environ, **environment(production)}
    )
    try:
        deployment = Deployment(production)
        assert deployment.registry.model(MODEL).aliases == {}
        told = life.mlops("promote", "1", "--by", "ann", "--reason", "passed in staging", **environment(production))
        assert "override: - -> champion" in told
        digest = life.real.deployment.registry.version(MODEL, 1).digest
        wait_until_it_answers(deployment.endpoint)
        deployment.endpoint.wait_for(MODEL, Arm.CHAMPION, digest, timeout=60)
        assert deployment.endpoint.status(MODEL).problems == ()
    finally:
        server.terminate()
        server.wait(20)


def wait_until_it_answers(endpoint: Endpoint) -> None:
    deadline = time.monotonic() + 60
    while not endpoint.ready():
        assert time.monotonic() < deadline, "production's server did not start"
        time.sleep(0.1)
