"""One contract for both registries: what is registered is found, moved and read back; nothing false is believed."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.registry import Registry, RegistryCorrupt, RegistryUnavailable, VersionMissing
from mlops_assets.contracts import ModelVersion
from mlops_assets.ml.bundles import bundle_digest

BUNDLE = {"model.txt": b"tree\nversion=v4\n", "signature.json": b'{"a": 1}'}
DOCUMENTS = {"manifest.json": b'{"rows": 3}', "card.md": b"# Card", "drift/sample.parquet": bytes(range(256))}


class House:
    """One registry under test, with the hands to make runs in it and to spoil its storage."""

    def __init__(
        self, registry: Registry, start_run: Callable[[], str], spoil: Callable[[ModelVersion, str, bytes], None]
    ):
        self.registry = registry
        self.start_run = start_run
        self.spoil = spoil
        self.name = f"model_{time.monotonic_ns()}"

    def register(self, bundle: Mapping[str, bytes] = BUNDLE, run_id: str | None = None, **tags: str) -> ModelVersion:
        digest = bundle_digest(bundle)
        return self.registry.register(
            self.name, run_id or self.start_run(), bundle, DOCUMENTS, digest, {"cutoff_day": "2013-03-31", **tags}
        )


def memory_house() -> House:
    registry = MemoryRegistry()

    def spoil(version: ModelVersion, path: str, content: bytes) -> None:
        registry.files[version.name, version.version][path] = content

    return House(registry, lambda: f"run-{time.monotonic_ns()}", spoil)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real server on a free loopback port: its address, and the folder of its artifacts."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["env", "MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", sys.executable]
    command += ["-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, "--workers", "1"], stdout=log, stderr=log, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(address, server, folder / "log")
        yield address, folder / "artifacts"
    finally:
        server.terminate()
        server.wait(20)


def wait_until_it_answers(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    import httpx

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            httpx.get(f"{address}/health", timeout=2)
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"mlflow server did not start: {log.read_text()[-2000:]}")


def mlflow_house(address: str, artifacts: Path) -> House:
    from mlops_assets.adapters.mlflow_server import connect

    def start_run() -> str:
        return connect(address).create_run("0").info.run_id

    def spoil(version: ModelVersion, path: str, content: bytes) -> None:
        kind, _, rest = path.partition("/")
        file = artifacts / "0" / version.mlflow_run_id / "artifacts" / kind / version.digest / rest
        file.write_bytes(content)

    return House(MlflowRegistry(address), start_run, spoil)


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.integration)])
def house(request: pytest.FixtureRequest) -> House:
    if request.param == "memory":
        return memory_house()
    return mlflow_house(*request.getfixturevalue("mlflow_server"))


def test_a_registered_version_tells_everything_it_was_given(house: House) -> None:
    version = house.register(trained_because="schedule")
    assert (version.name, version.version, version.digest) == (house.name, 1, bundle_digest(BUNDLE))
    assert (version.cutoff_day, version.tags["trained_because"]) == ("2013-03-31", "schedule")
    assert version.created_at.endswith("Z")
    assert house.registry.version(house.name, 1) == version
    assert house.registry.versions(house.name) == [version]
    assert house.registry.by_digest(house.name, version.digest) == version


def test_every_registered_model_is_named(house: House) -> None:
    assert house.name not in house.registry.models()
    house.register()
    assert house.name in house.registry.models()
    assert house.registry.models() == sorted(house.registry.models())


def test_many_models_are_told_of_at_once_with_what_each_tells_alone(house: House) -> None:
    house.register()
    house.register()
    house.registry.set_alias(house.name, "champion", 2)
    house.registry.set_model_tag(house.name, "canary_basis_points", "2000")
    found = house.registry.models_at_once(house.name[:-1])
    assert found[house.name] == house.registry.model(house.name)
    assert found[house.name].aliases == {"champion": 2}
    assert house.registry.models_at_once()[house.name] == found[house.name]
    assert house.registry.models_at_once(house.name + "x") == {}
    assert house.registry.models_at_once("%") == {}
    assert house.registry.models_at_once("'") == {}


def test_registering_the_same_digest_with_the_same_run_again_gives_the_same_version(house: House) -> None:
    run_id = house.start_run()
    assert house.register(run_id=run_id) == house.register(run_id=run_id)
    assert house.register(run_id=house.start_run()).version == 2


def test_two_bundles_of_one_run_do_not_overwrite_each_other(house: House, tmp_path: Path) -> None:
    run_id = house.start_run()
    first = house.register(run_id=run_id)
    second = house.register({**BUNDLE, "model.txt": b"other"}, run_id=run_id)
    assert (first.version, second.version) == (1, 2)
    assert house.registry.verify(house.name, 1) == first.digest
    assert house.registry.verify(house.name, 2) == second.digest


def test_versions_are_numbered_and_listed_in_order(house: House) -> None:
    run_id = house.start_run()
    for content in (b"1", b"2", b"3"):
        house.register({"model.txt": content}, run_id=run_id)
    assert [v.version for v in house.registry.versions(house.name)] == [1, 2, 3]


def test_a_bundle_with_another_digest_is_refused_and_nothing_is_registered(house: House) -> None:
    with pytest.raises(ValueError, match="refused to register"):
        house.registry.register(house.name, house.start_run(), BUNDLE, {}, "0" * 64, {"cutoff_day": "2013-03-31"})
    assert house.registry.versions(house.name) == []


@pytest.mark.parametrize("path", ["../model.txt", "/etc/passwd", "a/../../b", "a//b", ".hidden"])
def test_a_path_that_leaves_its_folder_is_refused(house: House, path: str) -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        house.register({path: b"x"}, run_id="any")


def test_a_registration_without_its_cutoff_day_is_refused(house: House) -> None:
    with pytest.raises(ValueError, match="cutoff_day"):
        house.registry.register(house.name, "any", BUNDLE, {}, bundle_digest(BUNDLE), {})


def test_an_alias_moves_and_goes(house: House) -> None:
    registry, name = house.registry, house.name
    house.register()
    house.register()
    assert registry.by_alias(name, "champion") is None
    registry.set_alias(name, "champion", 1)
    registry.set_alias(name, "shadow", 1)
    assert registry.version(name, 1).aliases == ("champion", "shadow")
    registry.set_alias(name, "champion", 2)
    moved = registry.by_alias(name, "champion")
    assert moved is not None
    assert moved.version == 2
    registry.clear_alias(name, "shadow")
    registry.clear_alias(name, "shadow")
    assert registry.model(name).aliases == {"champion": 2}
    assert [v.aliases for v in registry.versions(name)] == [(), ("champion",)]


def test_tags_of_a_version_and_of_the_model_are_kept(house: House) -> None:
    house.register()
    house.registry.tag(house.name, 1, "last_transition", "promoted")
    house.registry.set_model_tag(house.name, "canary_basis_points", "2000")
    assert house.registry.version(house.name, 1).tags["last_transition"] == "promoted"
    assert house.registry.model_tag(house.name, "canary_basis_points") == "2000"
    assert house.registry.model_tag(house.name, "nothing") is None


def test_a_downloaded_bundle_is_the_registered_one_and_nothing_else(house: House, tmp_path: Path) -> None:
    house.register()
    folder = tmp_path / "bundles" / "one"
    assert house.registry.download(house.name, 1, folder) == folder
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == BUNDLE
    (folder / "model.txt").write_bytes(b"spoilt on this side")
    house.registry.download(house.name, 1, folder)
    assert (folder / "model.txt").read_bytes() == BUNDLE["model.txt"]
    assert [p.name for p in folder.parent.iterdir()] == ["one"]


def test_one_flipped_byte_of_the_bundle_is_refused_and_leaves_no_folder(house: House, tmp_path: Path) -> None:
    version = house.register()
    house.spoil(version, "bundle/model.txt", b"tree\nversion=v5\n")
    with pytest.raises(RegistryCorrupt, match=version.digest):
        house.registry.download(house.name, 1, tmp_path / "one")
    with pytest.raises(RegistryCorrupt):
        house.registry.verify(house.name, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_added_to_the_bundle_is_refused(house: House) -> None:
    version = house.register()
    house.spoil(version, "bundle/extra.txt", b"")
    with pytest.raises(RegistryCorrupt, match=r"extra\.txt"):
        house.registry.verify(house.name, 1)


def test_documents_come_back_byte_for_byte(house: House) -> None:
    house.register()
    assert set(house.registry.documents(house.name, 1)) == set(DOCUMENTS)
    for path, content in DOCUMENTS.items():
        assert house.registry.document(house.name, 1, path) == content


def test_one_flipped_byte_of_a_document_is_refused(house: House) -> None:
    version = house.register()
    house.spoil(version, "documents/card.md", b"# Carp")
    with pytest.raises(RegistryCorrupt, match=r"card\.md"):
        house.registry.document(house.name, 1, "card.md")
    with pytest.raises(RegistryCorrupt):
        house.registry.verify(house.name, 1)


def test_what_the_registry_does_not_know_is_missing_not_empty(house: House, tmp_path: Path) -> None:
    registry, name = house.registry, house.name
    assert registry.versions(name) == []
    assert registry.model(name).aliases == {}
    assert registry.by_alias(name, "champion") is None
    assert registry.by_digest(name, "0" * 64) is None
    house.register()
    for ask in (
        lambda: registry.version(name, 9),
        lambda: registry.set_alias(name, "champion", 9),
        lambda: registry.tag(name, 9, "key", "value"),
        lambda: registry.documents(name, 9),
        lambda: registry.document(name, 1, "nothing.json"),
        lambda: registry.download(name, 9, tmp_path / "nine"),
        lambda: registry.set_model_tag(f"{name}_other", "key", "value"),
    ):
        with pytest.raises(VersionMissing):
            ask()


@pytest.mark.integration
def test_a_run_that_mlflow_does_not_know_cannot_register(mlflow_server: tuple[str, Path]) -> None:
    house = mlflow_house(*mlflow_server)
    with pytest.raises(VersionMissing, match="no run"):
        house.register(run_id="0" * 32)


@pytest.mark.integration
def test_artifacts_that_were_deleted_are_corrupt_not_empty(mlflow_server: tuple[str, Path]) -> None:
    house = mlflow_house(*mlflow_server)
    version = house.register()
    shutil.rmtree(mlflow_server[1] / "0" / version.mlflow_run_id)
    with pytest.raises(RegistryCorrupt):
        house.registry.verify(house.name, 1)


@pytest.mark.integration
def test_talking_to_the_registry_does_not_import_feast(mlflow_server: tuple[str, Path]) -> None:
    program = "import sys; from mlops_assets.adapters.mlflow_registry import MlflowRegistry"
    program += f"; MlflowRegistry({mlflow_server[0]!r}).versions('any'); sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


@pytest.mark.integration
def test_mlflow_never_unpickles_here(mlflow_server: tuple[str, Path]) -> None:
    from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION

    mlflow_house(*mlflow_server).register()
    assert MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get() is False


def test_a_registry_that_is_down_says_where_and_what_to_do() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(RegistryUnavailable, match=rf"{address}.*mlops up.*MLOPS_REGISTRY_URI"):
            MlflowRegistry(address).versions("model")


@pytest.mark.integration
def test_a_registry_that_accepts_but_never_answers_counts_as_down_within_three_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(RegistryUnavailable):
            MlflowRegistry(f"http://127.0.0.1:{silent.getsockname()[1]}").model("model")
    assert time.monotonic() - started < 3.0
