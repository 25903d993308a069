"""Models that are no use cases in code: a family of names shares the facts of one."""

import time
from dataclasses import replace

import pytest

from mlops_assets.adapters.memory_registry import MemoryRegistry
from mlops_assets.adapters.registry import RegistryUnavailable
from mlops_assets.adapters.settings import Settings, SettingsError
from mlops_assets.ml.bundles import bundle_digest
from mlops_assets.serving.arms import BundleRefused
from mlops_assets.serving.configuration import configure
from mlops_assets.serving.desired import read_desired
from mlops_assets.serving.reconciler import Reconciler
from mlops_assets.use_cases import USE_CASES
from mlops_assets_tests.serving.conftest import FACTS
from mlops_assets_tests.serving.many import FAMILY, names

SERVED = (FACTS, FAMILY)


class CountingRegistry(MemoryRegistry):
    """Counts questions; can be down."""

    questions, down = 0, False

    def model(self, name):
        self.questions += 1
        return super().model(name)

    def models_at_once(self, prefix=""):
        self.questions += 1
        if self.down:
            raise RegistryUnavailable("http://127.0.0.1:1", "refused")
        return {name: super(CountingRegistry, self).model(name) for name in self.models() if name.startswith(prefix)}


def register(registry, make_bundle, name: str) -> None:
    files = make_bundle(1, model=name)
    registry.register(name, f"run of {name}", files, {}, bundle_digest(files), {"cutoff_day": "2013-03-31"})
    registry.set_alias(name, "champion", 1)


@pytest.fixture
def registry(make_bundle):
    made = CountingRegistry()
    for name in ("arrival_delay", *names(3), "arrival_delays", "other.model"):
        register(made, make_bundle, name)
    made.questions = 0
    return made


def reconciler(registry, folder, **changes) -> Reconciler:
    trial = changes.pop("trial", lambda bundle, digest, model: None)
    return Reconciler(registry, SERVED, folder / "desired.json", folder / "bundles", trial, **changes)


def test_every_registered_model_of_the_family_is_served_with_the_facts_of_its_use_case(registry, tmp_path):
    state = reconciler(registry, tmp_path).look()
    assert [entry.facts.name for entry in state.models] == ["arrival_delay", *names(3)]
    assert all(entry.arms["champion"].version == 1 for entry in state.models)
    facts = state.model(names(1)[0]).facts
    assert (facts.entity_id, facts.timezone, facts.fallback_score) == ("flight_id", FACTS.timezone, 0.24)


def test_a_model_that_is_registered_later_comes_by_itself(registry, make_bundle, tmp_path):
    looking = reconciler(registry, tmp_path)
    looking.look()
    register(registry, make_bundle, "arrival_delay.new")
    assert looking.look().model("arrival_delay.new").arms


def test_a_registry_that_is_down_takes_no_family_away_also_after_a_restart(registry, tmp_path):
    reconciler(registry, tmp_path).look()
    registry.down = True
    state = reconciler(registry, tmp_path).look()
    assert [entry.facts.name for entry in state.models] == ["arrival_delay", *names(3)]
    assert all("the registry cannot be asked" in entry.problems[0] for entry in state.models)


def test_a_look_at_many_models_is_few_questions(registry, make_bundle, tmp_path):
    looking = reconciler(registry, tmp_path)
    looking.look()
    registry.questions = 0
    looking.look()
    assert registry.questions == 2, "one for the model, one for the family"


def test_what_is_prepared_serves_while_the_rest_still_comes(registry, tmp_path):
    seen = []

    def trial(bundle, digest, model):
        there = read_desired(tmp_path / "desired.json")
        seen.append(([entry.facts.name for entry in there.models], there.preparing) if there else ([], 0))

    state = reconciler(registry, tmp_path, trial=trial, progress_s=0).look()
    own = ["arrival_delay", *names(3)]
    assert seen == [([], 0), (own[:1], 3), (own[:2], 2), (own[:3], 1)]
    assert (len(state.models), state.preparing) == (4, 0)


def test_one_bundle_of_a_family_that_does_not_load_keeps_nobody_else_away(registry, tmp_path):
    def trial(bundle, digest, model):
        if model == names(2)[1]:
            raise BundleRefused("its engine crashed on it (signal 6)")

    state = reconciler(registry, tmp_path, trial=trial).look()
    assert [bool(entry.arms) for entry in state.models] == [True, True, False, True]
    assert "signal 6" in state.model(names(2)[1]).problems[0]


def test_a_family_belongs_to_a_use_case():
    settings = Settings(served_models=("arrival_delay.*",), model_memory_megabytes=64)
    config = configure(settings, USE_CASES)
    assert config.models[-1].family == "arrival_delay."
    assert config.models[-1].entity_id == next(u for u in USE_CASES if u.name == "arrival_delay").entity_id
    assert config.model_memory_bytes == 64 * 2**20
    with pytest.raises(ValueError, match=r"MLOPS_SERVED_MODELS names weather\.\*; there may be"):
        configure(replace(settings, served_models=("weather.*",)), USE_CASES)


def test_the_settings_are_read_and_wrong_ones_refused(monkeypatch):
    monkeypatch.setenv("MLOPS_SERVED_MODELS", "arrival_delay.*,other.*")
    monkeypatch.setenv("MLOPS_MODEL_MEMORY_MEGABYTES", "100")
    settings = Settings.from_environment()
    assert (settings.served_models, settings.model_memory_megabytes) == (("arrival_delay.*", "other.*"), 100)
    monkeypatch.setenv("MLOPS_SERVED_MODELS", "*")
    with pytest.raises(SettingsError, match="MLOPS_SERVED_MODELS must be names like"):
        Settings.from_environment()


@pytest.mark.integration
def test_a_thousand_models_are_prepared_from_nothing_with_every_bundle_tried(make_bundle, tmp_path):
    registry = CountingRegistry()
    for name in names(1000):
        register(registry, make_bundle, name)
    looking = Reconciler(registry, SERVED, tmp_path / "desired.json", tmp_path / "bundles")
    began = time.monotonic()
    state = looking.look()
    took_s = time.monotonic() - began
    assert sum(bool(entry.arms) for entry in state.models) == 1000
    assert took_s < 50
    registry.questions, began = 0, time.monotonic()
    assert looking.look() == state
    assert registry.questions == 2
    print(f"1,000 models prepared in {took_s:.1f} s, looked at again in {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 2
