"""What is not byte for byte what was registered and signed does not serve; the last good version does, and says why."""

import os
import time
from pathlib import Path

import httpx
import pytest

from mlops_assets.adapters.endpoint import HttpEndpoint
from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.memory_tables import MemoryTables
from mlops_assets.adapters.promotions import Promotions
from mlops_assets.adapters.registry import SIGNATURE_TAG, Registry, RegistryCorrupt
from mlops_assets.adapters.releases import Cause, Releases
from mlops_assets.adapters.settings import Settings
from mlops_assets.adapters.signatures import SignatureMissing, SignatureRefused, Signatures, create_keys
from mlops_assets.adapters.tables import DeltaTables
from mlops_assets.contracts import Arm
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.desired import RefusedVersion
from mlops_assets.serving.follower import Follower
from mlops_assets.serving.reconciler import Reconciler
from mlops_assets_tests.serving.conftest import FACTS, MODEL
from mlops_assets_tests.serving.processes import free_port
from mlops_assets_tests.serving.test_processes import start_run

DOCUMENTS = {"manifest.json": b'{"rows": 3}', "evaluation.json": b"{}", "card.md": b"# Card"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> Signatures:
    private, public = create_keys(tmp_path_factory.mktemp("keys"))
    return Signatures(private_key=private, public_key=public)


def register(registry: Registry, files, run: str = "run") -> str:
    digest = bundle_digest(files)
    registry.register(MODEL, run, files, DOCUMENTS, digest, {"cutoff_day": "2013-03-31"})
    return digest


class Scene:
    """A registry with two versions, the first one champion and served; a reconciler and a worker's half beside it."""

    def __init__(self, folder: Path, make_bundle, rig, signatures: Signatures) -> None:
        self.registry = MemoryRegistry(signatures)
        self.digests = [register(self.registry, make_bundle(seed), f"run{seed}") for seed in (1, 2)]
        self.registry.set_alias(MODEL, "champion", 1)
        self.rig = rig
        self.folder = folder
        self.reconciler = self.start()
        self.follower = Follower(rig.plane, folder / "desired.json", folder / "bundles")
        self.look()

    def start(self) -> Reconciler:
        places = (self.folder / "desired.json", self.folder / "bundles")
        return Reconciler(self.registry, [FACTS], *places, lambda folder, digest, model: None)

    def look(self):
        state = self.reconciler.look(nudged=True)
        self.follower.look()
        return state.model(MODEL)

    def promote(self, version: int):
        self.registry.set_alias(MODEL, "champion", version)
        return self.look()

    @property
    def answering(self) -> str:
        return self.rig.plane.status(MODEL).arm("champion").digest

    def releases(self) -> Releases:
        return Releases(self.registry, Promotions(MemoryTables()))


@pytest.fixture
def scene(tmp_path, make_bundle, rig, keys):
    return Scene(tmp_path, make_bundle, rig, keys)


def flip(content: bytes) -> bytes:
    """The same with one bit of its middle byte turned."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


FILES = ["bundle/model.txt", "bundle/signature.json", *(f"documents/{name}" for name in DOCUMENTS)]


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("path", FILES)
def test_one_flipped_byte_is_refused_by_the_release_and_by_the_server(
    tmp_path, make_bundle, rig, keys, path: str, signed: bool
) -> None:
    scene = Scene(tmp_path, make_bundle, rig, keys if signed else Signatures())
    files = scene.registry.files[MODEL, 2]
    files[path] = flip(files[path])
    cause = Cause(id="a", day="2013-04-01", by="operator:ann", reason="known good")
    with pytest.raises(RegistryCorrupt):
        scene.releases().enter(MODEL, 2, scene.digests[1], Arm.CHAMPION, cause=cause)
    entry = scene.promote(2)
    assert scene.answering == scene.digests[0]
    assert entry.refused == (RefusedVersion(arm="champion", version=2, why="corrupt"),)
    assert "champion version 2 is not served" in rig.plane.ready()[1][0]


def test_a_flipped_byte_is_seen_when_a_version_comes_back_although_its_bundle_is_here(scene) -> None:
    scene.promote(2)
    assert scene.answering == scene.digests[1]
    scene.registry.files[MODEL, 1]["documents/card.md"] = b"# Carp"
    scene.promote(1)
    assert scene.answering == scene.digests[1]


def test_an_unsigned_version_is_refused_and_ready_and_a_metric_say_why(scene, make_bundle) -> None:
    scene.registry.signatures = Signatures(public_key=scene.registry.signatures.public_key)
    digest = register(scene.registry, make_bundle(3), "run3")
    cause = Cause(id="a", day="2013-04-01", by="operator:ann", reason="known good")
    with pytest.raises(SignatureMissing):
        scene.releases().enter(MODEL, 3, digest, Arm.CHAMPION, cause=cause)
    scene.promote(3)
    assert scene.answering == scene.digests[0]
    ready, problems = scene.rig.plane.ready()
    assert ready
    assert "champion version 3 is not served" in problems[0]
    assert "is not signed" in problems[0]
    wanted = 'mlops_refused_version{model="arrival_delay",arm="champion",version="3",why="unsigned"} 1'
    assert wanted in scene.rig.plane.render_metrics({})
    scene.promote(1)
    assert "mlops_refused_version{" not in scene.rig.plane.render_metrics({})


def test_a_version_signed_with_another_key_is_refused(scene, tmp_path) -> None:
    private, _ = create_keys(tmp_path / "other")
    trusted = scene.registry.signatures
    scene.registry.signatures = Signatures(private_key=private)
    scene.registry.sign(MODEL, 2)
    scene.registry.signatures = trusted
    cause = Cause(id="a", day="2013-04-01", by="operator:ann", reason="known good")
    with pytest.raises(SignatureRefused):
        scene.releases().enter(MODEL, 2, scene.digests[1], Arm.CHAMPION, cause=cause)
    entry = scene.promote(2)
    assert (scene.answering, entry.refused[0].why) == (scene.digests[0], "signature")


def test_files_swapped_together_with_their_digests_are_refused_by_the_signature(scene, make_bundle) -> None:
    evil = make_bundle(9)
    kept = scene.registry.files[MODEL, 2]
    kept |= {f"bundle/{name}": content for name, content in evil.items()}
    known = scene.registry._versions[MODEL][1]
    from dataclasses import replace

    digest = bundle_digest(evil)
    scene.registry._versions[MODEL][1] = replace(known, digest=digest, tags={**known.tags, "digest": digest})
    entry = scene.promote(2)
    assert (scene.answering, entry.refused[0].why) == (scene.digests[0], "signature")


def test_a_refused_version_is_refused_after_a_restart_too(scene) -> None:
    scene.registry.tag(MODEL, 2, SIGNATURE_TAG, "{}")
    scene.promote(2)
    scene.reconciler = scene.start()
    entry = scene.look()
    assert (scene.answering, entry.refused[0].why) == (scene.digests[0], "signature")


def test_a_fresh_server_whose_champion_is_refused_is_not_ready_and_says_why(scene, tmp_path, flight) -> None:
    from mlops_assets_tests.serving.conftest import Rig

    scene.registry.tag(MODEL, 1, SIGNATURE_TAG, "{}")
    scene.folder, scene.rig = tmp_path / "fresh", Rig(tmp_path / "fresh")
    scene.reconciler = scene.start()
    scene.follower = Follower(scene.rig.plane, scene.folder / "desired.json", scene.folder / "bundles")
    scene.look()
    ready, problems = scene.rig.plane.ready()
    assert not ready
    assert "champion version 1 is not served (only the fallback answers)" in problems[0]
    assert scene.rig.ask(flight())[0]["arm"] == "fallback"
    scene.registry.clear_alias(MODEL, "champion")
    scene.look()
    assert scene.rig.plane.ready() == (True, [])


def test_a_kept_copy_of_the_refused_champion_stays_ready_and_the_problem_says_that_it_answers(scene) -> None:
    scene.registry.tag(MODEL, 1, SIGNATURE_TAG, "{}")
    scene.reconciler = scene.start()
    scene.look()
    ready, problems = scene.rig.plane.ready()
    assert ready
    assert scene.answering == scene.digests[0]
    assert "champion version 1 cannot be verified again (the copy" in problems[0]
    assert "not served" not in problems[0]


def test_another_version_that_still_answers_is_named(scene) -> None:
    scene.registry.tag(MODEL, 2, SIGNATURE_TAG, "{}")
    assert "champion version 2 is not served (version 1 still answers)" in scene.promote(2).problems[0]


def test_a_server_without_its_key_says_so(scene, tmp_path) -> None:
    scene.registry.signatures = Signatures(public_key=tmp_path / "lost.pem")
    entry = scene.promote(2)
    assert entry.refused[0].why == "key"
    assert "there is no such key file" in entry.problems[0]


def artifact(settings: Settings, run: str, path: str, digest: str) -> Path:
    kind, _, rest = path.partition("/")
    return next((settings.mlflow / "artifacts").rglob(f"{run}/artifacts/{kind}/{digest}/{rest}"))


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_the_real_server_refuses_each_flipped_byte_and_each_wrong_signature(tmp_path, make_bundle, keys) -> None:
    from mlops_assets.adapters.mlflow_registry import MlflowRegistry
    from mlops_assets.adapters.services import ensure_services, stop_services

    settings = Settings(
        state=tmp_path,
        registry_uri=f"http://127.0.0.1:{free_port()}",
        endpoint_url=f"http://127.0.0.1:{free_port()}",
        verify_key=keys.public_key,
    )
    ensure_services(settings, until_pid=os.getpid())
    try:
        registry = MlflowRegistry(settings.registry_uri, keys)
        runs = [start_run(settings.registry_uri) for _ in range(6)]
        digests = [register(registry, make_bundle(1 + n), run) for n, run in enumerate(runs[:5])]
        unsigned = MlflowRegistry(settings.registry_uri)
        digests.append(register(unsigned, make_bundle(6), runs[5]))
        releases = Releases(registry, Promotions(DeltaTables(settings.tables)))
        endpoint = HttpEndpoint(settings.endpoint_url)
        releases.enter(MODEL, 1, digests[0], Arm.CHAMPION, cause=cause_of(1))
        endpoint.wait_for(MODEL, Arm.CHAMPION, digests[0], timeout=30)
        registry.tag(MODEL, 5, SIGNATURE_TAG, registry.version(MODEL, 4).tags[SIGNATURE_TAG])
        spoilt = {2: "bundle/model.txt", 3: "documents/manifest.json", 4: "documents/card.md"}
        for version, path in spoilt.items():
            file = artifact(settings, runs[version - 1], path, digests[version - 1])
            file.write_bytes(flip(file.read_bytes()))
        for version, why in {2: "corrupt", 3: "corrupt", 4: "corrupt", 5: "signature", 6: "unsigned"}.items():
            with pytest.raises((RegistryCorrupt, SignatureRefused)):
                releases.enter(MODEL, version, digests[version - 1], Arm.CHAMPION, cause=cause_of(version))
            # Past the release's door, straight into the registry: the server refuses on its own.
            registry.set_alias(MODEL, "champion", version)
            endpoint.nudge()
            wait_for_metric(settings, f'version="{version}",why="{why}"')
            assert endpoint.status(MODEL).arm("champion").digest == digests[0]
            assert any(f"version {version} is not served" in problem for problem in endpoint.status(MODEL).problems)
        releases.repair(MODEL)
        endpoint.nudge()
        wait_for_metric(settings, "mlops_problems")
        assert registry.model(MODEL).aliases["champion"] == 1
    finally:
        stop_services(settings)


def cause_of(version: int) -> Cause:
    return Cause(id=f"enter/{version}", day="2013-04-01", by="operator:ann", reason="known good")


def wait_for_metric(settings: Settings, wanted: str) -> None:
    deadline = time.monotonic() + 20
    text = ""
    while wanted not in text:
        assert time.monotonic() < deadline, (HttpEndpoint(settings.endpoint_url).status(MODEL).problems, text)
        time.sleep(0.1)
        text = httpx.get(f"{settings.endpoint_url}/metrics", trust_env=False).text
