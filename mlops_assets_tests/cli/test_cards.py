"""``mlops card`` and ``mlops sign-off`` on a system that has lived."""

import json
import re

from mlops_assets.ml.annex_iv import POINTS
from mlops_assets.ml.bundles import digest_of
from mlops_assets.ml.card_facts import SOURCES
from mlops_assets.ml.model_cards import missing_sections
from mlops_assets_tests.conftest import Twins


def test_a_card_is_shown_with_its_life_up_to_now(looks):
    told = looks("card", "show", 1)
    assert told.exit_code == 0, told.output
    assert missing_sections(told.stdout.rstrip("\n") + "\n") == ()
    assert "| promoted |" in told.stdout


def test_the_technical_documentation_is_shown_on_request(looks):
    told = looks("card", "show", 1, "--template", "annex-iv")
    assert told.exit_code == 0, told.output
    assert told.stdout.count("\n## ") == len(POINTS)


def test_a_page_is_written_with_its_pictures_inside(looks, tmp_path):
    told = looks("card", "show", 1, "--html", tmp_path / "card.html")
    assert told.exit_code == 0, told.output
    assert (tmp_path / "card.html").read_text().count("data:image/png;base64,") == 4


def test_an_export_holds_both_cards_and_every_source_under_the_digest_that_the_card_states(looks, tmp_path):
    folder = tmp_path / "v1"
    assert looks("card", "export", 1, folder).exit_code == 0
    card = (folder / "current_card.md").read_text()
    stated = dict(re.findall(r"^\| \[([\w.]+)\]\(\1\).* \| `(\w{64})` \|$", card, re.MULTILINE))
    assert stated.keys() >= {*SOURCES, "card.md", "annex_iv.md"}
    assert {name: digest_of((folder / name).read_bytes()) for name in stated} == stated
    assert card == looks("card", "show", 1).stdout.removesuffix("\n")
    pages = {"current_card.html", "current_annex_iv.md", "current_annex_iv.html"}
    assert {path.name for path in folder.iterdir()} == {*stated, *pages, "current_card.md"}


def test_a_file_that_cannot_be_written_is_told_in_words(looks, tmp_path):
    (tmp_path / "file").write_text("")
    for words in (("show", 1, "--html", tmp_path / "absent" / "x.html"), ("export", 1, tmp_path / "file" / "v1")):
        told = looks("card", *words)
        assert told.exit_code == 1
        assert told.output.startswith(f"Error: cannot write {tmp_path}")


def test_two_versions_are_compared_fact_by_fact(lived: Twins, acts):
    assert acts("card", "diff", 1, 1).stdout == ""
    told = acts("card", "diff", 1, 1, "--json")
    assert json.loads(told.stdout) == []


def test_an_unknown_version_is_refused_in_words(looks):
    told = looks("card", "show", 9)
    assert told.exit_code == 1
    assert "has no version 9" in told.output


def test_a_signature_is_recorded_with_name_and_digest(lived: Twins, acts):
    told = acts("sign-off", 1, "--by", "ann", "--reason", "I read its card")
    assert told.exit_code == 0, told.output
    line = lived.promotions.all("arrival_delay")[-1]
    assert (line.kind, line.by, line.reason) == ("signed_off", "operator:ann", "I read its card")
    assert line.digest in told.output
    assert "| operator:ann | ann |" in acts("card", "show", 1).stdout
