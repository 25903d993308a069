"""The bytes that Feast writes, read without it: every scalar, key and instant."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.feast_format import UnreadableFormat, decode_instant, decode_value, entity_key, redis_field


@pytest.mark.parametrize("message", [b"\x62\x00", b"\xff\xff\xff"], ids=["a list", "no tag"])
def test_what_is_no_scalar_is_refused(message):
    with pytest.raises(UnreadableFormat):
        decode_value(message)


@pytest.mark.integration
def test_every_scalar_is_decoded_as_feast_encodes_it():
    from feast.protos.feast.types.Value_pb2 import Value

    cases = {
        "string_val": ["", "EWR", "München", "x" * 300],
        "int32_val": [0, 1, -1, 2**31 - 1, -(2**31)],
        "int64_val": [0, 1, -1, 300, 2**63 - 1, -(2**63)],
        "double_val": [0.0, -0.0, 0.1 + 0.2, 1e308, -5e-324],
        "float_val": [0.0, 0.1, -1.5],
        "bool_val": [False, True],
        "unix_timestamp_val": [1_364_817_600],
    }
    for field, values in cases.items():
        for value in values:
            message = Value(**{field: value})
            assert repr(decode_value(message.SerializeToString())) == repr(getattr(message, field)), field
    assert decode_value(Value().SerializeToString()) is None
    assert decode_value(Value(null_val=0).SerializeToString()) is None
    assert str(decode_value(Value(double_val=float("nan")).SerializeToString())) == "nan"


@pytest.mark.integration
@settings(deadline=None)
@given(st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2200, 1, 1)))
def test_an_instant_is_decoded_as_protobuf_encodes_it(at):
    from google.protobuf.timestamp_pb2 import Timestamp

    message = Timestamp()
    message.FromDatetime(at)
    assert decode_instant(message.SerializeToString()) == pytest.approx(at.replace(tzinfo=dt.UTC).timestamp(), abs=1e-6)


@pytest.mark.integration
def test_keys_and_fields_are_those_of_feast():
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.infra.online_stores.helpers import _mmh3
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    for key, value in (("EWR", Value(string_val="EWR")), (-7, Value(int64_val=-7))):
        theirs = serialize_entity_key(EntityKey(join_keys=["k"], entity_values=[value]), 3)
        assert entity_key("k", key) == theirs
    for view, feature in (("origin_weather", "temp"), ("a", "ü")):
        assert redis_field(view, feature) == _mmh3(f"{view}:{feature}")
