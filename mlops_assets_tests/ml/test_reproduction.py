"""What is called a difference between two bundles, and between two trainings."""

from dataclasses import replace

import msgspec

from mlops_assets.ml.reproduction import (
    NOTHING,
    Difference,
    Reproduction,
    compare_bundles,
    compare_circumstances,
    reproduction_text,
)

TEXT = b"tree\nversion=v4\nnum_class=1\nleaf_value=0.5 0.25\n"
BUNDLE = {"model.txt": TEXT, "signature.json": b'{"trees": 3, "label": "is_late"}'}
SAME = Reproduction(
    model="arrival_delay",
    version=2,
    rows_from="the remote /srv/remote",
    digest_recorded="a" * 64,
    digest_found="a" * 64,
    training_set_recorded="b" * 64,
    training_set_found="b" * 64,
    same_rows=True,
    differences=(),
    circumstances=(),
)


def test_equal_bundles_have_no_difference():
    assert compare_bundles(BUNDLE, dict(BUNDLE)) == ()


def test_the_first_line_that_differs_is_told_with_its_number():
    other = {**BUNDLE, "model.txt": TEXT.replace(b"0.25", b"0.26")}
    line = Difference(what="model.txt line 4", recorded="leaf_value=0.5 0.25", found="leaf_value=0.5 0.26")
    assert compare_bundles(BUNDLE, other) == (line,)


def test_a_model_that_goes_on_where_the_other_ends_differs_in_its_next_line():
    (line,) = compare_bundles(BUNDLE, {**BUNDLE, "model.txt": TEXT + b"end of trees\n"})
    assert line == Difference(what="model.txt line 5", recorded=NOTHING, found="end of trees")


def test_the_fields_of_a_signature_that_differ_are_named():
    other = {**BUNDLE, "signature.json": b'{"label": "is_late", "trees": 4, "views": []}'}
    assert compare_bundles(BUNDLE, other) == (
        Difference(what="signature.json field trees", recorded="3", found="4"),
        Difference(what="signature.json field views", recorded=NOTHING, found="[]"),
    )


def test_a_file_that_only_one_side_has_is_named():
    (difference,) = compare_bundles(BUNDLE, {"model.txt": TEXT})
    assert difference == Difference(what="signature.json", recorded="32 bytes", found=NOTHING)


def test_a_long_value_is_cut():
    (difference,) = compare_bundles({"model.txt": b"x" * 1000}, {"model.txt": b"y"})
    assert len(difference.recorded) < 200
    assert "1000 characters" in difference.recorded


def test_circumstances_are_compared_name_by_name():
    recorded, found = {"commit": "a", "version of lightgbm": "4.6.0", "gone": "1"}, {"commit": "a", "new": "2"}
    assert compare_circumstances(recorded, {**found, "version of lightgbm": "4.7.0"}) == (
        Difference(what="version of lightgbm", recorded="4.6.0", found="4.7.0"),
        Difference(what="gone", recorded="1", found=NOTHING),
    )


def test_the_report_of_an_identical_model_says_so_and_nothing_else():
    told = reproduction_text(SAME)
    assert told.splitlines()[-1] == "IDENTICAL"
    assert "differs" not in told
    assert "commit" not in told


def test_another_commit_is_said_plainly_though_the_bytes_are_equal():
    commit = Difference(what="commit", recorded="c" * 40, found="d" * 40)
    told = reproduction_text(replace(SAME, circumstances=(commit,)))
    assert "This checkout is at another commit than the model was trained from" in told
    assert "c" * 40 in told
    assert "d" * 40 in told
    assert told.splitlines()[-1] == "IDENTICAL"


def test_uncommitted_changes_are_told_of_the_side_that_had_them():
    was = Difference(what="uncommitted changes", recorded="yes", found="no")
    now = Difference(what="uncommitted changes", recorded="no", found="yes")
    assert "no commit holds all of its code" in reproduction_text(replace(SAME, circumstances=(was,)))
    assert "This checkout has uncommitted changes" in reproduction_text(replace(SAME, circumstances=(now,)))


def test_equal_models_from_other_files_are_not_identical():
    told = replace(SAME, training_set_found="c" * 64)
    assert not told.identical
    assert "THE SAME ROWS IN ANOTHER FILE" in reproduction_text(told)
    assert "OTHER ROWS" in reproduction_text(replace(told, same_rows=False))
    assert not replace(SAME, digest_found="c" * 64).identical


def test_a_real_signature_is_compared_field_by_field(bundle):
    signature = msgspec.json.decode(bundle["signature.json"])
    other = {**bundle, "signature.json": msgspec.json.encode({**signature, "entity_id": "other"}, order="sorted")}
    assert [difference.what for difference in compare_bundles(bundle, other)] == ["signature.json field entity_id"]
