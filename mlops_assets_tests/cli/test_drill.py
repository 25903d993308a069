"""``mlops drill``: what a person is told before anything is broken."""

from mlops_assets.adapters.deployment import Deployment
from mlops_assets.drills.catalogue import DRILLS
from mlops_assets_tests.cli.conftest import settings_of, typed_into


def on_nothing(tmp_path):
    return typed_into(Deployment(settings_of(tmp_path)))


def test_the_list_names_every_drill_and_what_it_breaks(tmp_path):
    told = on_nothing(tmp_path)("drill", "--list")
    assert told.exit_code == 0
    assert [line.split()[0] for line in told.output.splitlines()] == list(DRILLS)


def test_an_unknown_drill_and_none_at_all_are_refused_with_the_names(tmp_path):
    for words in (("drill", "flood"), ("drill",)):
        told = on_nothing(tmp_path)(*words)
        assert told.exit_code == 2
        assert "registry_down" in told.output
    assert "no drill 'flood'" in on_nothing(tmp_path)("drill", "registry_down", "flood").output


def test_where_nothing_has_lived_the_running_system_cannot_be_copied_and_the_remedy_is_named(tmp_path):
    told = on_nothing(tmp_path)("drill", "registry_down", "--on", "running")
    assert told.exit_code == 1
    assert "--on base" in told.output
    assert not (tmp_path / "state").exists()
