"""The short way to the matrix accepts nothing that the long way refuses, and makes the same bytes."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.ml.bundles import Missing, decode_signature
from mlops_assets.ml.encoding import encode
from mlops_assets.serving import columns
from mlops_assets.serving.plans import Plan
from mlops_assets.serving.refusal import Refusal

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-10, 2000),
    st.sampled_from([None, True, "12", 10**400, 2**63, -0.0, 5e-324, 6000, 6000.0001, math.nan, math.inf, [1.0]]),
)
TEXTS = st.sampled_from(["AA", "B6", "UA", "XX", "", None, 3, math.nan])


@pytest.fixture(scope="module")
def signature(make_bundle):
    return decode_signature(make_bundle(1)["signature.json"])


def with_policies(signature):
    rules = (Missing("late_rate", "default", 0.5),), (Missing("temp", "fail"),)
    views = [
        msgspec.structs.replace(view, when_missing=rules[0] if view.name == "carrier_delays" else rules[1])
        for view in signature.views
    ]
    return msgspec.structs.replace(signature, views=tuple(views))


@given(data=st.data(), nan_is_missing=st.booleans(), ruled=st.booleans())
@settings(max_examples=400, deadline=None)
def test_the_short_way_agrees_with_the_long_one(data, nan_is_missing, ruled, signature):
    known = with_policies(signature) if ruled else signature
    features = {feature.name: feature for feature in known.features}
    names = tuple(data.draw(st.permutations([*features, "request_id"])))
    kinds = [TEXTS if name not in features or features[name].kind == "category" else NUMBERS for name in names]
    usual = ["UA" if kind is TEXTS else 10.5 for kind in kinds]
    rows = [list(usual) for _ in range(data.draw(st.integers(1, 3)))]
    for _ in range(data.draw(st.integers(0, 3))):
        column = data.draw(st.integers(0, len(names) - 1))
        data.draw(st.sampled_from(rows))[column] = data.draw(kinds[column])
    matrix = Plan(known, names, nan_is_missing=nan_is_missing).matrix(rows)
    try:
        checked = columns._checked(columns.Table(names, rows).columns(), known, nan_is_missing=nan_is_missing)
    except Refusal:
        assert matrix is None
        return
    if matrix is not None:
        assert matrix.tobytes() == encode(checked, known.features).tobytes()
        assert matrix.flags.c_contiguous


def test_what_is_right_goes_the_short_way(signature):
    names = tuple(feature.name for feature in signature.features)
    rows = [["UA", 1400, 600, 9.2, 51.5, 0.25], ["ZZ", 10, 0, None, None, None], [*["AA", 0.5, 7], 1e300, -5.0, -0.0]]
    for order in itertools.permutations(range(6)):
        told = [[row[k] for k in order] for row in rows]
        matrix = Plan(signature, [names[k] for k in order], nan_is_missing=False).matrix(told)
        assert matrix is not None
        assert np.isnan(matrix[1, 0])


def test_orders_of_columns_are_kept_and_not_without_end(rig, make_bundle, signature):
    rig.serve(champion=(1, make_bundle(1)))
    state = rig.plane.states["arrival_delay"]
    names = [feature.name for feature in signature.features]
    row = {"carrier": "UA", "distance": 1.0, "sched_dep_minute": 1} | dict.fromkeys(names[3:], 0.5)
    for order in itertools.permutations(names):
        table = columns.Table(order, [[row[name] for name in order]])
        rig.plane.check_table("arrival_delay", table)
        assert 1 <= len(state.plans) <= columns.MOST_PLANS
