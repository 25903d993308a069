"""The registry says what should serve; what it says wrongly, or cannot say, changes nothing."""

import time

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.registry import RegistryUnavailable
from mlops_assets.ml.bundles import MODEL_FILE, bundle_digest
from mlops_assets.serving.arms import BundleRefused
from mlops_assets.serving.configuration import ServedModel
from mlops_assets.serving.desired import read_desired
from mlops_assets.serving.reconciler import Reconciler
from mlops_assets.serving.trial import try_bundle

MODEL = "arrival_delay"
FACTS = ServedModel(name=MODEL, entity_id="flight_id", timezone="America/New_York", fallback_score=0.24)


class FlakyRegistry(MemoryRegistry):
    """Can be down."""

    down = False
    downloads = 0

    def model(self, name):
        if self.down:
            raise RegistryUnavailable("http://127.0.0.1:1", "object at 0x7f001234abcd refused")
        return super().model(name)

    def download(self, name, version, into):
        self.downloads += 1
        return super().download(name, version, into)


class Scene:
    """A registry, a reconciler beside it, and the versions v1, v2, ..."""

    def __init__(self, folder, make_bundle) -> None:
        self.folder = folder
        self.make_bundle = make_bundle
        self.registry = FlakyRegistry()
        self.tried: list[str] = []
        self.reconciler = self.start()

    def start(self) -> Reconciler:
        return Reconciler(self.registry, [FACTS], self.folder / "desired.json", self.folder / "bundles", self._trial)

    def _trial(self, folder, digest, model) -> None:
        assert (folder / MODEL_FILE).exists()
        self.tried.append(digest)
        if b"broken" in (folder / MODEL_FILE).read_bytes():
            raise BundleRefused("LightGBM crashed on it (signal 6)")

    def register(self, seed: int, **changes: bytes) -> str:
        files = {**self.make_bundle(seed), **changes}
        digest = bundle_digest(files)
        self.registry.register(MODEL, f"run{seed}", files, {}, digest, {"cutoff_day": "2013-03-31"})
        return digest

    def look(self, *, nudged: bool = False):
        state = self.reconciler.look(nudged=nudged)
        assert read_desired(self.folder / "desired.json") == state
        return state.model(MODEL)


@pytest.fixture
def scene(tmp_path, make_bundle):
    return Scene(tmp_path, make_bundle)


def held(entry) -> dict[str, int]:
    return {str(arm): wanted.version for arm, wanted in entry.arms.items()}


def test_aliases_and_the_share_become_the_desired_state(scene):
    digests = [scene.register(seed) for seed in (1, 2, 3)]
    for number, arm in enumerate(("champion", "canary", "shadow"), start=1):
        scene.registry.set_alias(MODEL, arm, number)
    scene.registry.set_model_tag(MODEL, "canary_basis_points", "2000")
    entry = scene.look()
    assert held(entry) == {"champion": 1, "canary": 2, "shadow": 3}
    assert [arm.digest for arm in entry.arms.values()] == digests
    assert (entry.canary_basis_points, entry.problems) == (2000, ())
    assert sorted(p.name for p in (scene.folder / "bundles").iterdir()) == sorted(digests)


def test_a_model_nobody_registered_is_served_by_nobody(scene):
    assert held(scene.look()) == {}


def test_a_registry_that_is_down_changes_nothing_also_after_a_restart(scene):
    scene.register(1)
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.look()
    scene.registry.down = True
    scene.reconciler = scene.start()
    entry = scene.look()
    assert held(entry) == {"champion": 1}
    assert "the registry cannot be asked" in entry.problems[0]
    assert "0x7f00" not in entry.problems[0]
    scene.registry.down = False
    assert scene.look().problems == ()


def test_bytes_that_are_not_the_recorded_ones_never_get_a_place(scene):
    scene.register(1)
    bad = scene.register(2)
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.look()
    scene.registry.files[MODEL, 2]["bundle/model.txt"] += b" "
    scene.registry.set_alias(MODEL, "champion", 2)
    entry = scene.look()
    assert held(entry) == {"champion": 1}
    assert "champion version 2 is not served" in entry.problems[0]
    assert not (scene.folder / "bundles" / bad).exists()
    assert bad not in scene.tried


def test_a_bundle_that_crashes_its_trial_never_reaches_the_worker(scene):
    scene.register(1)
    bad = scene.register(2, **{MODEL_FILE: b"broken"})
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.registry.set_alias(MODEL, "canary", 2)
    entry = scene.look()
    assert held(entry) == {"champion": 1}
    assert "canary version 2 is not served: LightGBM crashed" in entry.problems[0]
    assert not (scene.folder / "bundles" / bad).exists()


def test_what_failed_is_not_fetched_at_every_look_but_at_once_when_nudged(scene):
    scene.register(1, **{MODEL_FILE: b"broken"})
    scene.registry.set_alias(MODEL, "champion", 1)
    first = scene.look()
    assert scene.look() == first
    assert scene.registry.downloads == 1
    scene.look(nudged=True)
    assert scene.registry.downloads == 2


def test_a_bundle_that_rots_on_this_machine_is_fetched_again(scene):
    digest = scene.register(1)
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.look()
    place = scene.folder / "bundles" / digest / MODEL_FILE
    whole = place.read_bytes()
    place.write_bytes(whole[:-10])
    assert scene.look().problems == ()
    assert place.read_bytes() == whole


def test_a_cleared_alias_empties_the_arm(scene):
    scene.register(1)
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.look()
    scene.registry.clear_alias(MODEL, "champion")
    assert held(scene.look()) == {}


def test_a_share_that_is_no_share_is_told_and_means_nobody(scene):
    scene.register(1)
    scene.registry.set_alias(MODEL, "champion", 1)
    scene.registry.set_model_tag(MODEL, "canary_basis_points", "half")
    entry = scene.look()
    assert entry.canary_basis_points == 0
    assert "'half'" in entry.problems[0]


def test_every_look_leaves_a_trace_without_changing_the_file(scene):
    scene.look()
    file = scene.folder / "desired.json"
    before = file.stat()
    time.sleep(0.02)
    scene.look()
    assert file.stat().st_mtime_ns > before.st_mtime_ns
    assert file.stat().st_ino == before.st_ino


@pytest.mark.integration
def test_a_trial_survives_a_model_text_that_crashes_lightgbm(tmp_path, make_bundle, put_bundle):
    good = make_bundle(1)
    put = put_bundle(tmp_path, good)
    try_bundle(tmp_path / put, put, MODEL)
    text = good[MODEL_FILE]
    for damaged in (text[: len(text) // 3], text.replace(b"left_child=", b"left_child=9999 ", 1)):
        files = {**good, MODEL_FILE: damaged}
        digest = put_bundle(tmp_path, files)
        with pytest.raises(BundleRefused, match="trial load"):
            try_bundle(tmp_path / digest, digest, MODEL)
