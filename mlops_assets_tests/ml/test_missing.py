"""What stands for a missing value, and how a policy is spelled."""

import msgspec
import numpy as np
import pytest

from mlops_assets.ml.bundles import Missing, ViewInput
from mlops_assets.ml.missing import completed, policy


def test_a_policy_is_null_fail_or_a_default():
    assert policy("null", "temp") is None
    assert policy("fail", "temp") == Missing("temp", "fail")
    assert policy("default:-1e3", "temp") == Missing("temp", "default", -1000.0)


@pytest.mark.parametrize("text", ["", "drop", "default", "default:", "default:nan", "default:x", "fail:1", "null:0"])
def test_any_other_text_is_refused_by_the_features_name(text):
    with pytest.raises(ValueError, match="temp: when_missing must be"):
        policy(text, "temp")


def test_columns_are_filled_and_rows_are_barred():
    view = ViewInput("v", "k", 0, ("a", "b", "c"), (Missing("a", "default", 5.0), Missing("b", "fail")))
    columns = {"v__a": [1.0, None, np.nan], "v__b": (None, 2.0, 3.0), "v__c": (None, None, None)}
    filled, barred = completed(view, columns)
    assert {name: values.tolist() for name, values in filled.items()} == {"v__a": [1.0, 5.0, 5.0]}
    assert {name: rows.tolist() for name, rows in barred.items()} == {"v__b": [True, False, False]}
    assert completed(view, {**columns, "v__b": (1.0, 2.0, 3.0)})[1] == {}


@pytest.mark.parametrize(
    "rule", [b'{"feature":"a","policy":"default"}', b'{"feature":"a","policy":"fail","value":1.0}']
)
def test_a_bundle_whose_policy_makes_no_sense_is_refused(rule):
    with pytest.raises(msgspec.ValidationError, match="a default has a value"):
        msgspec.json.decode(rule, type=Missing)


def test_a_view_of_an_older_bundle_is_read_and_one_without_policies_is_written_as_before():
    old = b'{"name":"v","join_key":"k","ttl_seconds":1,"features":["a"]}'
    view = msgspec.json.decode(old, type=ViewInput)
    assert view.when_missing == ()
    assert msgspec.json.encode(view) == old
