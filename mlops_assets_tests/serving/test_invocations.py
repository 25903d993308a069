"""Bodies that start like one before are read the short way, and say what they would have said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.invocations import JSON, MOST_STARTS, Starts, parse
from mlops_assets.serving.refusal import Refusal

NAMES = ("a", 'b"data":', "ü")
START = '{"dataframe_split":{"index":[0],"columns":["a","b\\"data\\":","ü"],"data":'
ROWS = ("[[1,2.5,null]]", '[["x",-0.0,1e300],[1,2,3]]', "[]")
ODD = (
    START + '[[1,2,3]],"data":[[4,5,6]]}}',
    START + '[[1,2,3]],"index":[7]}}',
    START + '[[1,2,3]]},"params":{}}',
    START + "[[1,2]]}}",
    START + "[1,2,3]}}",
    START + "[[1,2,NaN]]}}",
    START + "[[1,2,3]]}} ",
    START + "[[1,2,3]]}",
    START + "null}}",
    START + '[[1,2,{"deep":[]}]]}}',
    START + "[[1,2," + "[" * 5000 + "]]}}",
    START.replace('"a"', '"A"') + "[[1,2,3]]}}",
)


def said(body: bytes, starts: Starts | None) -> str:
    try:
        return repr(parse(body, JSON, ["a"], dict, starts))
    except Refusal as refusal:
        return repr((refusal.status, refusal.field, refusal.message))


def read(*rows: str) -> Starts:
    starts = Starts()
    for told in rows:
        assert said((START + told + "}}").encode(), starts) == said((START + told + "}}").encode(), None)
    return starts


@pytest.mark.parametrize("body", [*(START + rows + "}}" for rows in ROWS), *ODD])
def test_a_known_start_changes_nothing_of_what_is_said(body):
    assert said(body.encode(), read("[[1,2,3]]")) == said(body.encode(), None)


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=12), st.data())
def test_whatever_follows_a_known_start_is_read_as_without(value, data):
    body = START + json.dumps(value) + "}}"
    end = data.draw(st.integers(len(START), len(body)))
    for told in (body, body[:end], body[:end] + body[len(START) :]):
        assert said(told.encode(), read("[[1,2,3]]")) == said(told.encode(), None)


def test_a_known_start_is_read_the_short_way_and_strange_ones_do_not_drive_it_out():
    starts = read("[[1,2,3]]")
    assert starts.table((START + "[[4,5,null]]}}").encode()) == (NAMES, [[4, 5, None]])
    for number in range(4 * MOST_STARTS):
        said(f'{{"dataframe_split":{{"columns":["c{number}"],"data":[[1]]}}}}'.encode(), starts)
    assert starts.table((START + "[[4,5,6]]}}").encode())
