"""The exact artifact crosses to another environment, or nothing of it does."""

from pathlib import Path

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.registry import DIGEST_TAG, SIGNATURE_TAG, Registry, RegistryCorrupt, VersionMissing
from mlops_assets.adapters.signatures import SignatureMissing, SignatureRefused, Signatures, create_keys
from mlops_assets.adapters.transfers import TransferRefused, transfer
from mlops_assets.contracts import ModelVersion
from mlops_assets.ml.bundles import bundle_digest, digest_of
from mlops_assets_tests.adapters.test_registry import mlflow_server  # noqa: F401 (a fixture)

BUNDLE = {"model.txt": b"tree", "signature.json": b"{}"}
DOCUMENTS = {"manifest.json": b'{"rows": 3}', "evaluation.json": b"{}", "card.md": b"# Card"}
DIGEST = bundle_digest(BUNDLE)
TAGS = {"cutoff_day": "2013-03-31", "training_set_digest": "a" * 64, "code_commit": "b" * 40}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Signatures:
    private, public = create_keys(tmp_path_factory.mktemp("keys"))
    return Signatures(private_key=private, public_key=public)


class Pair:
    """Staging with one version, and an empty production that trusts the public key alone."""

    def __init__(self, staging: Registry, production: Registry, model: str, run: str) -> None:
        self.staging, self.production, self.model = staging, production, model
        staging.register(model, run, BUNDLE, DOCUMENTS, DIGEST, TAGS)

    def move(self, digest: str = DIGEST) -> ModelVersion:
        return transfer(self.staging, self.production, self.model, 1, digest)


class Uploads(MlflowRegistry):
    """An MLflow registry whose artifact store turns a byte of what it is given."""

    def _upload(self, client, run_id, kinds, digest) -> None:
        spoilt = {**kinds, "bundle": {**kinds["bundle"], "model.txt": b"tref"}}
        super()._upload(client, run_id, spoilt, digest)


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.integration)])
def pair(request: pytest.FixtureRequest, keys: Signatures) -> Pair:
    trusting = Signatures(public_key=keys.public_key)
    if request.param == "memory":
        return Pair(MemoryRegistry(keys), MemoryRegistry(trusting), "arrival_delay", "run")
    from mlops_assets.adapters.mlflow_server import connect

    address, _ = request.getfixturevalue("mlflow_server")
    model = f"model_{id(request)}"
    run = connect(address).create_run("0").info.run_id
    return Pair(MlflowRegistry(address, keys), MlflowRegistry(address, trusting, "production"), model, run)


def test_production_holds_the_same_bytes_documents_and_signature_and_says_where_from(pair: Pair) -> None:
    arrived, known = pair.move(), pair.staging.version(pair.model, 1)
    assert (arrived.version, arrived.digest, arrived.cutoff_day) == (1, DIGEST, "2013-03-31")
    assert pair.production.verify(pair.model, 1) == DIGEST
    assert pair.production.documents(pair.model, 1) == pair.staging.documents(pair.model, 1)
    for path, content in DOCUMENTS.items():
        assert pair.production.document(pair.model, 1, path) == content
    for tag in (*TAGS, DIGEST_TAG, SIGNATURE_TAG, "documents_digest"):
        assert arrived.tags[tag] == known.tags[tag]
    assert arrived.tags["source_registry"] == pair.staging.address
    assert (arrived.tags["source_version"], arrived.tags["source_mlflow_run_id"]) == ("1", known.mlflow_run_id)
    assert arrived.mlflow_run_id != known.mlflow_run_id
    assert pair.production.model(pair.model).aliases == {}


def test_the_same_again_gives_the_same_version(pair: Pair) -> None:
    assert pair.move() == pair.move()
    assert len(pair.production.versions(pair.model)) == 1


def test_another_digest_than_asked_for_is_refused_and_nothing_is_visible(pair: Pair) -> None:
    with pytest.raises(TransferRefused, match=rf"as {'0' * 64}, but it is {DIGEST}"):
        pair.move("0" * 64)
    assert pair.production.versions(pair.model) == []


def test_an_environment_has_versions_of_its_own(pair: Pair) -> None:
    pair.move()
    pair.production.set_alias(pair.model, "champion", 1)
    assert pair.staging.model(pair.model).aliases == {}
    assert pair.production.by_alias(pair.model, "champion") == pair.production.version(pair.model, 1)


@pytest.fixture
def memory(keys: Signatures) -> Pair:
    return Pair(MemoryRegistry(keys), MemoryRegistry(Signatures(public_key=keys.public_key)), "arrival_delay", "run")


@pytest.mark.parametrize("path", ["bundle/model.txt", "bundle/signature.json", *(f"documents/{p}" for p in DOCUMENTS)])
def test_one_flipped_byte_at_the_source_crosses_nothing(memory: Pair, path: str) -> None:
    memory.staging.files["arrival_delay", 1][path] += b" "
    with pytest.raises(RegistryCorrupt):
        memory.move()
    assert memory.production.versions("arrival_delay") == []


def test_production_takes_nothing_unsigned_although_staging_does(memory: Pair) -> None:
    memory.staging.signatures = Signatures()
    memory.staging.tag("arrival_delay", 1, SIGNATURE_TAG, "")
    with pytest.raises(SignatureMissing):
        memory.move()
    assert memory.production.versions("arrival_delay") == []


def test_production_takes_nothing_that_another_key_signed(memory: Pair, tmp_path: Path) -> None:
    private, _ = create_keys(tmp_path)
    memory.staging.signatures = Signatures(private_key=private)
    memory.staging.sign("arrival_delay", 1)
    with pytest.raises(SignatureRefused):
        memory.move()
    assert memory.production.versions("arrival_delay") == []


def test_other_documents_under_the_same_digest_are_not_taken_for_the_same_version(memory: Pair) -> None:
    memory.move()
    memory.staging.signatures = memory.production.signatures = Signatures()
    kept = memory.staging.files["arrival_delay", 1]
    kept["documents/card.md"] = b"# Another"
    recorded = {p.removeprefix("documents/"): c for p, c in kept.items() if p.startswith("documents/")}
    memory.staging._digests["arrival_delay", 1] = {p: digest_of(c) for p, c in recorded.items()}
    memory.staging.tag("arrival_delay", 1, "documents_digest", bundle_digest(recorded))
    with pytest.raises(TransferRefused, match="already, as version 1 with other documents"):
        memory.move()


def test_a_registry_is_not_its_own_target(memory: Pair) -> None:
    with pytest.raises(TransferRefused, match="MLOPS_PRODUCTION_URI"):
        transfer(memory.staging, memory.staging, "arrival_delay", 1, DIGEST)


def test_a_version_that_is_not_there_cannot_move(memory: Pair) -> None:
    with pytest.raises(VersionMissing):
        transfer(memory.staging, memory.production, "arrival_delay", 9, DIGEST)


@pytest.mark.integration
def test_an_artifact_store_that_damages_the_upload_leaves_nothing_visible(mlflow_server, keys) -> None:  # noqa: F811
    from mlops_assets.adapters.mlflow_server import connect

    address, _ = mlflow_server
    run = connect(address).create_run("0").info.run_id
    pair = Pair(MlflowRegistry(address, keys), Uploads(address, environment="damaging"), "fragile", run)
    with pytest.raises(RegistryCorrupt, match="nothing was registered"):
        pair.move()
    assert pair.production.versions("fragile") == []
