"""The Open Inference Protocol (v2, over HTTP), as KServe's and Triton's clients speak it: bodies to columns and back.

Here: reading an inference request with its binary tensors, and what is answered: predictions, metadata, errors.
Belongs here: the protocol's forms. Does not: what a column may hold (``serving.columns``), paths and statuses
(``serving.endpoints``).

Specification: https://github.com/kserve/open-inference-protocol, with the extension "binary_tensor_data". Every input
is one column: shape [rows] or [rows, 1], named like a feature (or a request field, ``event_time``, ``request_id``).
The answer is the output ``score``; the others of OUTPUTS are there for who asks for them by name.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from mlops_assets.serving.arms import ModelState
from mlops_assets.serving.columns import Table
from mlops_assets.serving.explaining import explain, find_non_finite
from mlops_assets.serving.refusal import Refusal

BINARY_EXTENSION = "binary_tensor_data"
NUMBERS: Mapping[str, str] = {
    "FP64": "<f8", "FP32": "<f4",
    "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "<i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "<u1",
}  # fmt: skip
"""Datatype -> numpy's name of it."""
OUTPUTS: Mapping[str, str] = {
    "score": "FP64", "arm": "BYTES", "version": "INT64", "digest": "BYTES", "request_id": "BYTES", "missing": "INT64",
}  # fmt: skip
"""Output -> datatype. Without a champion ``version`` is 0 and ``digest`` empty."""


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input as sent."""

    name: str
    shape: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=2)]
    datatype: str
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One output as asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An inference request's JSON."""

    inputs: Annotated[list[Tensor], Meta(min_length=1)]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class Asked(NamedTuple):
    """What a caller wants to know, and how."""

    table: Table
    request_id: str | None
    """Of the request as a whole: it comes back with the answer, and is no key (callers count from 1)."""
    outputs: Sequence[tuple[str, bool]]
    """Names, and whether as bytes."""


_DECODER = msgspec.json.Decoder(InferRequest)


def parse(body: bytes, header_length: bytes | None) -> Asked:
    """Read a request; ``header_length`` is that of Inference-Header-Content-Length. Raises Refusal."""
    head, rest = _parts(body, header_length)
    try:
        request = _DECODER.decode(head)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise explain(error, "", _hint, find_non_finite(head)) from None
    columns: dict[str, Sequence[Any]] = {}
    for i, tensor in enumerate(request.inputs):
        if tensor.name in columns:
            raise Refusal(422, f"inputs[{i}].name", f"{tensor.name} is there twice: send every column once")
        values, rest = _values(tensor, i, rest)
        columns[tensor.name] = values
    if len(rest):
        raise Refusal(422, "body", f"{len(rest)} bytes are left over after the last input: set every binary_data_size")
    rows = {name: len(values) for name, values in columns.items()}
    if len(set(rows.values())) > 1:
        most = max(rows.values())
        short = next(name for name, count in rows.items() if count != most)
        raise Refusal(422, short, f"the input has {rows[short]} rows and another one {most}: send as many of each")
    return Asked(Table(tuple(columns), list(zip(*columns.values(), strict=True))), request.id, _outputs(request))


def _parts(body: bytes, header_length: bytes | None) -> tuple[bytes, memoryview]:
    if header_length is None:
        return body, memoryview(b"")
    if not header_length.isdigit() or int(header_length) > len(body):
        raise Refusal(
            400, "Inference-Header-Content-Length", f"must be the length of the JSON, at most {len(body)} bytes"
        )
    return body[: int(header_length)], memoryview(body)[int(header_length) :]


def _values(tensor: Tensor, i: int, rest: memoryview) -> tuple[Sequence[Any], memoryview]:
    """The values of one input, and the bytes that are left for the others."""
    where, count = f"inputs[{i}]", math.prod(tensor.shape)
    if tensor.shape[1:] not in ([], [1]):
        message = f"{tensor.name} has the shape {tensor.shape}: send one input a column, of shape [rows] or [rows, 1]"
        raise Refusal(422, f"{where}.shape", message)
    if tensor.datatype not in (*NUMBERS, "BYTES"):
        message = f"{tensor.datatype} is not read here: send BYTES for text, or one of {', '.join(NUMBERS)}"
        raise Refusal(422, f"{where}.datatype", message)
    if "binary_data_size" not in tensor.parameters:
        return _from_json(tensor, where, count), rest
    size = tensor.parameters["binary_data_size"]
    if type(size) is not int or not 0 <= size <= len(rest) or tensor.data is not None:
        message = f"must be the number of this input's bytes after the JSON (there are {len(rest)}), without data in it"
        raise Refusal(422, f"{where}.parameters.binary_data_size", message)
    mine = rest[:size]
    if tensor.datatype == "BYTES":
        values: Sequence[Any] = list(_texts(mine, where))
    elif size % (width := np.dtype(NUMBERS[tensor.datatype]).itemsize):
        raise Refusal(422, f"{where}.parameters.binary_data_size", f"{size} bytes are no multiple of {width}")
    else:
        values = np.frombuffer(mine, dtype=NUMBERS[tensor.datatype]).tolist()
    if len(values) != count:
        raise Refusal(422, f"{where}.shape", f"{tensor.shape} has {count} values, and {len(values)} were sent")
    return values, rest[size:]


def _from_json(tensor: Tensor, where: str, count: int) -> Sequence[Any]:
    if tensor.data is None:
        raise Refusal(422, f"{where}.data", "is missing: send the values as an array")
    values = tensor.data
    if values and isinstance(values[0], list):
        if not all(isinstance(value, list) and len(value) == 1 for value in values):
            raise Refusal(422, f"{where}.data", "must be flat, or one array of one value for each row")
        values = [value[0] for value in values]
    if len(values) != count:
        raise Refusal(422, f"{where}.shape", f"{tensor.shape} has {count} values, and {len(values)} were sent")
    kinds = {str, type(None)} if tensor.datatype == "BYTES" else {int, float, type(None)}
    if not set(map(type, values)) <= kinds:
        row = next(row for row, value in enumerate(values) if type(value) not in kinds)
        said = "a string" if tensor.datatype == "BYTES" else "a number"
        raise Refusal(422, f"{where}.data[{row}]", f"{values[row]!r:.40} is not {said}: {tensor.datatype} was declared")
    return values


def _texts(content: memoryview, where: str) -> Iterator[str]:
    """Each value is its length in four little-endian bytes, then its UTF-8."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack("<I", content[at : at + 4]) if at + 4 <= len(content) else (len(content),)
        if at + 4 + length > len(content):
            raise Refusal(422, f"{where}.parameters.binary_data_size", "the bytes end within a value")
        try:
            yield bytes(content[at + 4 : at + 4 + length]).decode()
        except UnicodeDecodeError:
            raise Refusal(422, f"{where}.data", "a value of BYTES is not UTF-8") from None
        at += 4 + length


def _outputs(request: InferRequest) -> list[tuple[str, bool]]:
    everywhere = request.parameters.get("binary_data_output", False) is True
    wanted = request.outputs or [Wanted("score")]
    for i, output in enumerate(wanted):
        if output.name not in OUTPUTS:
            message = f"there is no output {output.name:.80}; there are {', '.join(OUTPUTS)}"
            raise Refusal(422, f"outputs[{i}].name", message)
    return [(output.name, output.parameters.get("binary_data", everywhere) is True) for output in wanted]


def answer(asked: Asked, model: str, predictions: Sequence[Mapping[str, Any]]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON when bytes follow it."""
    outputs, tails = [], []
    for name, as_bytes in asked.outputs:
        values = [prediction[name] for prediction in predictions]
        kind = OUTPUTS[name]
        values = [value or (0 if kind == "INT64" else "") for value in values] if kind != "FP64" else values
        told: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": kind}
        if as_bytes:
            tails.append(_packed(kind, values))
            told["parameters"] = {"binary_data_size": len(tails[-1])}
        else:
            told["data"] = values
        outputs.append(told)
    body: dict[str, Any] = {"model_name": model, "outputs": outputs}
    versions = {prediction["version"] for prediction in predictions}
    if len(versions) == 1 and None not in versions:
        body["model_version"] = str(versions.pop())
    if asked.request_id is not None:
        body["id"] = asked.request_id
    head = msgspec.json.encode(body)
    return b"".join([head, *tails]), len(head) if tails else None


def _packed(kind: str, values: Sequence[Any]) -> bytes:
    if kind == "BYTES":
        return b"".join(struct.pack("<I", len(text)) + text for text in (value.encode() for value in values))
    return np.array(values, dtype=NUMBERS[kind]).tobytes()


def server_metadata(version: str) -> dict[str, Any]:
    """What ``GET /v2`` answers."""
    return {"name": "mlops_assets", "version": version, "extensions": [BINARY_EXTENSION]}


def model_metadata(state: ModelState) -> dict[str, Any]:
    """What ``GET /v2/models/<name>`` answers: features as inputs, and beside them what a decision is asked with."""
    signature = state.reference
    kinds = {"category": "BYTES", "number": "FP64"}
    fields = {"string": "BYTES", "integer": "INT64", "number": "FP64"}
    features = [(f.name, kinds[f.kind]) for f in signature.features] if signature else []
    decision = [(name, fields[field.dtype]) for name, field in state.form.fields.items()] + [("event_time", "BYTES")]
    return {
        "name": state.facts.name,
        "versions": [str(holding.version) for holding in state.arms.values()],
        "platform": f"mlops_assets_{signature.engine}" if signature else "mlops_assets",
        "inputs": [_column(name, kind) for name, kind in features],
        "outputs": [_column(name, kind) for name, kind in OUTPUTS.items()],
        "parameters": {"decision_inputs": [_column(name, kind) for name, kind in decision]},
    }


def _column(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": [-1]}


def _hint(name: str) -> str:
    return {
        "inputs": "send an array of inputs, one for each column",
        "shape": "send [rows] or [rows, 1]",
        "data": "send an array of values",
        "parameters": "send an object",
    }.get(name, 'send {"inputs": [{"name": ..., "shape": [rows], "datatype": ..., "data": [...]}, ...]}')
