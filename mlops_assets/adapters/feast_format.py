"""The formats that Feast fixed for its online stores, read without importing Feast.

Here: the entity key (serialization version 3), the scalar fields of Feast's ``Value`` message, the ``Timestamp``
message, the names of a Redis hash's fields. Belongs here: bytes that Feast wrote. Does not: where they are stored
(``adapters.sqlite_online_reader``, ``adapters.redis_online_reader``).
"""

import struct

Key = str | int
Value = float | int | str | bool | None

STRING_TYPE, INT64_TYPE = 2, 4
"""Feast's ``ValueType`` numbers of the two kinds of join keys."""


class UnreadableFormat(ValueError):
    """Bytes that are no scalar of Feast's."""


def entity_key(join_key: str, value: Key) -> bytes:
    """Feast's serialization (version 3) of a key made of one column.

    Number of columns, then type, length and bytes of the name, then type, length and bytes of the value; all numbers
    are little-endian uint32. Source: ``feast.infra.key_encoding_utils.serialize_entity_key``.
    """
    name = join_key.encode()
    kind, content = (STRING_TYPE, value.encode()) if isinstance(value, str) else (INT64_TYPE, struct.pack("<q", value))
    head = struct.pack("<III", 1, STRING_TYPE, len(name)) + name
    return head + struct.pack("<II", kind, len(content)) + content


def decode_value(message: bytes) -> Value:
    """The scalar in a Feast ``Value`` message; None for an unset or null one.

    A ``Value`` is one protobuf field: string 2, int32 3, int64 4, double 5, float 6, bool 7, timestamp 8, null 19.
    Raises UnreadableFormat on anything else (lists, maps): no model here eats them.
    """
    if not message:
        return None
    tag, start = _varint(message, 0)
    reader = _READERS.get(tag)
    if reader is None:
        raise UnreadableFormat(f"the online store holds a value of field {tag >> 3}, which is not a scalar")
    return reader(message, start)


def _varint(message: bytes, start: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(start, len(message)):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
        shift += 7
    raise UnreadableFormat("the online store holds a truncated value")


def _integer(message: bytes, start: int) -> int:
    value, _ = _varint(message, start)
    return value - (1 << 64) if value >> 63 else value


def _text(message: bytes, start: int) -> str:
    length, begin = _varint(message, start)
    return message[begin : begin + length].decode()


_READERS = {
    2 << 3 | 2: _text,
    3 << 3 | 0: _integer,
    4 << 3 | 0: _integer,
    5 << 3 | 1: lambda message, start: struct.unpack_from("<d", message, start)[0],
    6 << 3 | 5: lambda message, start: struct.unpack_from("<f", message, start)[0],
    7 << 3 | 0: lambda message, start: bool(message[start]),
    8 << 3 | 0: _integer,
    19 << 3 | 0: lambda message, start: None,
}
"""Tag (field number and wire type) -> reader of what follows it."""


def decode_instant(message: bytes) -> float:
    """Seconds since 1970 of a protobuf ``Timestamp``: seconds is field 1, nanos field 2. Raises UnreadableFormat."""
    told, position = {1: 0, 2: 0}, 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, position = _varint(message, position)
        told[tag >> 3] = number - (1 << 64) if number >> 63 else number
    return told[1] + told[2] / 1e9


def redis_field(view: str, feature: str) -> bytes:
    """The field of a feature in its entity's Redis hash: murmur3_32 of ``view:feature``, little-endian."""
    import mmh3

    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))
